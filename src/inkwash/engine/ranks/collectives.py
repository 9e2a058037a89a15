"""What the ranks of a group say to each other while they compute: sums, broadcasts, exchanges, over gloo or NCCL.

Process groups are made directly, not through torch's global one: a process may belong to several, and a group that
lost a rank is dropped and made anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from inkwash.core.errors import ConfigError

HOST = "127.0.0.1"
PATIENCE = timedelta(minutes=5)  # with a rank that neither answers nor dies


@dataclass(frozen=True)
class Collectives:
    """This process among those of a group. Every rank makes the same calls in the same order."""

    rank: int
    world: int
    device: torch.device
    group: Any = None  # None where there is nobody else

    def total(self, x: Tensor) -> Tensor:
        """The sum over all ranks, in place."""
        if self.group is not None:
            self.group.allreduce([x]).wait()
        return x

    def broadcast(self, x: Tensor) -> Tensor:
        """What the first rank has in `x`, in place; `x` is contiguous."""
        if self.group is not None:
            self.group.broadcast([x], dist.BroadcastOptions()).wait()
        return x

    def send(self, x: Tensor, to: int) -> None:
        self.group.send([x.contiguous()], to, 0).wait()

    def receive(self, x: Tensor, source: int) -> Tensor:
        """What rank `source` sends, into `x`."""
        self.group.recv([x], source, 0).wait()
        return x

    def exchange(self, parts: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Hand part i to rank i; returns what each rank hands to this one, of the given shapes."""
        if self.group is None:
            return [part.reshape(tuple(shape)) for part, shape in zip(parts, shapes, strict=True)]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        outgoing = torch.cat([part.reshape(-1) for part in parts])
        incoming = outgoing.new_empty(sum(sizes))
        input_sizes = [part.numel() for part in parts]
        self.group.alltoall_base(incoming, outgoing, sizes, input_sizes, dist.AllToAllOptions()).wait()
        return [part.view(tuple(shape)) for part, shape in zip(incoming.split(sizes), shapes, strict=True)]

    def abort(self) -> None:
        """Let calls that wait for a rank that is gone come back; the group is of no use afterwards."""
        if self.group is not None and self.device.type != "cpu":
            self.group.abort()


Connect = Callable[[str, Sequence[int]], Collectives]


def host_store() -> dist.TCPStore:
    """The place where the ranks of this machine find each other, held by the first one."""
    return dist.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)


def connector(store: dist.Store, rank: int, device: torch.device) -> Connect:
    """Makes groups of some of the ranks, each under a name that is used once; all its ranks have to call."""

    def connect(name: str, ranks: Sequence[int]) -> Collectives:
        place = list(ranks).index(rank)
        if len(ranks) == 1:
            return Collectives(0, 1, device)
        prefixed = dist.PrefixStore(name, store)
        return Collectives(place, len(ranks), device, _process_group(prefixed, place, len(ranks), device))

    return connect


def device_of(device: torch.device, rank: int) -> torch.device:
    """Each rank's own device: all share the CPU, or accelerators are dealt out in order."""
    return device if device.type == "cpu" else torch.device(device.type, rank)


def check_devices(device: torch.device, world: int) -> None:
    """Raise ConfigError where so many ranks find no place on this machine."""
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"A model cannot be shared by several {device.type} devices: use one, or the CPU.")
    if sys.platform == "win32":
        raise ConfigError("A model is shared by several devices on Linux and macOS only: leave the number at 1.")
    if device.type == "cuda" and torch.cuda.device_count() < world:
        raise ConfigError(
            f"{world} devices were asked for, but this machine has {torch.cuda.device_count()}: choose a smaller "
            "number."
        )


def _process_group(store: dist.Store, rank: int, world: int, device: torch.device) -> Any:
    if device.type == "cuda":
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = PATIENCE  # noqa: SLF001 (torch has no public name for it)
        return dist.ProcessGroupNCCL(store, rank, world, options)
    options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]  # noqa: SLF001
    options._timeout = PATIENCE  # noqa: SLF001
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=HOST)]  # noqa: SLF001
    options._threads = 2  # noqa: SLF001
    return dist.ProcessGroupGloo(store, rank, world, options)
