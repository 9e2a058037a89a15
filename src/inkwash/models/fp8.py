"""Checkpoints whose matrices are 8-bit floats with scales beside them, read as ordinary numbers.

Two layouts are in use: ``X.weight_scale_inv`` with one scale per block (its size in ``quantization_config`` as
``weight_block_size``) and ``X.weight_scale`` with one per matrix, per row or per block. In both, a weight is the
8-bit number times its scale. Scales of activations are not used: the networks compute in the dtype they are loaded in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import StoredTensor, count, read_json, some

EIGHT_BIT = "F8_E4M3"
SCALE_ENDINGS = ("_scale_inv", "_scale")
ACTIVATION_SCALES = (".input_scale", ".output_scale", ".activation_scale", ".k_scale", ".v_scale")


def pair_scales(stored: Mapping[str, StoredTensor], folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint with each 8-bit matrix holding its scale, and the scales gone from the list."""
    eight_bit = [name for name, entry in stored.items() if entry.dtype == EIGHT_BIT]
    if not eight_bit:
        return dict(stored)
    block = _block(folder)
    paired = {name: entry for name, entry in stored.items() if not name.endswith(ACTIVATION_SCALES)}
    alone = []
    for name in eight_bit:
        scale_name = next((name + ending for ending in SCALE_ENDINGS if name + ending in paired), None)
        if scale_name is None:
            alone.append(name)
            continue
        scale = paired.pop(scale_name)
        paired[name] = dataclasses.replace(stored[name], scale=scale, block=_fit(stored[name], scale, block))
    if alone:
        raise WeightsError(
            f"{stored[alone[0]].file} holds {count(alone, '8-bit matrix', '8-bit matrices')} without a scale beside it "
            f"({some(alone)}); download the checkpoint again."
        )
    return paired


def dequantize(weight: Tensor, scale: Tensor, block: tuple[int, int]) -> Tensor:
    """``weight`` (N, K) times its scales, fp32; every scale serves ``block`` rows and columns."""
    rows, columns = weight.shape
    scales = scale.float().reshape(-(-rows // block[0]), -(-columns // block[1]))
    by_row = scales.repeat_interleave(block[0], dim=0)[:rows]
    wide = weight.float()
    for number in range(scales.shape[1]):  # by columns, so that no second matrix of scales is made
        wide[:, number * block[1] : (number + 1) * block[1]].mul_(by_row[:, number : number + 1])
    return wide


def _fit(weight: StoredTensor, scale: StoredTensor, block: tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns that one scale serves."""
    if len(weight.shape) == 2 and scale.dtype in ("F32", "BF16", "F16"):
        rows, columns = weight.shape
        shape = (*scale.shape, 1, 1)[: max(2, len(scale.shape))]
        if shape == (1, 1):
            return rows, columns
        if shape == (rows, 1):
            return 1, columns
        if block and shape == (-(-rows // block[0]), -(-columns // block[1])):
            return block
        if block is None and len(shape) == 2 and rows % shape[0] == 0 and columns % shape[1] == 0:
            return rows // shape[0], columns // shape[1]
    raise WeightsError(
        f"{scale.file} holds {scale.name} of kind {scale.dtype} and shape {list(scale.shape)}, which is no scale for "
        f"{list(weight.shape)} numbers" + (f" in blocks of {list(block)}." if block else ".")
    )


def _block(folder: Path) -> tuple[int, int] | None:
    """The block size that config.json states, in either layout."""
    if not (folder / "config.json").is_file():
        return None
    settings = read_json(folder / "config.json").get("quantization_config")
    if not isinstance(settings, dict):
        return None
    groups = settings.get("config_groups")
    found = [settings.get("weight_block_size")]
    for group in groups.values() if isinstance(groups, dict) else ():
        weights: Any = group.get("weights") if isinstance(group, dict) else None
        found.append(weights.get("block_structure") if isinstance(weights, dict) else None)
    size = next((entry for entry in found if entry is not None), None)
    if size is None:
        return None
    if isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):
        return size[0], size[1]
    raise WeightsError(f"{folder / 'config.json'} states blocks of {size!r}; two whole numbers are expected.")
