"""The settings that the stages of training share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inkwash.core.errors import ConfigError

SCHEDULES = ("cosine", "wsd")
PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long, how fast, in which precision, and how often a stage is saved.

    `schedule` is cosine, or wsd: warm-up, a plateau, and a straight descent over the last `decay` of the steps.
    `clip` bounds the joint norm of the gradients.
    """

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    schedule: str = "cosine"
    decay: float = 0.2
    clip: float = 1.0
    precision: str = "auto"
    workers: int = 1
    save_every_s: float = 180.0

    def __post_init__(self) -> None:
        self._require("at least 1", lambda value: value >= 1, "steps")
        self._require("at least 0", lambda value: value >= 0, "warmup", "workers", "save_every_s")
        self._require("above 0", lambda value: value > 0, "lr", "clip")
        self._require("above 0 and at most 1", lambda value: 0 < value <= 1, "decay")
        self._require(f"one of {', '.join(SCHEDULES)}", SCHEDULES.__contains__, "schedule")
        self._require(f"one of {', '.join(PRECISIONS)}", PRECISIONS.__contains__, "precision")

    def _require(self, what: str, holds: Callable[[Any], bool], *names: str) -> None:
        for name in names:
            if not holds(getattr(self, name)):
                raise ValueError(f"{name} must be {what}, got {getattr(self, name)!r}.")


@dataclass(frozen=True, kw_only=True)
class NetworkTraining(Training):
    """The same for the two large networks, whose blocks Muon trains, on one process or many.

    `ema` is the decay of the averaged weights. `accumulate` cuts each batch into that many parts that are computed one
    after another; the update is the same. `recompute` drops activations and computes them again in the backward pass.
    `compile` compiles the blocks. `tensor` is the number of processes under torchrun that share every matrix (tensor
    parallelism); all other processes hold shards of the weights and parts of the batch (FSDP2), gathered `prefetch`
    blocks ahead.
    """

    ema: float = 0.998
    ns_steps: int = 5
    accumulate: int = 1
    recompute: bool = False
    compile: bool = False
    tensor: int = 1
    prefetch: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("at least 1", lambda value: value >= 1, "accumulate", "tensor", "ns_steps")
        self._require("at least 0", lambda value: value >= 0, "prefetch")
        self._require("at least 0 and below 1", lambda value: 0 <= value < 1, "ema")


def equal_parts(count: int, parts: int) -> list[slice]:
    """`count` rows in equal parts, one after another."""
    if count % parts:
        raise ConfigError(f"A batch of {count} rows cannot be cut into accumulate={parts} equal parts.")
    share = count // parts
    return [slice(first, first + share) for first in range(0, count, share)]
