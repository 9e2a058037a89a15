"""A key/value cache whose memory is allocated once.

The length of an AR run is known before it starts, so nothing ever grows or is copied. Writing takes either one
start for the whole batch, and then returns views that end at the last written token, or a start per row (a tensor),
and then returns the whole buffers: the caller's mask hides what is not written yet.

`StaticCache` serves a batch that begins and ends together; in a `SlotCache` every sequence has a slot of its own, which
it takes and leaves between two tokens of the others. `SequenceCaches` uses the caches of several sequences as slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class StaticCache:
    """Keys and values of all layers, (layers, B, Hkv, max_length, D)."""

    def __init__(
        self,
        layers: int,
        batch: int,
        kv_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.max_length = max_length
        # zeros, not empty: a masked score times an uninitialised NaN would still be NaN
        self.k = torch.zeros(layers, batch, kv_heads, max_length, head_dim, dtype=dtype, device=device)
        self.v = torch.zeros_like(self.k)

    @property
    def batch(self) -> int:
        return self.k.shape[1]

    def update(self, layer: int, k: Tensor, v: Tensor, start: int | Tensor) -> tuple[Tensor, Tensor]:
        """Write k, v (B, Hkv, L, D) at ``start`` and return what attention should read.

        ``start`` int: views (B, Hkv, start + L, D). ``start`` (B,) integer tensor: the full buffers.
        """
        keys, values = self.k[layer], self.v[layer]
        length = k.shape[2]
        if isinstance(start, int):
            assert start + length <= self.max_length, f"cache of {self.max_length} written at {start}+{length}"
            keys[:, :, start : start + length] = k
            values[:, :, start : start + length] = v
            return keys[:, :, : start + length], values[:, :, : start + length]
        slots = start[:, None, None, None] + torch.arange(length, device=k.device)[None, None, :, None]
        slots = slots.expand(k.shape)
        keys.scatter_(2, slots, k.to(keys.dtype))
        values.scatter_(2, slots, v.to(values.dtype))
        return keys, values

    @property
    def alive(self) -> bool:
        """Whether what was written is still there; of a cache that several processes share it may be lost."""
        return True

    def copy_from(self, other: StaticCache, length: int) -> None:
        """Take the first `length` tokens of another cache of the same network."""
        self.k[:, :, :, :length] = other.k[:, :, :, :length]
        self.v[:, :, :, :length] = other.v[:, :, :, :length]

    def select(self, rows: Tensor) -> StaticCache:
        """A cache of the given rows, repeats allowed: one prefill then serves several samples of it."""
        chosen = object.__new__(StaticCache)
        chosen.max_length = self.max_length
        chosen.k, chosen.v = self.k[:, rows].clone(), self.v[:, rows].clone()
        return chosen


class RowCache(Protocol):
    """Where rows of a pass, some of them of the same sequence, store and find keys and values."""

    joined: bool  # whether neighbouring slots can be read in one call

    def write(self, layer: int, places: Any, kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first."""

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """The first keys and values (rows, Hkv, length, D) of `slots` slots; one slot may serve all rows."""


MOST_VIEWS = 4096  # remembered by a cache, a few hundred bytes each


class SlotCache:
    """Keys and values in slots, (layers, slots, max_length, 2, Hkv, D): what one token writes lies together."""

    joined = True

    def __init__(
        self,
        layers: int,
        slots: int,
        kv_heads: int,
        max_length: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.slots, self.max_length = slots, max_length
        # zeros, not empty: a masked score times an uninitialised NaN would still be NaN
        self.kv = torch.zeros(layers, slots, max_length, 2, kv_heads, head_dim, dtype=dtype, device=device)
        self._flat = self.kv.view(layers, slots * max_length, 2 * kv_heads * head_dim).unbind()
        self._heads = [(pair[:, :, 0].transpose(1, 2), pair[:, :, 1].transpose(1, 2)) for pair in self.kv.unbind()]
        self._views: dict[tuple[int, int, int, int, int], tuple[Tensor, Tensor]] = {}

    def write(self, layer: int, places: Tensor, kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first; a place is slot * max_length + position."""
        self._flat[layer].index_copy_(0, places, kv)

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views (rows, Hkv, length, D) of the first keys and values of `slots` slots; one slot may serve all rows."""
        place = (layer, first, slots, rows, length)
        if (views := self._views.get(place)) is None:  # made anew they cost some hundredths of a token of nano
            if len(self._views) == MOST_VIEWS:
                self._views.clear()
            keys, values = self._heads[layer]
            own = slice(first, first + slots)
            views = self._views[place] = (
                keys[own, :, :length].expand(rows, -1, -1, -1),
                values[own, :, :length].expand(rows, -1, -1, -1),
            )
        return views

    def load(self, slot: int, prefix: StaticCache, length: int) -> None:
        """Copy the first `length` tokens of a prefilled row into a slot."""
        self.kv[:, slot, :length, 0] = prefix.k[:, 0, :, :length].transpose(1, 2)
        self.kv[:, slot, :length, 1] = prefix.v[:, 0, :, :length].transpose(1, 2)

    def grown(self, max_length: int) -> SlotCache:
        """A copy with longer slots."""
        layers, slots, length, _, kv_heads, head_dim = self.kv.shape
        longer = SlotCache(layers, slots, kv_heads, max_length, head_dim, self.kv.dtype, self.kv.device)
        longer.kv[:, :, :length] = self.kv
        return longer


class SequenceCache:
    """A `StaticCache` of one row, taken apart by layers once: a small model spends its time on such operations."""

    def __init__(self, cache: StaticCache) -> None:
        assert cache.batch == 1, "one sequence"
        self.layers = [(k[0], v[0]) for k, v in zip(cache.k.unbind(), cache.v.unbind(), strict=True)]  # (Hkv, S, D)
        self.views: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}


class SequenceCaches:
    """The caches of several sequences as the slots of one pass; a place is (slot, position, first row, rows)."""

    joined = False

    def __init__(self, caches: Sequence[SequenceCache]) -> None:
        self.caches = caches

    def write(self, layer: int, places: Sequence[tuple[int, int, int, int]], kv: Tensor) -> None:
        """Store kv (B, 2 * Hkv * D), keys first."""
        for slot, position, row, rows in places:
            keys, values = self.caches[slot].layers[layer]
            pair = kv[row : row + rows].view(rows, 2, keys.shape[0], keys.shape[2]).permute(1, 2, 0, 3)
            keys[:, position : position + rows] = pair[0]
            values[:, position : position + rows] = pair[1]

    def read(self, layer: int, first: int, slots: int, rows: int, length: int) -> tuple[Tensor, Tensor]:
        """Views (rows, Hkv, length, D) of the first keys and values of one slot."""
        assert slots == 1, "every sequence has memory of its own"
        cache, place = self.caches[first], (layer, rows, length)
        if (views := cache.views.get(place)) is None:
            keys, values = cache.layers[layer]
            views = cache.views[place] = (
                keys[None, :, :length].expand(rows, -1, -1, -1),
                values[None, :, :length].expand(rows, -1, -1, -1),
            )
        return views
