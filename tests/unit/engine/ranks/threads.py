"""Ranks as threads of the test's own process: the same followers and gloo calls, without processes to start."""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from inkwash.engine.ranks.collectives import HOST, Connect, connector, host_store
from inkwash.engine.ranks.commands import Groups, LoadPart, PartSpec, RunMethod, connected

T = TypeVar("T")


class ThreadRanks:
    """What the first rank uses of `RankGroup`; commands are pickled as on their way to a process."""

    last: ThreadRanks

    def __init__(self, world: int, device: torch.device) -> None:
        self.world, self.device = world, device
        self.edition, self.up = 0, True
        self.steps: list[str] = []
        self._store = host_store()
        self._connect = connector(self._store, 0, device)
        self._groups: dict[str, Groups] = {}
        self._failed: list[BaseException] = []
        self._commands: list[queue.Queue[bytes | None]] = [queue.Queue() for _ in range(world - 1)]
        for rank, commands in enumerate(self._commands, 1):
            store = dist.TCPStore(HOST, self._store.port, is_master=False)  # one client waits for one thing at a time
            connect = connector(store, rank, device)
            threading.Thread(target=self._follow, args=(rank, commands, connect), daemon=True).start()
        ThreadRanks.last = self

    def _follow(self, rank: int, commands: queue.Queue[bytes | None], connect: Connect) -> None:
        parts: dict[str, Any] = {}
        while (content := commands.get()) is not None:
            try:
                command = pickle.loads(content)
                if isinstance(command, LoadPart):
                    groups = connected(command.spec, command.key, connect, rank, self.world)
                    parts[command.key] = command.spec.build_follower(groups)
                else:
                    with torch.no_grad():
                        getattr(parts[command.key], command.method)(*command.arguments)
            except BaseException as error:
                self._failed.append(error)
                raise

    def _tell(self, command: LoadPart | RunMethod) -> None:
        if self._failed:
            raise self._failed[0]
        for commands in self._commands:
            commands.put(pickle.dumps(command))

    def load(self, key: str, spec: PartSpec, mine: Callable[[], T]) -> T:
        self._tell(LoadPart(key=key, spec=spec))
        self._groups[key] = connected(spec, key, self._connect, 0, self.world)
        return mine()

    def check(self) -> None: ...

    def groups(self, key: str) -> Groups:
        return self._groups[key]

    @contextmanager
    def step(self, key: str, method: str, *arguments: Any, edition: int | None = None) -> Iterator[Groups]:
        assert edition in (None, 0)
        self.steps.append(method)
        self._tell(RunMethod(key=key, method=method, arguments=arguments))
        yield self._groups[key]

    def close(self) -> None:
        for commands in self._commands:
            commands.put(None)
