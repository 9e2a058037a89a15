"""Checkpoints whose matrices are stored in 8 or 4 bits with scales beside them, ours and those of other tools.

Ours, in the layout of `nn.linear`; beside `X.weight` stands what it is multiplied by:

    int8  `X.weight` I8 (N, K) and `X.weight_scale` BF16 (N,)
    int4  `X.weight` U8 (N, K / 2) in blocks of 64 rows and `X.weight_steps` BF16 (K / group, N, 2)

and `config.json` of the part says so under `quantization_config`. A matrix is read as it is stored, or, wherever plain
numbers are asked for, as the numbers that it stands for: nothing is rounded a second time.

8-bit floats of others come in two layouts: `X.weight_scale_inv` with one scale per block (its size in
`quantization_config` as `weight_block_size`) and `X.weight_scale` with one per matrix, per row or per block. In
both, a weight is the 8-bit number times its scale. Scales of activations are not used: the networks compute in the
dtype they are loaded in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import StoredTensor, count, read_json, some
from inkwash.nn.linear import Int4Matrix, Int8Matrix, QuantizedMatrix

ASIDE = {"I8": "_scale", "U8": "_steps"}
KINDS = {"I8": "int8", "U8": "int4"}


def pair_quantized(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint with each matrix in 8 or 4 bits holding its scales, and those gone from the list."""
    narrow = [name for name, entry in stored.items() if name.endswith(".weight") and entry.dtype in ASIDE]
    if not narrow:
        return dict(stored)
    paired = dict(stored)
    alone = []
    for name in narrow:
        entry = stored[name]
        aside = paired.pop(name + ASIDE[entry.dtype], None)
        if aside is None:
            alone.append(name)
        else:
            paired[name] = dataclasses.replace(entry, shape=_shape(entry, aside), aside=aside)
    if alone and len(alone) < len(narrow):  # otherwise these are whole numbers of somebody else
        raise WeightsError(
            f"{stored[alone[0]].file} holds matrices in 8 or 4 bits without scales beside them ({some(alone)}); "
            "download or convert the checkpoint again."
        )
    return paired


def quantized_kinds(stored: Mapping[str, StoredTensor]) -> set[str]:
    """Which kinds the matrices of a folder have; empty where all are plain."""
    return {KINDS[entry.dtype] for entry in stored.values() if entry.aside is not None}


def matrix_of(entry: StoredTensor, values: Tensor, aside: Tensor) -> QuantizedMatrix:
    """The matrix of an entry from its two tensors."""
    return Int8Matrix(values, aside) if entry.dtype == "I8" else Int4Matrix(values, aside)


def _shape(entry: StoredTensor, aside: StoredTensor) -> tuple[int, ...]:
    """Rows and columns of the matrix that a pair stands for."""
    if len(entry.shape) == 2 and aside.dtype == "BF16":
        rows, columns = entry.shape
        if entry.dtype == "I8" and aside.shape == (rows,):
            return rows, columns
        if entry.dtype == "U8" and len(aside.shape) == 3 and aside.shape[1:] == (rows, 2) and aside.shape[0]:
            group, rest = divmod(2 * columns, aside.shape[0])
            if rest == 0 and group in (32, 64, 128, 256) and rows % 16 == 0:
                return rows, 2 * columns
    raise WeightsError(
        f"{aside.file} holds {aside.name} of kind {aside.dtype} and shape {list(aside.shape)}, which are no scales for "
        f"{entry.name} of kind {entry.dtype} and shape {list(entry.shape)}."
    )


EIGHT_BIT = "F8_E4M3"
NARROW = {EIGHT_BIT, *ASIDE}  # kinds of numbers that stand for others
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
    """`weight` (N, K) times its scales, fp32; every scale serves `block` rows and columns."""
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
