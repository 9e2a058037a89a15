"""In which order a run sees its samples: a pure function of the seed and the step.

Every epoch visits every sample of every group at least once. Shards are shuffled, then the samples of a few
neighbouring shards among each other (so that reading stays local), then the batches of all groups. A group whose
last batch is not full fills it from its own beginning. Workers and ranks take no part in any of this, so the order is
the same for any number of them, and a run that continues at step n needs to know n and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SampleIndex = tuple[int, int]  # shard of a group, sample of the shard


@dataclass(frozen=True, kw_only=True)
class BatchIndex:
    """What step n is: its epoch, its group, and which samples it sees."""

    epoch: int
    group: str
    spots: tuple[SampleIndex, ...]

    @property
    def state(self) -> dict[str, int | str]:
        """Where the step begins, as a position in the data."""
        shard, offset = self.spots[0]
        return {"epoch": self.epoch, "group": self.group, "shard": shard, "offset": offset}


@dataclass(kw_only=True)
class ShardSampler:
    """`counts` are samples per shard of every group, `batches` the samples of one step of every group."""

    counts: Mapping[str, Sequence[int]]
    batches: Mapping[str, int]
    seed: int = 0
    window: int = 8  # shards that are shuffled together
    _epochs: dict[int, list[BatchIndex]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not any(sum(shards) for shards in self.counts.values()):
            raise ValueError("there are no samples to order")

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every sample is seen at least once."""
        return sum(-(-sum(shards) // self.batches[group]) for group, shards in self.counts.items())

    def turn(self, step: int) -> BatchIndex:
        """The samples of one step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch not in self._epochs:
            self._epochs = {epoch: self._epoch(epoch)}
        return self._epochs[epoch][place]

    def _epoch(self, epoch: int) -> list[BatchIndex]:
        turns = []
        for group in sorted(self.counts):
            spots, size = self._samples(epoch, group), self.batches[group]
            for begin in range(0, len(spots), size):
                chosen = [spots[i % len(spots)] for i in range(begin, begin + size)]
                turns.append(BatchIndex(epoch=epoch, group=group, spots=tuple(chosen)))
        order = self._generator(epoch, "batches").permutation(len(turns))
        return [turns[i] for i in order]

    def _samples(self, epoch: int, group: str) -> list[SampleIndex]:
        counts = self.counts[group]
        rng = self._generator(epoch, group)
        shards = rng.permutation(len(counts))
        spots: list[SampleIndex] = []
        for begin in range(0, len(shards), self.window):
            near = [(int(s), i) for s in shards[begin : begin + self.window] for i in range(counts[s])]
            spots += [near[i] for i in rng.permutation(len(near))]
        return spots

    def _generator(self, epoch: int, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, *name.encode()])
