"""Linear layers at inference, plain and quantised, by the fastest exact kernel of this device; optionally with GELU.

On a CPU that is oneDNN's: torch sends fp32 products to MKL, which on processors of other makers uses half of their
vector width. Measured on one core of an AVX-512 EPYC, (532, 256) x (256, 1024) in fp32: MKL 99, oneDNN 210 GFLOP/s;
with GELU behind it 67 and 189. For one row at a time both wait for memory, and MKL's call is the shorter one.

Products of few rows may read their weights in 16 bits (`PackedLinear`). Released weights are bfloat16. A product of a
few rows costs what reading its matrix costs, so a matrix kept as fp32 takes twice as long, and torch's own bfloat16
products of one row stay far from what memory gives. FBGEMM's product holds the matrix in blocks of float16, widens
them in registers and adds in fp32. Where every weight times one power of two is a float16, as in nearly all bfloat16
matrices, the result is that of an fp32 product. Each number is summed over the columns in the same order
however many rows there are and however many threads: a row of a batch is the row alone, bit by bit.

Measured for one token of nano's AR generator (5.5 M weights, one core of an AVX-512 EPYC), milliseconds:

    rows    fp32, MKL    fp32, each row alone    bf16    packed
    1       1.2          1.3                     0.61    0.37
    8       2.2          3.8                     0.74    0.56

Quantised: matrices in 8 and 4 bits: how they are laid out, what they stand for, and their products.

    int8  a row's numbers are whole ones from -127 to 127 times one scale: `values` (N, K) int8, `scale` (N,) bf16
    int4  `GROUP` numbers of a row share a step and a middle: `(q - 8) * step + middle` with q from 0 to 15.
          `packed` (N, K / 2) uint8 and `steps` (K / group, N, 2) bf16, step first

The layout of int4 is that of torch's product for processors with AVX-512: rows stand in blocks of 64; a block holds,
column after column, 32 bytes, of which byte r has row r in its low half and row r + 32 in its high half. Rows that fill
no block stand in pairs of neighbours. Elsewhere the same bytes are read by the product that widens.

A product of few rows reads the matrix as it is (`torch.ops.aten._weight_int4pack_mm_for_cpu`, `_weight_int8pack_mm`);
each row has the bits that it has alone. One of many rows widens some rows of the matrix at a time, into memory that is
borrowed (`nn/scratch.py`), and multiplies in the number type of the input, which is what the arithmetic asks for then.
`dequantize` is the naive twin of both. `nn/int8.py` multiplies many rows without widening.

Measured on one core of an EPYC with AVX512-bf16, (1, 4096) x (4096, 16384), milliseconds of CPU time: int4 3.6, int8
5.6, fp16 packed 6.0, bf16 12.4; with 288 rows: int8 widened 206, bf16 187.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.nn.scratch import borrowed


def _one_dnn_dtypes() -> tuple[torch.dtype, ...]:
    """Number types that oneDNN multiplies in hardware here; none where torch was built without it."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32, torch.bfloat16
    return (torch.float32,)


ONE_DNN_DTYPES = _one_dnn_dtypes()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """`x @ weight.T + bias`, then, with `gelu`, tanh-approximated GELU; x (..., K), weight (N, K)."""
    if _one_dnn_takes(x, weight):
        if gelu:
            return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "tanh")
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    y = F.linear(x, weight, bias)
    return F.gelu(y, approximate="tanh") if gelu else y


def apply_linear(layer: nn.Module, x: Tensor, *, gelu: bool = False) -> Tensor:
    """`linear` of a plain layer; one that was adapted from outside runs its own forward."""
    if type(layer) is nn.Linear:
        return linear(x, layer.weight, layer.bias, gelu=gelu)
    if isinstance(layer, QuantizedLinear):
        return layer.multiply(x, gelu=gelu)
    y: Tensor = layer(x)
    return F.gelu(y, approximate="tanh") if gelu else y


def is_plain(weight: Tensor) -> bool:
    """Whether a weight is an ordinary tensor, not a quantised one in disguise."""
    return type(weight) in (Tensor, nn.Parameter)


def _one_dnn_takes(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in ONE_DNN_DTYPES
        and is_plain(weight)
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()  # the compiler has products of its own
        and x.numel() > x.shape[-1]
    )


ROWS_AT_ONCE = 256  # looked at together, so that looking takes little memory
LARGEST = 15  # weights are scaled to at most 2 ** 15, half of what float16 holds


class PackedLinear:
    """`scale * (x @ weight.T) + bias` of fp32 rows (B, K); `scale`, a power of two, is the caller's to undo."""

    __slots__ = ("_multiply", "_packed", "scale")

    def __init__(self, packed: torch.ScriptObject, scale: float) -> None:
        self._packed, self.scale = packed, scale
        operation = torch.ops.quantized.linear_dynamic_fp16.default
        self._multiply = getattr(operation, "_op", operation)  # without looking for compilers' stand-ins in Python

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = self._multiply(x, self._packed)
        return y


def pack(weight: Tensor, bias: Tensor | None = None, *, scratch: Tensor | None = None) -> PackedLinear | None:
    """The packed product of a matrix (N, K); None where there is none that rounds nothing.

    scratch: fp32 (at least N K,), overwritten. With one for all matrices of a network its own size is all the memory
    that packing takes for a while; buffers of every size, allocated and freed among what stays, leave gaps.
    """
    if not can_pack() or weight.device.type != "cpu":
        return None
    scale = exact_scale(weight)
    if scale is None:
        return None
    scratch = torch.empty(weight.numel()) if scratch is None else scratch[: weight.numel()]
    scaled = scratch.view(weight.shape).copy_(weight).mul_(scale)
    packed = torch.ops.quantized.linear_prepack_fp16(scaled, None if bias is None else bias.float())
    return PackedLinear(packed, scale)


def exact_scale(weight: Tensor) -> float | None:
    """The power of two by which all weights become float16 without loss; None if there is none."""
    largest = _largest(weight)
    if not 0 < largest < math.inf:
        return None
    scale = _half_scale(largest)
    for some in weight.split(ROWS_AT_ONCE):
        scaled = some.float() * scale
        if not torch.equal(scaled.half().float(), scaled):
            return None
    return scale


def half_scale(weights: Iterable[Tensor]) -> float:
    """The power of two by which the largest of some matrices comes near the end of float16.

    Rounded to float16 in this scale, `pack` takes them, alone or joined.
    """
    largest = max(map(_largest, weights), default=0.0)
    return _half_scale(largest) if 0 < largest < math.inf else 1.0


def _largest(weight: Tensor) -> float:
    return max(abs(float(end)) for end in torch.aminmax(weight))


def _half_scale(largest: float) -> float:
    return 2.0 ** (LARGEST - math.frexp(largest)[1])


def can_pack() -> bool:
    """Whether this build and processor have the product (x86 with AVX2)."""
    backend = torch.backends.quantized
    return backend.engine in ("fbgemm", "x86") and "fbgemm" in backend.supported_engines


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

    def widen(self, start: int, stop: int, out: Tensor) -> None:
        """Write some rows as ordinary numbers to `out` (stop - start, K); both ends are multiples of 64, or the end."""

    def few(self, x: Tensor) -> Tensor:
        """`x @ weight.T` for rows x (B, K), each row as if it were alone."""

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

    def widen(self, start: int, stop: int, out: Tensor) -> None:
        values, scale = self.values[start:stop], self.scale[start:stop, None]
        if out.dtype == torch.float16:  # which does not hold every scale
            out.copy_(values.float().mul_(scale))
        else:  # 7 bits times 8: exact in fp32, so bfloat16 rounds once
            out.copy_(values).mul_(scale)

    def few(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.linear(x, dequantize(self, x.dtype))
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

    def widen(self, start: int, stop: int, out: Tensor) -> None:
        for first in range(start, stop, BLOCK):  # a block after the other: what they need on the way is small
            last = min(first + BLOCK, stop)
            q = unpack_int4(self.packed[first:last]).to(torch.float32).sub_(MIDDLE)
            step, middle = self.steps[:, first:last].float().unbind(-1)  # (K / group, rows)
            grouped = q.view(last - first, -1, self.group)
            grouped.mul_(step.t()[..., None]).add_(middle.t()[..., None])
            out[first - start : last - start] = q

    def few(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not reads_int4():
            return many(x, self)
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

    def widen(self, start: int, stop: int, out: Tensor) -> None:
        at = 0
        for part in self.parts:
            first, last = max(start - at, 0), min(stop - at, part.shape[0])
            if first < last:
                part.widen(first, last, out[at + first - start : at + last - start])
            at += part.shape[0]

    def few(self, x: Tensor) -> Tensor:
        return torch.cat([part.few(x) for part in self.parts], dim=-1)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for part in self.parts for tensor in part.tensors)

    def to(self, device: torch.device) -> Stacked:
        return Stacked(tuple(part.to(device) for part in self.parts))


def dequantize(matrix: QuantizedMatrix, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix (N, K) as ordinary numbers."""
    wide = torch.empty(matrix.shape, dtype=dtype, device=matrix.tensors[0].device)
    matrix.widen(0, matrix.shape[0], wide)
    return wide


def product(x: Tensor, matrix: QuantizedMatrix, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """`x @ weight.T + bias` for x (..., K), then, with `gelu`, tanh-approximated GELU."""
    if torch.is_grad_enabled() and x.requires_grad:  # one product, whose backward keeps the widened matrix
        return linear(x, dequantize(matrix, x.dtype), bias, gelu=gelu)
    flat = x.reshape(-1, x.shape[-1])
    if len(flat) > matrix.few_rows:
        return many(x, matrix, bias, gelu=gelu)
    y = matrix.few(flat)
    y = y if bias is None else y + bias
    y = F.gelu(y, approximate="tanh") if gelu else y
    return y.view(*x.shape[:-1], y.shape[-1])


def many(x: Tensor, matrix: QuantizedMatrix, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """`product` by widening some rows of the matrix at a time."""
    count, width = matrix.shape
    flat = x.reshape(-1, width)
    step = min(count, max(BLOCK, WIDENED // width // BLOCK * BLOCK))
    with _memory_for(x, step * width) as wide:
        y = x.new_empty(len(flat), count)
        for start in range(0, count, step):
            stop = min(start + step, count)
            rows = wide.view(step, width)[: stop - start]
            matrix.widen(start, stop, rows)
            y[:, start:stop] = linear(flat, rows, None if bias is None else bias[start:stop], gelu=gelu)
    return y.view(*x.shape[:-1], count)


@contextmanager
def _memory_for(x: Tensor, count: int) -> Iterator[Tensor]:
    """Room for `count` numbers like those of x; borrowed on a CPU, an accelerator's allocator keeps its own."""
    if x.device.type != "cpu":
        yield x.new_empty(count)
        return
    with borrowed(count * x.element_size()) as memory:
        yield memory.view(x.dtype)


class QuantizedLinear(nn.Module):
    """Takes the place of an `nn.Linear`; the matrix is no parameter, it is neither trained nor saved."""

    def __init__(self, matrix: QuantizedMatrix, bias: Tensor | None) -> None:
        super().__init__()
        self.matrix = matrix
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.out_features, self.in_features = matrix.shape

    def forward(self, x: Tensor) -> Tensor:
        return self.multiply(x)

    def multiply(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        """The layer's product, then, with `gelu`, tanh-approximated GELU."""
        return product(x, self.matrix, self.bias, gelu=gelu)

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
    """`x @ weight.T + bias` for either kind."""
    return F.linear(x, weight, bias) if isinstance(weight, Tensor) else product(x, weight, bias)


def stack(matrices: Sequence[QuantizedMatrix]) -> QuantizedMatrix:
    """Matrices one below the other, without copying one."""
    return matrices[0] if len(matrices) == 1 else Stacked(tuple(matrices))
