"""Batches from shards: what was encoded once, read back in a reproducible order, a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inkwash.core.errors import ConfigError
from inkwash.data.buckets import group_area
from inkwash.data.loader import Batch
from inkwash.data.sampler import ShardSampler
from inkwash.data.shards import Sample, ShardSet

AR_FIELDS = ("ids", "tokens", "preview", "reference*.tokens")
DECODER_FIELDS = ("tokens", "latents", "reference*.tokens", "reference*.latents")


@dataclass(eq=False, kw_only=True)
class ShardBatches:
    """Batch number n of a folder of shards, for `data.loader.step_batches`.

    {"keys", "prompts": list of str, "texts": list of lists, "references": per row a list of {"tokens", "latents"},
    and every stacked array: "tokens" (B, h, w), "latents" (B, C, H/8, W/8), "preview"; "ids" stays a list}.

    `batch` is the number of samples on the smallest canvas; larger ones get fewer, in multiples of `multiple`, so that
    steps cost about the same. With `world` ranks each gets every `world`-th sample of the batch that one alone would
    get; nothing but the sharing depends on their number.
    """

    folder: Path
    batch: int
    fields: tuple[str, ...]
    seed: int = 0
    multiple: int = 1
    rank: int = 0
    world: int = 1
    shards: ShardSet = field(init=False, repr=False)
    order: ShardSampler = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.shards = ShardSet(self.folder)
        areas = {group: group_area(group) for group in self.shards.groups}
        if not areas:
            raise ConfigError(f"{self.folder} holds no samples: encode pictures into it first.")
        smallest = min(areas.values())
        batches = {
            group: max(self.multiple, round(self.batch * smallest / area) // self.multiple * self.multiple)
            for group, area in areas.items()
        }
        for group, size in batches.items():
            if size % self.world:
                raise ConfigError(
                    f"A batch of {size} pictures of {group} cannot be shared by {self.world} processes: choose batch "
                    f"and multiple as multiples of {self.world}."
                )
        counts = {group: [count for _, count in shards] for group, shards in self.shards.groups.items()}
        self.order = ShardSampler(counts=counts, batches=batches, seed=self.seed)

    def __call__(self, step: int) -> Batch:
        turn = self.order.turn(step)
        spots = turn.spots[self.rank :: self.world]
        return collate([self.shards.read(turn.group, shard, offset, self.fields) for shard, offset in spots])


def collate(samples: list[Sample]) -> Batch:
    """Samples of one group as a batch."""
    batch: dict[str, Any] = {
        "keys": [sample.key for sample in samples],
        "prompts": [sample.facts["prompt"] for sample in samples],
        "texts": [sample.facts["texts"] for sample in samples],
        "references": [_references(sample) for sample in samples],
    }
    for name in samples[0].arrays:
        if "." in name:
            continue
        arrays = [sample.arrays[name] for sample in samples]
        batch[name] = [array.astype(np.int64) for array in arrays] if name == "ids" else _stack(arrays)
    return batch


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    """Tokens as int64 and latents as float32, whatever they were stored as."""
    stacked = np.stack(arrays)
    return stacked.astype(np.float32 if stacked.dtype.kind == "f" else np.int64)


def _references(sample: Sample) -> list[dict[str, np.ndarray]]:
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, array in sample.arrays.items():
        head, dot, kind = name.partition(".")
        if dot:
            found.setdefault(int(head.removeprefix("reference")), {})[kind] = _stack([array])[0]
    return [found[number] for number in sorted(found)]
