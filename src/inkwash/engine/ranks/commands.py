"""What the first rank tells the others, over a socket to each: how to start, what to load, what to do."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

from inkwash.engine.ranks.collectives import Collectives, Connect

Groups = dict[str, Collectives]


class PartSpec(Protocol):
    """What a rank holds of a model: how it is split, and how one rank's share is made. Travels to the followers."""

    def members(self, world: int) -> dict[str, list[int]]:
        """The groups of ranks that talk to each other, by name."""

    def build_follower(self, groups: Groups) -> Any:
        """The part of a follower; its methods are what `RankGroup.step` names."""


@dataclass(frozen=True, kw_only=True)
class FollowerStart:
    """What a new process is told."""

    rank: int
    world: int
    device: str
    threads: int
    port: int  # of the store where ranks find each other


@dataclass(frozen=True, kw_only=True)
class LoadPart:
    """The command to load a part; it is answered with None, or the sentence that says what failed."""

    key: str
    spec: PartSpec


@dataclass(frozen=True, kw_only=True)
class RunMethod:
    """The command to call a method of a part; it is not answered."""

    key: str
    method: str
    arguments: tuple[Any, ...]


def receive(link: Connection) -> Any:
    return pickle.loads(link.recv_bytes())


def connected(spec: PartSpec, key: str, connect: Connect, rank: int, world: int) -> Groups:
    """The groups of a part that a rank belongs to; every rank makes them in the same order."""
    return {name: connect(f"{key}.{name}", ranks) for name, ranks in spec.members(world).items() if rank in ranks}
