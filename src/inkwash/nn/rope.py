"""Rotary position embeddings: three-axis ones for the text decoders, two-axis ones for pictures.

They rotate pairs of the first R channels of a head by an angle that is position times frequency, and leave the
remaining channels alone; a pair is (x[i], x[i + R/2]) ("rotate half") or, in the dense GLM-V, (x[2i], x[2i + 1]).
In the three-axis form (M-RoPE) the frequencies are cut into sections, and section i takes its position from axis i
modulo 3 (time, height, width).
Sources: Su et al. 2021, arXiv:2104.09864; Wang et al. 2024 (M-RoPE), arXiv:2409.12191.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Device = torch.device | str | None


def inverse_frequencies(rotary_dim: int, theta: float, device: Device = None) -> Tensor:
    """``theta ** (-2i / R)`` for i < R/2, fp32 (R/2,)."""
    exponents = torch.arange(0, rotary_dim, 2, dtype=torch.float32, device=device) / rotary_dim
    return 1.0 / (theta**exponents)


def multi_axis_rotary(
    positions: Tensor, rotary_dim: int, sections: Sequence[int], theta: float = 10000.0
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of M-RoPE, fp32 (B, L, R) each; positions (3, B, L), sections sum to R/2.

    fp32 island: angles reach the thousands, where bf16 has no fraction left.
    """
    frequencies = inverse_frequencies(rotary_dim, theta, positions.device)
    axes = torch.tensor([i % 3 for i, n in enumerate(sections) for _ in range(n)], device=positions.device)
    angles = positions.float()[axes].movedim(0, -1) * frequencies  # (B, L, R/2)
    return _doubled(angles)


def image_rotary(
    height: int, width: int, head_dim: int, theta: float = 10000.0, device: Device = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of a grid, fp32 (H*W, head_dim) each: first half of the frequencies row, second half column."""
    frequencies = inverse_frequencies(head_dim // 2, theta, device)
    rows = torch.arange(height, dtype=torch.float32, device=device)[:, None] * frequencies
    columns = torch.arange(width, dtype=torch.float32, device=device)[:, None] * frequencies
    angles = torch.cat(
        [rows[:, None].expand(height, width, -1), columns[None].expand(height, width, -1)], dim=-1
    ).flatten(0, 1)
    return _doubled(angles)


def apply_rotary_half(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the first R channels of x (..., L, D) by tables broadcastable to (..., L, R); dtype of x is kept.

    The arithmetic runs in the wider of the two dtypes: fp32 tables make it an fp32 island.
    """
    half = cos.shape[-1] // 2
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    c, s = cos[..., :half], sin[..., :half]
    rotated = [(first * c - second * s).to(x.dtype), (second * c + first * s).to(x.dtype)]
    return torch.cat(rotated if rest.shape[-1] == 0 else [*rotated, rest], dim=-1)


def apply_rotary_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As `apply_rotary_half`, with the same tables, for the pairs (x[2i], x[2i + 1])."""
    rotated, half = cos.shape[-1], cos.shape[-1] // 2
    first, second, rest = x[..., 0:rotated:2], x[..., 1:rotated:2], x[..., rotated:]
    c, s = cos[..., :half], sin[..., :half]
    pairs = torch.stack([(first * c - second * s).to(x.dtype), (second * c + first * s).to(x.dtype)], dim=-1)
    return torch.cat([pairs.flatten(-2), rest], dim=-1)


def _doubled(angles: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1), torch.cat([sin, sin], dim=-1)
