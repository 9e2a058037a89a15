"""Learned squares of positions, read at the centres of a grid of any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def sample_grid(table: Tensor, side: int, height: int, width: int, *, mode: str) -> Tensor:
    """The table (side*side, D) interpolated at the centres of height x width cells -> (height*width, D).

    Points past the outermost centres take the border's value.
    fp32 island: interpolation weights in bf16 would move the sampling points.
    """
    square = rearrange(table.float(), "(h w) d -> 1 d h w", h=side)
    points = torch.stack(
        [
            _centres(width, table.device).expand(height, width),
            _centres(height, table.device)[:, None].expand(height, width),
        ],
        dim=-1,
    )
    sampled = F.grid_sample(square, points[None], mode=mode, padding_mode="border", align_corners=False)
    return rearrange(sampled, "1 d h w -> (h w) d").to(table.dtype)


def _centres(count: int, device: torch.device) -> Tensor:
    """Centres of `count` cells on [-1, 1], fp32."""
    return (torch.arange(count, dtype=torch.float32, device=device) + 0.5) / count * 2 - 1
