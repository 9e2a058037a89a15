"""Root-mean-square norm with its statistics in fp32.

fp32 island: a mean of squares over a few thousand bf16 numbers loses the digits that the scale depends on. The
normalised value is cast back before the weight is applied, as the released model does it.
Source: Zhang and Sennrich 2019, arXiv:1910.07467.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``weight * x / rms(x)`` over the last dimension; x (..., D), weight (D,)."""
    if x.dtype == torch.float32:
        return weight * F.rms_norm(x, (x.shape[-1],), None, eps)
    return weight * F.rms_norm(x.float(), (x.shape[-1],), None, eps).to(x.dtype)


class RMSNorm(nn.Module):
    """RMS norm with a learned scale and no offset."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.eps}"
