"""A linear layer at inference, by the fastest exact kernel of this device; optionally with GELU in the same pass.

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
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _one_dnn_dtypes() -> tuple[torch.dtype, ...]:
    """Number types that oneDNN multiplies in hardware here; none where torch was built without it."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.float32, torch.bfloat16
    return (torch.float32,)


ONE_DNN_DTYPES = _one_dnn_dtypes()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """``x @ weight.T + bias``, then, with `gelu`, tanh-approximated GELU; x (..., K), weight (N, K)."""
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
    """``scale * (x @ weight.T) + bias`` of fp32 rows (B, K); `scale`, a power of two, is the caller's to undo."""

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
    largest = max(abs(float(end)) for end in torch.aminmax(weight))
    if not 0 < largest < math.inf:
        return None
    scale = 2.0 ** (LARGEST - math.frexp(largest)[1])
    for some in weight.split(ROWS_AT_ONCE):
        scaled = some.float() * scale
        if not torch.equal(scaled.half().float(), scaled):
            return None
    return scale


def can_pack() -> bool:
    """Whether this build and processor have the product (x86 with AVX2)."""
    backend = torch.backends.quantized
    return backend.engine in ("fbgemm", "x86") and "fbgemm" in backend.supported_engines
