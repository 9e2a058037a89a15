"""Keys and values of reference pictures, as the rows of a decoder batch read them.

Each picture is encoded once (`Decoder.encode_reference`). A batch may give every row its own pictures, any number
of them and of any size: shorter rows are padded and masked. Only the first rows read references; the rows after
them (the unconditional half under guidance) run as if there were none, and cost nothing more.

At inference attention takes no mask (`attend_groups`). A mask keeps the fastest kernels away, and under guidance nearly
every batch would need one: the conditional half has more glyph tokens and sees the references. Glyph tokens carry no
position, so they are moved to the right end of their padding, each row's keys become one slice, and rows with equal
slices are attended together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.nn.attention import attention

KeyValue = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class References:
    """Per layer keys and values (rows or 1, heads, R, head_dim) for the first `rows` rows of a batch."""

    layers: tuple[KeyValue, ...]
    rows: int
    mask: Tensor | None = None  # bool (rows, R), False where padded

    @classmethod
    def collect(cls, pictures: Sequence[Sequence[Sequence[KeyValue]]]) -> References | None:
        """Join the encoded pictures of each row: `pictures[row][i]` is a result of `encode_reference` (one picture).

        Rows without pictures are allowed; None if no row has one.
        """
        joined = [_join_pictures(row) for row in pictures]
        filled = [layers for layers in joined if layers]
        if not filled:
            return None
        lengths = [layers[0][0].shape[2] if layers else 0 for layers in joined]
        longest = max(lengths)
        empty = [(k[:, :, :0], v[:, :, :0]) for k, v in filled[0]]
        padded = [[_pad(pair, longest) for pair in layers or empty] for layers in joined]
        layers = tuple(
            (torch.cat([k for k, _ in of]), torch.cat([v for _, v in of])) for of in zip(*padded, strict=True)
        )
        mask = None
        if min(lengths) < longest:
            device = layers[0][0].device
            mask = torch.arange(longest, device=device) < torch.tensor(lengths, device=device)[:, None]
        return cls(layers=layers, rows=len(joined), mask=mask)

    @classmethod
    def shared(cls, pictures: Sequence[Sequence[KeyValue]], rows: int) -> References | None:
        """The same pictures for the first `rows` rows, stored once."""
        layers = _join_pictures(pictures)
        return cls(layers=tuple(layers), rows=rows) if layers else None

    def lengths(self, rows: int) -> list[int]:
        """How many reference keys each of `rows` rows sees; reads the mask, so call it once, outside of the loop."""
        seen = [self.layers[0][0].shape[2]] * self.rows if self.mask is None else self.mask.sum(1).tolist()
        return seen + [0] * (rows - self.rows)

    def of_rows(self, layer: int, start: int, stop: int, length: int) -> KeyValue:
        """A layer's first `length` keys and values of some rows, (stop - start, heads, length, head_dim)."""
        k, v = self.layers[layer]
        rows = slice(start, stop) if k.shape[0] > 1 else slice(0, 1)
        return (
            k[rows, :, :length].expand(stop - start, -1, -1, -1),
            v[rows, :, :length].expand(stop - start, -1, -1, -1),
        )

    def extend(self, layer: int, own: KeyValue, mask: Tensor | None) -> tuple[KeyValue, Tensor | None]:
        """Put a layer's references before the rows' own keys and values; mask is (rows, L) of the own keys."""
        k, v = self.layers[layer]
        keys = torch.cat([k.expand(self.rows, -1, -1, -1), own[0]], dim=2)
        values = torch.cat([v.expand(self.rows, -1, -1, -1), own[1]], dim=2)
        if self.mask is None and mask is None:
            return (keys, values), None
        all_seen = torch.ones(self.rows, keys.shape[2], dtype=torch.bool, device=keys.device)
        before = all_seen[:, : k.shape[2]] if self.mask is None else self.mask
        after = all_seen[:, k.shape[2] :] if mask is None else mask
        return (keys, values), torch.cat([before, after], dim=1)


def _join_pictures(pictures: Sequence[Sequence[KeyValue]]) -> list[KeyValue]:
    """Pictures one after another, per layer."""
    if any(layers[0][0].shape[0] != 1 for layers in pictures):
        raise ConfigError("A reference holds several pictures at once; split its rows and pass them one by one.")
    return [_cat(of, dim=2) for of in zip(*pictures, strict=True)]


def _cat(pairs: Sequence[KeyValue], dim: int) -> KeyValue:
    if len(pairs) == 1:  # not copied: gigabytes in the released model
        return pairs[0]
    return torch.cat([k for k, _ in pairs], dim), torch.cat([v for _, v in pairs], dim)


def _pad(pair: KeyValue, length: int) -> KeyValue:
    k, v = (F.pad(part, (0, 0, 0, length - part.shape[2])) for part in pair)
    return k, v


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
