"""A model that sees on several devices: every process that torchrun started holds a share of its decoder.

    torchrun --nproc-per-node 4 -m inkwash describe photo.jpg --model zai-org/GLM-4.5V

The decoder is split as `engine.ranks.shares` says; the ViT, embeddings and head are on every device. Weights are cut
while they are read (`loading.py`), so no process ever holds more than its share and one tensor. All processes make the
same answer; the first one decides what is random. `engine.ranks` is the form in which the first one alone decides.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from inkwash.core.errors import ConfigError

BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "npu": "hccl"}


@dataclass(frozen=True)
class TensorParallelGroup:
    """This process among those that share a model."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def total(self, x: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        dist.all_reduce(x)
        return x

    def agree(self, value: int) -> int:
        """What the first process says."""
        shared = torch.tensor(value, dtype=torch.int64, device=self.device)
        dist.broadcast(shared, src=0)
        return int(shared)

    def share(self, value: Any) -> Any:
        """Any object of the first process."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]


def started() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: torch.device) -> TensorParallelGroup:
    """Join the other processes; returns this one's place and device."""
    backend = BACKENDS.get(device.type)
    if backend is None:
        raise ConfigError(f"A model cannot be shared by several {device.type} devices: use one, or the CPU.")
    if device.type != "cpu":
        device = torch.device(device.type, int(os.environ.get("LOCAL_RANK", "0")))
        torch.accelerator.set_device_index(device.index)
    if not dist.is_initialized():
        dist.init_process_group("gloo" if backend == "gloo" else f"cpu:gloo,{device.type}:{backend}")
        atexit.register(_leave)
    return TensorParallelGroup(dist.get_rank(), dist.get_world_size(), device)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
