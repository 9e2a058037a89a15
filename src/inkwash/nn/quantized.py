"""Matrices in 8 and 4 bits: how they are laid out, what they stand for, and their products.

    int8  a row's numbers are whole ones from -127 to 127 times one scale: `values` (N, K) int8, `scale` (N,) bf16
    int4  `GROUP` numbers of a row share a step and a middle: ``(q - 8) * step + middle`` with q from 0 to 15.
          `packed` (N, K / 2) uint8 and `steps` (K / group, N, 2) bf16, step first

The layout of int4 is that of torch's product for processors with AVX-512: rows stand in blocks of 64; a block holds,
column after column, 32 bytes, of which byte r has row r in its low half and row r + 32 in its high half. Rows that fill
no block stand in pairs of neighbours. Elsewhere the same bytes are read by the product that widens.

A product of few rows reads the matrix as it is (`torch.ops.aten._weight_int4pack_mm_for_cpu`, `_weight_int8pack_mm`);
each row has the bits that it has alone. One of many rows widens some rows of the matrix at a time and multiplies in the
number type of the input, which is what the arithmetic asks for then. `dequantize` is the naive twin of both.

Measured on one core of an EPYC with AVX512-bf16, (1, 4096) x (4096, 16384), milliseconds of CPU time: int4 3.6, int8
5.6, fp16 packed 6.0, bf16 12.4; with 288 rows: int8 widened 206, bf16 187.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.nn.linear import linear

GROUP = 128  # numbers of a row that share a step and a middle in int4
MIDDLE = 8  # the q that stands for the middle
BLOCK = 64  # rows of an int4 block
FEW_ROWS = {"int8": 16, "int4": 64}  # up to here the matrix is read as it is: widening four bits takes longer
WIDENED = 2**23  # numbers that are widened at a time: they stay in the processor's cache while they are multiplied


class QuantizedMatrix(Protocol):
    """What stands in for a weight (N, K)."""

    @property
    def shape(self) -> torch.Size:
        """Rows and columns of the matrix that it stands for."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    @property
    def few_rows(self) -> int:
        """Up to how many rows `few` is the faster product."""

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Some rows as ordinary numbers, (stop - start, K); both ends are multiples of 64, or the last row's."""

    def few(self, x: Tensor) -> Tensor:
        """``x @ weight.T`` for rows x (B, K), each row as if it were alone."""

    def to(self, device: torch.device) -> QuantizedMatrix:
        """The same on a device."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it is stored in."""


@dataclass(frozen=True, eq=False, slots=True)
class Int8Matrix:
    """One scale for each row."""

    values: Tensor  # (N, K) int8
    scale: Tensor  # (N,) bf16

    @property
    def shape(self) -> torch.Size:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scale.nbytes

    @property
    def few_rows(self) -> int:
        return FEW_ROWS["int8"]

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        wide = self.values[start:stop].to(torch.float32)
        return wide.mul_(self.scale[start:stop, None].float()).to(dtype)

    def few(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.linear(x, self.rows(0, len(self.values), x.dtype))
        narrow = x.to(torch.bfloat16)
        y: Tensor = torch.ops.aten._weight_int8pack_mm(narrow, self.values, self.scale)
        return y.to(x.dtype)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values, self.scale)

    def to(self, device: torch.device) -> Int8Matrix:
        return Int8Matrix(self.values.to(device), self.scale.to(device))


@dataclass(frozen=True, eq=False, slots=True)
class Int4Matrix:
    """A step and a middle for each group of a row."""

    packed: Tensor  # (N, K / 2) uint8
    steps: Tensor  # (K / group, N, 2) bf16

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.packed.shape[0], 2 * self.packed.shape[1]))

    @property
    def group(self) -> int:
        return self.shape[1] // self.steps.shape[0]

    @property
    def nbytes(self) -> int:
        return self.packed.nbytes + self.steps.nbytes

    @property
    def few_rows(self) -> int:
        return FEW_ROWS["int4"]

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        q = unpack_int4(self.packed[start:stop]).to(torch.float32).sub_(MIDDLE)
        step, middle = self.steps[:, start:stop].float().unbind(-1)  # (K / group, rows)
        grouped = q.view(stop - start, -1, self.group)
        grouped.mul_(step.t()[..., None]).add_(middle.t()[..., None])
        return q.to(dtype)

    def few(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not reads_int4():
            return F.linear(x, self.rows(0, len(self.packed), x.dtype))
        narrow = x.to(torch.bfloat16)
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(narrow, self.packed, self.group, self.steps)
        return y.to(x.dtype)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.packed, self.steps)

    def to(self, device: torch.device) -> Int4Matrix:
        return Int4Matrix(self.packed.to(device), self.steps.to(device))


@dataclass(frozen=True, eq=False, slots=True)
class Stacked:
    """Several matrices, one below the other, as one."""

    parts: tuple[QuantizedMatrix, ...]

    @property
    def shape(self) -> torch.Size:
        return torch.Size((sum(part.shape[0] for part in self.parts), self.parts[0].shape[1]))

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)

    @property
    def few_rows(self) -> int:
        return min(part.few_rows for part in self.parts)

    def rows(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        found, at = [], 0
        for part in self.parts:
            first, last = max(start - at, 0), min(stop - at, part.shape[0])
            if first < last:
                found.append(part.rows(first, last, dtype))
            at += part.shape[0]
        return torch.cat(found)

    def few(self, x: Tensor) -> Tensor:
        return torch.cat([part.few(x) for part in self.parts], dim=-1)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for part in self.parts for tensor in part.tensors)

    def to(self, device: torch.device) -> Stacked:
        return Stacked(tuple(part.to(device) for part in self.parts))


def dequantize(matrix: QuantizedMatrix, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix (N, K) as ordinary numbers."""
    return matrix.rows(0, matrix.shape[0], dtype)


def product(x: Tensor, matrix: QuantizedMatrix, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` for x (..., K)."""
    flat = x.reshape(-1, x.shape[-1])
    if len(flat) <= matrix.few_rows and not (torch.is_grad_enabled() and x.requires_grad):
        y = matrix.few(flat)
        y = y if bias is None else y + bias
        return y.view(*x.shape[:-1], y.shape[-1])
    return many(x, matrix, bias)


def many(x: Tensor, matrix: QuantizedMatrix, bias: Tensor | None = None) -> Tensor:
    """`product` by widening some rows of the matrix at a time."""
    count, width = matrix.shape
    step = max(BLOCK, WIDENED // width // BLOCK * BLOCK)
    if torch.is_grad_enabled() and x.requires_grad:
        step = count  # one product, whose backward keeps the widened matrix
    parts = []
    for start in range(0, count, step):
        stop = min(start + step, count)
        part = linear(x, matrix.rows(start, stop, x.dtype), None if bias is None else bias[start:stop])
        parts.append(part)
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


class QuantizedLinear(nn.Module):
    """Takes the place of an `nn.Linear`; the matrix is no parameter, it is neither trained nor saved."""

    def __init__(self, matrix: QuantizedMatrix, bias: Tensor | None) -> None:
        super().__init__()
        self.matrix = matrix
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.out_features, self.in_features = matrix.shape

    def forward(self, x: Tensor) -> Tensor:
        return product(x, self.matrix, self.bias)

    def extra_repr(self) -> str:
        return f"{type(self.matrix).__name__} {self.out_features}x{self.in_features}"


def quantize_int8(weight: Tensor) -> Int8Matrix:
    """The nearest whole multiples of each row's largest number / 127."""
    wide = weight.float()
    scale = wide.abs().amax(dim=1).div_(127).to(torch.bfloat16)
    steps = scale.float()
    steps = torch.where(steps > 0, steps, torch.ones_like(steps))
    return Int8Matrix((wide / steps[:, None]).round_().clamp_(-127, 127).to(torch.int8), scale)


def quantize_int4(weight: Tensor, group: int = GROUP) -> Int4Matrix:
    """The nearest of sixteen even steps between the least and the largest number of each group."""
    rows, columns = weight.shape
    assert columns % group == 0, f"{columns} columns do not divide into groups of {group}"
    grouped = weight.float().view(rows, -1, group)
    least, most = grouped.aminmax(dim=-1, keepdim=True)
    step = ((most - least) / 15).to(torch.bfloat16)
    wide = step.float()
    wide = torch.where(wide > 0, wide, torch.ones_like(wide))
    middle = (least + MIDDLE * step.float()).to(torch.bfloat16)
    q = (grouped - middle.float()).div_(wide).round_().add_(MIDDLE).clamp_(0, 15).to(torch.uint8)
    steps = torch.stack([step[..., 0], middle[..., 0]], dim=-1).transpose(0, 1).contiguous()
    return Int4Matrix(pack_int4(q.view(rows, columns)), steps)


def pack_int4(q: Tensor) -> Tensor:
    """(N, K) uint8 below 16 -> (N, K / 2) in blocks of 64 rows."""
    rows, columns = q.shape
    whole = rows // BLOCK * BLOCK
    blocks = q[:whole].view(-1, 2, BLOCK // 2, columns)
    packed = [(blocks[:, 0] | blocks[:, 1] << 4).transpose(1, 2).reshape(whole, columns // 2)]
    if whole < rows:
        pairs = q[whole:].view(-1, 2, columns)
        packed.append((pairs[:, 0] | pairs[:, 1] << 4).t().reshape(rows - whole, columns // 2))
    return torch.cat(packed)


def unpack_int4(packed: Tensor) -> Tensor:
    """The inverse of `pack_int4`."""
    rows, columns = packed.shape[0], 2 * packed.shape[1]
    whole = rows // BLOCK * BLOCK
    q = torch.empty(rows, columns, dtype=torch.uint8, device=packed.device)
    blocks = packed[:whole].reshape(-1, columns, BLOCK // 2).transpose(1, 2)
    halves = q[:whole].view(-1, 2, BLOCK // 2, columns)
    halves[:, 0], halves[:, 1] = blocks & 15, blocks >> 4
    if whole < rows:
        pairs = packed[whole:].reshape(columns, -1).t()
        rest = q[whole:].view(-1, 2, columns)
        rest[:, 0], rest[:, 1] = pairs & 15, pairs >> 4
    return q


def can_pack_int4(rows: int, columns: int, group: int = GROUP) -> bool:
    """Whether a matrix of this shape has the layout."""
    return rows % 16 == 0 and columns % group == 0


def group_of(columns: int) -> int | None:
    """The largest group up to `GROUP` that divides a row; None where none of the product's does."""
    return next((group for group in (GROUP, GROUP // 2, GROUP // 4) if columns % group == 0), None)


@cache
def reads_int4() -> bool:
    """Whether torch's own packing on this processor gives the layout of this file; otherwise matrices are widened."""
    q = torch.arange(BLOCK * 32, dtype=torch.int32).mul_(7).remainder_(16).view(BLOCK, 32)
    try:
        theirs = torch.ops.aten._convert_weight_to_int4pack_for_cpu(q, 1)
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return bool(torch.equal(theirs, pack_int4(q.to(torch.uint8))))


Weight: TypeAlias = Tensor | QuantizedMatrix


def weight_of(layer: nn.Module) -> Weight:
    """The matrix of a linear layer, whichever kind it is."""
    if isinstance(layer, QuantizedLinear):
        return layer.matrix
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def multiply(x: Tensor, weight: Weight, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` for either kind."""
    return F.linear(x, weight, bias) if isinstance(weight, Tensor) else product(x, weight, bias)


def stack(matrices: Sequence[QuantizedMatrix]) -> QuantizedMatrix:
    """Matrices one below the other, without copying one."""
    return matrices[0] if len(matrices) == 1 else Stacked(tuple(matrices))
