"""The settings that every stage of training shares."""

from __future__ import annotations

from dataclasses import dataclass

SCHEDULES = ("cosine", "wsd")
PRECISIONS = ("auto", "bf16", "fp32")


@dataclass(frozen=True, kw_only=True)
class Training:
    """One stage: how long, how fast, in which precision, on how many processes, and how often it is saved.

    `schedule` is cosine, or wsd: warm-up, a plateau, and a straight descent over the last `decay` of the steps.
    `accumulate` cuts each batch into that many parts that are computed one after another; the update is the same.
    `clip` bounds the joint norm of the gradients. `recompute` drops activations and computes them again in the backward
    pass. `compile` compiles the blocks. `tensor` is the number of processes under torchrun that share every matrix
    (tensor parallelism); all other processes hold shards of the weights and parts of the batch (FSDP2), gathered
    `prefetch` blocks ahead.
    """

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    schedule: str = "cosine"
    decay: float = 0.2
    ema: float = 0.998
    clip: float = 1.0
    ns_steps: int = 5
    accumulate: int = 1
    precision: str = "auto"
    recompute: bool = False
    compile: bool = False
    tensor: int = 1
    prefetch: int = 1
    workers: int = 1
    save_every_s: float = 180.0

    def __post_init__(self) -> None:
        whole = {name: getattr(self, name) for name in ("steps", "accumulate", "tensor", "ns_steps")}
        for name, value in whole.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        for name in ("warmup", "workers", "prefetch", "save_every_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, got {getattr(self, name)}.")
        if not self.lr > 0 or not self.clip > 0:
            raise ValueError(f"lr and clip must be above 0, got {self.lr} and {self.clip}.")
        if not 0 <= self.ema < 1 or not 0 < self.decay <= 1:
            raise ValueError(f"ema must be in [0, 1) and decay in (0, 1], got {self.ema} and {self.decay}.")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
