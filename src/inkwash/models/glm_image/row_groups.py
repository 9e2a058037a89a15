"""Attention without masks for batches whose rows see different keys.

A mask keeps the fastest attention kernels away, and under guidance nearly every batch would need one: the
conditional half has more glyph tokens and sees the references. Glyph tokens carry no position, so they are moved to
the right end of their padding, each row's keys become one slice, and rows with equal slices are attended together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from inkwash.models.glm_image.references import References
from inkwash.nn.attention import attention


@dataclass(frozen=True, kw_only=True)
class RowGroup:
    """Neighbouring rows that skip their first `skip` own keys and see `seen` reference keys."""

    start: int
    stop: int
    skip: int = 0
    seen: int = 0


def pack_right(tokens: Tensor, mask: Tensor) -> tuple[Tensor, list[int]]:
    """Move the real tokens of each row (B, L, D) to its end, in order; also returns the padding left in each row."""
    order = mask.int().argsort(dim=1, stable=True)  # padding first
    packed = tokens.gather(1, order[..., None].expand_as(tokens))
    padding = (~mask).sum(1).tolist()
    spare = min(padding)
    return packed[:, spare:], [count - spare for count in padding]


def group_rows(skips: Sequence[int], seen: Sequence[int]) -> tuple[RowGroup, ...]:
    """Join neighbouring rows that see equally many keys."""
    groups = []
    for (skip, length), members in groupby(range(len(skips)), key=lambda row: (skips[row], seen[row])):
        rows = list(members)
        groups.append(RowGroup(start=rows[0], stop=rows[-1] + 1, skip=skip, seen=length))
    return tuple(groups)


def attend_groups(
    q: Tensor, k: Tensor, v: Tensor, *, groups: Sequence[RowGroup], references: References | None, layer: int
) -> Tensor:
    """Joint attention (B, heads, L, head_dim), group after group."""
    heads = []
    for group in groups:
        rows = slice(group.start, group.stop)
        keys, values = k[rows, :, group.skip :], v[rows, :, group.skip :]
        if references is not None and group.seen:
            before = references.of_rows(layer, group.start, group.stop, group.seen)
            keys, values = (torch.cat(pair, dim=2) for pair in zip(before, (keys, values), strict=True))
        heads.append(attention(q[rows], keys, values))
    return heads[0] if len(heads) == 1 else torch.cat(heads)
