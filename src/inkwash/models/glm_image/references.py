"""Keys and values of reference pictures, as the rows of a decoder batch read them.

Each picture is encoded once (`Decoder.encode_reference`). A batch may give every row its own pictures, any number
of them and of any size: shorter rows are padded and masked. Only the first rows read references; the rows after
them (the unconditional half under guidance) run as if there were none, and cost nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.errors import ConfigError

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
