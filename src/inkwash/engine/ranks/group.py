"""The first rank's side of a group: it starts the others, tells them what to do, and starts them again when one dies.

    group = RankGroup(2, torch.device("cpu"))
    text = group.load("text", spec, make)                        # every rank loads its share
    with group.step("text", "prefill", ..., edition=...) as groups:   # every rank does its share of one step
        groups["all"].broadcast(x)

One step is under way at a time, in the order of asking, so that all ranks make the same calls in the same order
whatever threads ask. When a rank dies, or a step fails in any way, the other ranks' state is not known any more: all
followers are ended and started again, and whoever needed what they held gets `RankLost` (503, with when to come back).
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch

from inkwash.core.errors import InkwashError, RequestError
from inkwash.engine.ranks.collectives import Collectives, check_devices, connector, device_of, host_store
from inkwash.engine.ranks.commands import FollowerStart, Groups, LoadPart, PartSpec, RunMethod, connected, receive
from inkwash.engine.ranks.forkserver import ForkServer

log = logging.getLogger(__name__)

T = TypeVar("T")
TRIES_PAUSE_S = 2.0  # between two starts where the first failed; doubled each time, up to a minute


class RankLost(RequestError):
    """A device's process died, and with it what the group was working on; it is being started again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "A process of the model's group of devices was lost and is being started again: send the request again "
            "later.",
            status=503,
            code="rank_lost",
        )
        self.retry_after = retry_after


class _Turns:
    """A lock that is had in the order of asking."""

    def __init__(self) -> None:
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        me = object()
        with self._changed:
            self._line.append(me)
            while self._line[0] is not me:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._line.popleft()
                self._changed.notify_all()


class _Follower:
    """A process and the socket to it, which a thread of its own listens at."""

    def __init__(self, server: ForkServer, start: FollowerStart) -> None:
        self.pid, self.link = server.fork()
        self.gone = False
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self.link.send_bytes(pickle.dumps(start))
        threading.Thread(target=self._listen, name="inkwash-rank", daemon=True).start()

    def _listen(self) -> None:
        """Take its answers; the end of the socket is the end of the process."""
        with suppress(EOFError, OSError):
            while True:
                self._answers.put(receive(self.link))
        self.gone = True
        self.link.close()
        self._answers.put("A process of the group ended while it was started; its last words are above.")
        self._ended.set()

    def answer(self) -> None:
        """Wait until it is through with what it was told; raises what failed there."""
        failure = self._answers.get()
        if failure is not None:
            raise InkwashError(failure)

    def wait(self) -> None:
        """Wait for its end."""
        self._ended.wait()

    def kill(self) -> None:
        """Kill it; more than once is once."""
        if not self.gone:
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class _Edition:
    """One life of the group: its processes and how this one is connected with them."""

    number: int
    followers: tuple[_Follower, ...]
    connect: Callable[..., Collectives]
    store: Any
    groups: dict[str, Groups]

    def tell(self, command: LoadPart | RunMethod) -> None:
        content = pickle.dumps(command, protocol=5)
        for follower in self.followers:
            follower.link.send_bytes(content)

    def meet(self, key: str, spec: PartSpec) -> None:
        """Have the followers load a part, and connect with them."""
        self.tell(LoadPart(key=key, spec=spec))
        self.groups[key] = connected(spec, key, self.connect, 0, len(self.followers) + 1)

    def end(self) -> None:
        with ExitStack() as ends:  # the last one first
            for groups in self.groups.values():
                for each in groups.values():
                    ends.callback(each.abort)
            for follower in self.followers:
                ends.callback(follower.kill)


class RankGroup:
    """See the module; safe for several threads."""

    def __init__(self, world: int, device: torch.device) -> None:
        """Start the followers; the first rank's device is `device_of(device, 0)`."""
        check_devices(device, world)
        self.world, self.device = world, device_of(device, 0)
        self._kind = device
        self._turns = _Turns()
        self._changed = threading.Condition()
        self._specs: dict[str, PartSpec] = {}
        self._closed = False
        self._down_since: float | None = None
        self.start_s = 10.0  # what the last start took, loading included
        self._threads = max(1, torch.get_num_threads() // world) if device.type == "cpu" else torch.get_num_threads()
        torch.set_num_threads(self._threads)
        begun = time.monotonic()
        self._server = ForkServer()
        self._living: list[_Edition | ForkServer] = [self._server]
        self._end = weakref.finalize(self, _end_all, self._living)
        self._edition = self._start(0)
        self.start_s = time.monotonic() - begun
        self._watch(self._edition)

    @property
    def edition(self) -> int:
        """Which life of the group this is: what followers held in an earlier one is gone."""
        return self._edition.number

    @property
    def up(self) -> bool:
        """Whether all ranks are there."""
        return self._down_since is None and not self._closed

    @property
    def processes(self) -> tuple[int, ...]:
        """The followers' process ids."""
        return tuple(follower.pid for follower in self._edition.followers)

    def load(self, key: str, spec: PartSpec, mine: Callable[[], T]) -> T:
        """Let all ranks load a part at the same time, this one by `mine`; raises InkwashError where one cannot."""
        begun = time.monotonic()
        with self._turns.turn():
            edition = self._edition
            try:
                edition.meet(key, spec)
                made = mine()
                for follower in edition.followers:
                    follower.answer()
            except BaseException:
                self.close()
                raise
            self._specs[key] = spec
        self.start_s += time.monotonic() - begun
        return made

    def check(self) -> None:
        """Raise RankLost while a rank is missing."""
        if not self.up:
            raise RankLost(self.back_in_s())

    def back_in_s(self) -> float:
        """When the group is likely to be whole again."""
        gone = 0.0 if self._down_since is None else time.monotonic() - self._down_since
        return max(1.0, 1.5 * self.start_s - gone)

    def groups(self, key: str) -> Groups:
        """This rank's groups of a part."""
        return self._edition.groups[key]

    @contextmanager
    def step(self, key: str, method: str, *arguments: Any, edition: int | None = None) -> Iterator[Groups]:
        """All ranks at one piece of work: followers call `method` of their part, this rank runs the block.

        `edition`: that of what the arguments refer to; raises RankLost where it has passed, and where the step fails.
        """
        with self._turns.turn():
            self.check()
            current = self._edition
            if edition is not None and edition != current.number:
                raise RankLost(self.back_in_s())
            try:
                current.tell(RunMethod(key=key, method=method, arguments=arguments))
                yield current.groups[key]
            except Exception as error:
                log.warning("a step of the group failed: %s", error)
                self.lose(current)
                raise RankLost(self.back_in_s()) from error
            except BaseException:
                self.lose(current)
                raise

    def close(self) -> None:
        """End the followers; nothing can be asked of the group afterwards."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> bool:
        """Wait until all ranks are there again; whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self.up or self._closed, seconds) and self.up

    # ---- starts

    def _start(self, number: int) -> _Edition:
        if not self._server.alive:
            self._server = ForkServer()
        store = host_store()
        starts = [
            FollowerStart(rank=rank, world=self.world, device=str(self._kind), threads=self._threads, port=store.port)
            for rank in range(1, self.world)
        ]
        followers = tuple(_Follower(self._server, each) for each in starts)
        edition = _Edition(number, followers, connector(store, 0, self.device), store, {})
        self._living[:] = [self._server, edition]
        try:
            for follower in edition.followers:
                follower.answer()
        except BaseException:
            edition.end()
            raise
        return edition

    def _watch(self, edition: _Edition) -> None:
        """Notice the death of any follower; the threads hold no reference to the group."""
        me = weakref.ref(self)

        def wait(follower: _Follower) -> None:
            follower.wait()
            group = me()
            if group is not None:
                group.lose(edition)

        for follower in edition.followers:
            threading.Thread(target=wait, args=(follower,), name="inkwash-rank", daemon=True).start()

    def lose(self, edition: _Edition) -> None:
        """End an edition and have the next one started, once."""
        with self._changed:
            if self._closed or self._down_since is not None or edition is not self._edition:
                return
            self._down_since = time.monotonic()
        log.warning("a rank was lost: the group is started again")
        edition.end()
        threading.Thread(target=self._restart, name="inkwash-ranks", daemon=True).start()

    def _restart(self) -> None:
        pause, number = TRIES_PAUSE_S, self._edition.number + 1
        while not self._closed:
            begun = time.monotonic()
            edition: _Edition | None = None
            try:
                edition = self._start(number)
                for key, spec in self._specs.items():
                    edition.meet(key, spec)
                    for follower in edition.followers:
                        follower.answer()
            except Exception as error:
                log.error("the group could not be started again: %s", error)
                if edition is not None:
                    edition.end()
                time.sleep(pause)
                pause = min(60.0, 2 * pause)
                continue
            with self._turns.turn(), self._changed:
                self._edition = edition
                self._down_since = None
                self._changed.notify_all()
            self.start_s = time.monotonic() - begun
            log.warning("the group is whole again after %.1f s", self.start_s)
            self._watch(edition)
            break
        if not self.up:  # closed while it was started
            _end_all(self._living)


def _end_all(living: list[_Edition | ForkServer]) -> None:
    with ExitStack() as ends:  # the last one first
        for each in living:
            ends.callback(each.end)
