"""Folders whose matrices are stored in 8 or 4 bits, in the layout of `nn.quantized`.

Beside ``X.weight`` stands what it is multiplied by:

    int8  ``X.weight`` I8 (N, K) and ``X.weight_scale`` BF16 (N,)
    int4  ``X.weight`` U8 (N, K / 2) in blocks of 64 rows and ``X.weight_steps`` BF16 (K / group, N, 2)

and `config.json` of the part says so under `quantization_config`. A matrix is read as it is stored, or, wherever plain
numbers are asked for, as the numbers that it stands for: nothing is rounded a second time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from inkwash.core.errors import WeightsError
from inkwash.models.tensor_files import StoredTensor, read_json, some
from inkwash.nn.quantized import Int4Matrix, Int8Matrix, QuantizedMatrix

METHOD = "inkwash"
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


def stated_kind(folder: Path) -> str | None:
    """The kind that `config.json` of a part states, without reading a header; None for plain weights."""
    file = folder / "config.json"
    settings = read_json(file).get("quantization_config") if file.is_file() else None
    if not isinstance(settings, dict) or settings.get("quant_method") != METHOD:
        return None
    kind = settings.get("kind")
    return kind if isinstance(kind, str) else None


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
