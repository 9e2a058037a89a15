"""All rewards of a run on a batch of pictures and plans: each picture is read once, by worker processes of one thread.

A worker that dies is replaced once; a second death in the same batch ends the run with one sentence. The last saved
state is untouched then.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from inkwash.core.errors import InkwashError
from inkwash.eval.ocr import Line, Reader, ReaderConfig
from inkwash.rl.rewards.base import PlanInput, PlanReward, Reward, RewardInput

Scores = npt.NDArray[np.float64]
UNSURE = 0.2  # lines below this confidence are noise even for the penalty
_reader: Reader | None = None  # of a worker process


def reward_reader(version: str = "v4") -> ReaderConfig:
    """How rewards read: unsure lines are kept, for the penalty on half letters."""
    return ReaderConfig(version=version, min_score=UNSURE)


class Readings:
    """Reads pictures, in `workers` processes or, with 0, here."""

    def __init__(self, config: ReaderConfig, workers: int = 0) -> None:
        self.config, self.workers = config, workers
        self._here = Reader(config)  # reports what is missing before the work
        self._pool: ProcessPoolExecutor | None = None

    @property
    def name(self) -> str:
        return self._here.name

    def read(self, images: Sequence[Image.Image]) -> list[tuple[Line, ...]]:
        """The lines of every picture."""
        if not self.workers:
            return [tuple(self._here.read(image)) for image in images]
        for attempt in (1, 2):
            try:
                return list(self._open().map(_read, images))
            except BrokenProcessPool:
                self.close()
                if attempt == 2:
                    break
        raise InkwashError(
            "A process that reads pictures for the rewards has died twice, killed perhaps for want of memory: take "
            "fewer of them (reward_workers); the last saved state is untouched, and the same command goes on from it."
        )

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, _begin, (self.config,))
        return self._pool


def _begin(config: ReaderConfig) -> None:
    global _reader
    _reader = Reader(config)


def _read(image: Image.Image) -> tuple[Line, ...]:
    assert _reader is not None
    return tuple(_reader.read(image))


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Rewards of pictures and of plans by name with their weights; `readings` is needed by those that read."""

    rewards: dict[str, Reward] = field(default_factory=dict)
    plans: dict[str, PlanReward] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    readings: Readings | None = None

    @property
    def names(self) -> list[str]:
        return [*self.rewards, *self.plans]

    @property
    def weight_list(self) -> list[float]:
        return [self.weights.get(name, 1.0) for name in self.names]

    def score(self, items: Sequence[RewardInput]) -> Scores:
        """Of pictures (N, R), without the columns of plans; NaN where a reward could not judge."""
        if self.readings is not None and any(reward.reads for reward in self.rewards.values()):
            lines = self.readings.read([item.image for item in items])
            items = [replace(item, lines=read) for item, read in zip(items, lines, strict=True)]
        return np.array([reward(items) for reward in self.rewards.values()], dtype=np.float64).T

    def score_plans(self, items: Sequence[PlanInput]) -> Scores:
        """Of plans (N, R), the last columns of `names`."""
        scores = np.empty((len(items), len(self.plans)))
        for column, reward in enumerate(self.plans.values()):
            scores[:, column] = reward(items)
        return scores

    def close(self) -> None:
        if self.readings is not None:
            self.readings.close()
