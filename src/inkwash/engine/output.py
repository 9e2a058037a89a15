"""What a pipeline call returns: pictures, how to repeat each of them, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from inkwash.engine.plan import Plan


@dataclass(frozen=True)
class GlmImagePipelineOutput:
    """`images` in the asked type; the seed of each picture (None if its generator was used before); the plan; seconds
    of each stage ("prepare", "prior", "denoise", "decode", "total")."""

    images: Any
    seeds: list[int | None]
    plan: Plan
    timings: dict[str, float]

    def __getitem__(self, index: int) -> Any:
        """`output[0]` is the images, as in the tuple that `return_dict=False` gives."""
        return (self.images,)[index]


@dataclass
class Stopwatch:
    """Seconds of each stage, waiting for the accelerator at the borders."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
            if self.device.type not in ("cpu", "meta"):
                torch.accelerator.synchronize(self.device)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def finished(self) -> dict[str, float]:
        return {**self.seconds, "total": sum(self.seconds.values())}
