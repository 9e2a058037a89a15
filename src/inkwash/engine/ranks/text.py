"""A GLM text decoder whose layers are shared by the ranks of a group (tensor parallelism).

The first rank embeds, samples and has the head; what all do is the way through the layers, for a prompt or for the next
tokens. It sends the tokens' embeddings and says in which caches, and at which places of them, keys and values go; every
rank has the caches of its own heads. On the first rank a `SharedText` makes the decoder announce its work: its
`forward` and caches, and a `SharedStepDecoder` and `SharedRowDecoder` that are used like those of one device.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.engine.quantize import round_arrived
from inkwash.engine.ranks.collectives import Collectives
from inkwash.engine.ranks.commands import Groups
from inkwash.engine.ranks.group import RankGroup
from inkwash.engine.ranks.shares import LAYERS, fill_share, share_decoder
from inkwash.engine.ranks.wire import WireTensor
from inkwash.models.glm.decode import CausalModel, StepDecoder
from inkwash.models.glm.decoder import TextDecoder
from inkwash.models.glm.row_decode import RowDecoder
from inkwash.models.weights import StoredTensors
from inkwash.nn.attention import SequenceCache, SequenceCaches, StaticCache

KEY, ALL = "text", "all"
NORM = "model.language_model.norm.weight"
Places = Sequence[tuple[int, int, int, int]]
Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """How a follower reads its share; `build` makes the network of a folder without numbers."""

    folder: Path
    build: Callable[[Path], Any]
    dtype: torch.dtype
    quantize: str | None = None
    variant: str | None = None

    def members(self, world: int) -> dict[str, list[int]]:
        """All ranks together."""
        return {ALL: list(range(world))}

    def build_follower(self, groups: Groups) -> FollowerText:
        """Only the layers get numbers: embeddings and head are the first rank's."""
        model, ranks = self.build(self.folder), groups[ALL]
        cuts = share_decoder(model.model.language_model, ranks)
        names = [name for name in model.state_dict() if name.startswith(LAYERS) or name == NORM]
        stored = StoredTensors(self.folder, self.variant)
        rounding = round_arrived(model, "see", self.quantize, ranks.device, self.dtype)
        fill_share(model, stored, names, cuts, device=ranks.device, dtype=self.dtype, arrived=rounding)
        model.requires_grad_(False).eval()
        return FollowerText(model, ranks)


class FollowerText:
    """A follower's share; the methods below are what the first rank announces."""

    def __init__(self, model: CausalModel, ranks: Collectives) -> None:
        self.ranks, self.decoder = ranks, model.model.language_model
        self.step = StepDecoder(model, ranks.total)
        self._rows: RowDecoder | None = None
        self._caches: dict[int, StaticCache] = {}
        self._sequences: dict[int, SequenceCache] = {}

    def make(self, handle: int, batch: int, length: int, dtype: torch.dtype | None, dropped: Sequence[int]) -> None:
        """A new cache; those in `dropped` are not needed any more."""
        for old in dropped:
            self._caches.pop(old, None)
            self._sequences.pop(old, None)
        self._caches[handle] = cache_of(self.decoder.make_cache(batch, length), dtype)

    def copy(self, source: int, target: int, length: int) -> None:
        """The beginning of one cache into another."""
        self._caches[target].copy_from(self._caches[source], length)

    def prefill(self, handle: int | None, start: int, positions: WireTensor, shape: Sequence[int]) -> None:
        """Tokens of a prompt through all layers."""
        cache = None if handle is None else self._caches[handle]
        x = self._arriving(shape)
        self.decoder(x, positions.tensor(self.ranks.device), cache, start, None)

    def rows(
        self, shape: Sequence[int], rotary: WireTensor, handles: Sequence[int], places: Places, spans: Spans
    ) -> None:
        """Rows of several sequences on a CPU (`RowDecoder`)."""
        if self._rows is None:
            self._rows = RowDecoder(self.step)
        x = self._arriving(shape, torch.float32)
        caches = SequenceCaches([self._sequence(handle) for handle in handles])
        self._rows.pass_rows(x, rotary.tensor(), caches, places, spans)

    def tokens(self, shape: Sequence[int], rotary: WireTensor, handles: Sequence[int], starts: Sequence[int]) -> None:
        """A token of each of several sequences."""
        x, caches = self._arriving(shape), [self._caches[handle] for handle in handles]
        self.step.pass_rows(x, self._tables(rotary), caches, starts)

    def block(self, shape: Sequence[int], rotary: WireTensor, handle: int, start: int) -> None:
        """Several tokens of one sequence."""
        self.step.pass_block(self._arriving(shape), self._tables(rotary), self._caches[handle], start)

    def _arriving(self, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or self.decoder.norm.weight.dtype
        return self.ranks.broadcast(torch.empty(*shape, dtype=dtype, device=self.ranks.device))

    def _tables(self, rotary: WireTensor) -> Tensor:
        return rotary.tensor(self.ranks.device)

    def _sequence(self, handle: int) -> SequenceCache:
        if handle not in self._sequences:
            self._sequences[handle] = SequenceCache(self._caches[handle])
        return self._sequences[handle]


def cache_of(cache: StaticCache, dtype: torch.dtype | None) -> StaticCache:
    """The cache in another number type; None leaves it as it is."""
    if dtype is not None:
        cache.k, cache.v = cache.k.to(dtype), cache.v.to(dtype)
    return cache


class SharedCache(StaticCache):
    """The first rank's part of a cache that every rank has for its heads."""

    def __init__(self, text: SharedText, local: StaticCache, handle: int, edition: int) -> None:
        self.max_length, self.k, self.v = local.max_length, local.k, local.v
        self.text, self.handle, self.edition = text, handle, edition
        weakref.finalize(self, text.dropped.append, handle).atexit = False

    @property
    def alive(self) -> bool:
        """False once a rank was lost: its part of the keys and values is gone."""
        return self.edition == self.text.group.edition and self.text.group.up

    def copy_from(self, other: StaticCache, length: int) -> None:
        """On every rank."""
        assert isinstance(other, SharedCache)
        edition = min(self.edition, other.edition)
        with self.text.group.step(KEY, "copy", other.handle, self.handle, length, edition=edition):
            super().copy_from(other, length)


class CurrentGroup:
    """A group of ranks as it is now, whichever followers it has: what the first rank's layers hold on to."""

    def __init__(self, group: RankGroup, key: str, name: str) -> None:
        self._group, self._key, self._name = group, key, name
        self.rank, self.world = 0, group.world

    def total(self, x: Tensor) -> Tensor:
        """The sum over all ranks, within a step."""
        return self._group.groups(self._key)[self._name].total(x)


class SharedText:
    """The first rank's decoder, whose modules are its share already (`shares.share_decoder`)."""

    def __init__(self, group: RankGroup, model: Any) -> None:
        decoder: TextDecoder = model.model.language_model
        self.group, self.model = group, model
        self.dropped: deque[int] = deque()
        self._handles = itertools.count()
        self._forward, self._make_cache = decoder.forward, decoder.make_cache
        decoder.forward = self.forward  # type: ignore[method-assign]
        decoder.make_cache = self.make_cache  # type: ignore[method-assign]
        self.adder = CurrentGroup(group, KEY, ALL)

    def make_cache(self, batch: int, max_length: int, dtype: torch.dtype | None = None) -> SharedCache:
        """An empty cache on every rank."""
        handle = next(self._handles)
        dropped = [self.dropped.popleft() for _ in range(len(self.dropped))]
        with self.group.step(KEY, "make", handle, batch, max_length, dtype, dropped):
            local, edition = cache_of(self._make_cache(batch, max_length), dtype), self.group.edition
        return SharedCache(self, local, handle, edition)

    def forward(
        self, x: Tensor, positions: Tensor, cache: StaticCache | None, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        """`TextDecoder.forward` on every rank, for what prefills need of it."""
        assert mask is None and isinstance(start, int), "prompts are read one by one"
        assert cache is None or isinstance(cache, SharedCache)
        handle, edition = (None, None) if cache is None else (cache.handle, cache.edition)
        arguments = (handle, start, WireTensor.of(positions), tuple(x.shape))
        with self.group.step(KEY, "prefill", *arguments, edition=edition) as groups:
            return self._forward(groups[ALL].broadcast(x.contiguous()), positions, cache, start, mask)


class SharedStepDecoder(StepDecoder):
    """`StepDecoder` on every rank."""

    def __init__(self, text: SharedText) -> None:
        super().__init__(text.model, text.adder.total)
        self.text = text

    def pass_token(
        self, x: Tensor, rotary: Tensor, cache: StaticCache, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        assert isinstance(start, int) and mask is None, "each sequence has a cache of its own"
        return self.pass_rows(x, rotary, [cache], [start])

    def pass_rows(self, x: Tensor, rotary: Tensor, caches: Sequence[StaticCache], starts: Sequence[int]) -> Tensor:
        handles, edition = handles_of(caches)
        arguments = (tuple(x.shape), WireTensor.of(rotary), handles, list(starts))
        with self.text.group.step(KEY, "tokens", *arguments, edition=edition) as groups:
            return super().pass_rows(groups[ALL].broadcast(x), rotary, caches, starts)

    def pass_block(self, x: Tensor, rotary: Tensor, cache: StaticCache, start: int) -> Tensor:
        handles, edition = handles_of([cache])
        arguments = (tuple(x.shape), WireTensor.of(rotary), handles[0], start)
        with self.text.group.step(KEY, "block", *arguments, edition=edition) as groups:
            return super().pass_block(groups[ALL].broadcast(x), rotary, cache, start)


class SharedRowDecoder(RowDecoder):
    """`RowDecoder` on every rank, over sequences with caches of their own."""

    step: SharedStepDecoder

    def pass_rows(self, x: Tensor, rotary: Tensor, cache: Any, places: Any, rows: Sequence[tuple[int, int]]) -> Tensor:
        assert isinstance(cache, SharedSequences)
        arguments = (tuple(x.shape), WireTensor.of(rotary), cache.handles, list(places), list(rows))
        with self.step.text.group.step(KEY, "rows", *arguments, edition=cache.edition) as groups:
            return super().pass_rows(groups[ALL].broadcast(x), rotary, cache, places, rows)


class SharedSequences(SequenceCaches):
    """Shared caches as the slots of one pass."""

    def __init__(self, caches: Sequence[StaticCache], layers: Sequence[SequenceCache]) -> None:
        super().__init__(layers)
        self.handles, self.edition = handles_of(caches)


def handles_of(caches: Sequence[StaticCache]) -> tuple[list[int], int]:
    """What followers know the caches by, and the edition of the oldest: one that has passed fails the step."""
    shared = [cache for cache in caches if isinstance(cache, SharedCache)]
    assert len(shared) == len(caches)
    return [cache.handle for cache in shared], min(cache.edition for cache in shared)
