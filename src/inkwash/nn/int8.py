"""Products of many rows with int8 matrices in whole numbers: the rows are rounded to int8, too, each as it comes.

A row x becomes whole numbers from -127 to 127 times one scale, max |x| / 127. The processor multiplies and adds whole
numbers (`torch._int_mm`); the int32 sums are exact, so a row has the same bits alone and in any batch, on any number of
threads. A sum times the scales of its row and its column, in fp32, is the product with the rounded rows. Nothing is
widened. A row that is not finite gives a row of NaN.

Rounding the rows costs accuracy, so it is for networks that bear it, and done only in bfloat16 arithmetic, where the
processor's sums are exact and a short measurement at load says that it is clearly faster than widening
(`nn/linear.py`); `INKWASH_INT8_ACTIVATIONS` decides without it. Milliseconds on one core of an EPYC with
AVX512-bf16 and VNNI, everything counted:

                                       bf16, widened    int8
    (256, 2048) x (2048, 1024)         6.1              4.2
    (256, 4096) x (4096, 2048)         23               14
    (272, 4096) x (4096, 16384)        203              110
    (272, 16384) x (16384, 4096)       202              110
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from inkwash.core import env
from inkwash.core.device import one_thread
from inkwash.nn.linear import WIDENED, Int8Matrix, QuantizedLinear, QuantizedMatrix, many
from inkwash.nn.scratch import borrowed

LARGEST = 127
ROUNDED = 2**24  # numbers of rows that are rounded at a time
SUMS = 2**21  # sums that are made at a time: they stay in the processor's cache until they are scaled
COLUMNS = 32, 2**31 // LARGEST**2  # from where on the product pays, and up to where a sum cannot overflow
ROWS_AT_ONCE = 64  # rounded together, so that their fp32 form takes little memory
ALIGNED = 64
LARGE = 2**20  # weights of a matrix: with fewer the way to whole numbers and back takes what they save
FASTER = 0.9  # of the time of the other way


class Int8Linear(QuantizedLinear):
    """A layer of an int8 matrix that rounds many rows of bfloat16, too; others it multiplies as they are."""

    matrix: Int8Matrix

    def __init__(self, matrix: Int8Matrix, bias: Tensor | None) -> None:
        super().__init__(matrix, bias)

    def multiply(self, x: Tensor, *, gelu: bool = False) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if not _takes(flat, self.matrix):
            return super().multiply(x, gelu=gelu)
        y = int8_product(flat, self.matrix, self.bias, gelu=gelu)
        return y.view(*x.shape[:-1], y.shape[-1])


def faster_layer(matrix: QuantizedMatrix, bias: Tensor | None) -> QuantizedLinear:
    """The layer of a quantised matrix that may round its rows: it does where that is faster, or asked for."""
    if isinstance(matrix, Int8Matrix) and matrix.values.device.type == "cpu" and rounds_activations(matrix):
        return Int8Linear(matrix, bias)
    return QuantizedLinear(matrix, bias)


def _takes(x: Tensor, matrix: Int8Matrix) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and COLUMNS[0] <= x.shape[1] <= COLUMNS[1]
        and len(x) > matrix.few_rows
        and not (torch.is_grad_enabled() and x.requires_grad)
        and not torch.compiler.is_compiling()
    )


def int8_product(x: Tensor, matrix: Int8Matrix, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """`x @ weight.T + bias` for rows (B, K), rounded; then, with `gelu`, tanh-approximated GELU."""
    count, width = matrix.shape
    rows = _even(len(x), ROUNDED // width)
    step = min(count, max(1, SUMS // rows))
    room = -(-rows * width // ALIGNED) * ALIGNED
    scales = matrix.scale.float()
    shift = torch.zeros(count) if bias is None else bias.float()
    y = x.new_empty(len(x), count)
    with borrowed(room + 4 * rows * step) as memory:
        for part, into in zip(x.split(rows), y.split(rows), strict=True):
            q = memory[: part.numel()].view(torch.int8).view(part.shape)
            row_scales = quantize_rows(part, q)
            for start in range(0, count, step):
                columns = slice(start, min(start + step, count))
                shape = (len(part), columns.stop - start)
                sums = memory[room : room + 4 * shape[0] * shape[1]].view(torch.int32).view(shape)
                torch._int_mm(q, matrix.values[columns].t(), out=sums)  # noqa: SLF001 (torch has no public name for it)
                scaled = sums.view(torch.float32).copy_(sums).mul_(scales[columns])  # number by number, in their place
                torch.addcmul(shift[columns], scaled, row_scales, out=scaled)
                into[:, columns] = torch.ops.aten.gelu_(scaled, approximate="tanh") if gelu else scaled
    return y


def quantize_rows(x: Tensor, out: Tensor) -> Tensor:
    """Write the rows of x (B, K) as int8 numbers to `out`; returns their scales (B, 1), NaN for rows not finite."""
    scales = torch.empty(len(x), 1)
    for some, numbers, scale in zip(*(each.split(ROWS_AT_ONCE) for each in (x, out, scales)), strict=True):
        wide = some.float()
        torch.div(wide.abs().amax(dim=1, keepdim=True), LARGEST, out=scale)
        finite = scale.isfinite()
        wide.div_(scale.masked_fill(~finite | (scale == 0), math.inf))  # such rows become zeros, and NaN times NaN
        numbers.copy_(wide.nan_to_num_(nan=0.0).round_())
        scale.masked_fill_(~finite, math.nan)
    return scales


def scratch_bytes(dtype: torch.dtype) -> int:
    """The most that a product of many rows with a quantised matrix borrows."""
    return max(WIDENED * dtype.itemsize, ROUNDED + ALIGNED + 4 * SUMS)


def _even(total: int, most: int) -> int:
    """The size of equal parts of at most `most`."""
    parts = -(-total // max(1, most))
    return -(-total // parts)


def rounds_activations(matrix: Int8Matrix) -> bool:
    """Whether a layer that may round its rows does: as the environment says, else if it is large and that is faster."""
    chosen = env.int8_activations()
    if chosen is False or not sums_are_exact():
        return False
    return chosen or (matrix.values.numel() >= LARGE and is_faster())


_measuring = threading.Lock()


def is_faster() -> bool:
    """Whether whole numbers are clearly faster than widening: measured once in a process, in some 70 ms of one thread.

    Seconds are those of CPU, so that other work on the machine does not change the choice.
    """
    with _measuring, one_thread(torch.device("cpu")):
        return _is_faster()


@cache
def _is_faster() -> bool:
    with torch.no_grad(), torch.inference_mode(False):
        values = torch.arange(2048 * 2048, dtype=torch.int32).remainder_(255).sub_(LARGEST).to(torch.int8)
        matrix = Int8Matrix(values.view(2048, 2048), torch.ones(2048, dtype=torch.bfloat16))
        x = torch.ones(256, 2048, dtype=torch.bfloat16)
        whole, widened = (lambda: int8_product(x, matrix)), (lambda: many(x, matrix))
        least = [math.inf, math.inf]
        for _ in range(3):  # the first is for warming up
            least = [min(best, _seconds(way)) for best, way in zip(least, (whole, widened), strict=True)]
    return least[0] < FASTER * least[1]


def _seconds(work: Callable[[], Tensor]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


@cache
def sums_are_exact() -> bool:
    """Whether the product of the largest numbers is right: some processors lose what exceeds 16 bits on the way."""
    x, values = torch.full((32, 64), LARGEST, dtype=torch.int8), torch.full((64, 64), LARGEST, dtype=torch.int8)
    values[::2] = -LARGEST
    try:
        sums = torch._int_mm(x, values.t())  # noqa: SLF001
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return bool((sums == 64 * LARGEST * values[:, 0].int()).all())
