"""Prompts and plans of different lengths as one batch, for networks that take one; the engine gives each a slot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def left_pad(
    prompts: Sequence[Sequence[int]], positions: Sequence[Tensor], pad_id: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts of different lengths as one batch that ends together: ids (B, L), positions (3, B, L), keep (B, L).

    `keep` is False on padding; give it to the generator as its mask.
    """
    length = max(len(p) for p in prompts)
    gaps = [length - len(p) for p in prompts]
    ids = torch.stack([F.pad(torch.as_tensor(p), (gap, 0), value=pad_id) for p, gap in zip(prompts, gaps, strict=True)])
    padded = torch.stack([F.pad(p, (gap, 0)) for p, gap in zip(positions, gaps, strict=True)], dim=1)
    keep = torch.arange(length)[None] >= torch.tensor(gaps)[:, None]
    return ids, padded, keep


def stack_plans(plans: Sequence[Tensor]) -> Tensor:
    """Plans (3, N_i) as one (3, B, max N); shorter ones repeat their end position."""
    length = max(p.shape[1] for p in plans)
    return torch.stack([torch.cat([p, p[:, -1:].expand(3, length - p.shape[1])], dim=1) for p in plans], dim=1)
