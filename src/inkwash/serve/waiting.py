"""How many chat answers may wait: the rule of the engine's queue (`--max-queue`) for the other route."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from inkwash.engine.scheduler import QueueFull

Leave = Callable[[], None]  # gives a place back
Enter = Callable[[], Leave]  # takes one, when the body of a request is there
_SHARE = 0.2  # of the newest answer in the running mean


class AnswerQueue:
    """`at_once` answers are made together, `max_waiting` more may wait; safe from any thread."""

    def __init__(self, *, at_once: int, max_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.at_once, self.max_waiting, self.clock = at_once, max_waiting, clock
        self._lock = threading.Lock()
        self._begun: dict[object, float] = {}
        self._mean_s: float | None = None

    def check(self) -> None:
        """Raise QueueFull, with an estimate, when there is no place; takes none."""
        with self._lock:
            self._check()

    def _check(self) -> None:
        if len(self._begun) >= self.at_once + self.max_waiting:
            wait = self._wait_s()
            raise QueueFull(
                f"{self.max_waiting} conversations are waiting, as many as the queue holds: try again in {wait:.0f} s.",
                retry_after=wait,
            )

    def enter(self) -> Leave:
        """Take a place; what is returned gives it back. Raises QueueFull when there is none."""
        place = object()
        with self._lock:
            self._check()
            self._begun[place] = self.clock()

        def leave() -> None:
            with self._lock:
                begun = self._begun.pop(place, None)
                if begun is not None:
                    self._learn(self.clock() - begun)

        return leave

    @property
    def waiting(self) -> int:
        """Conversations that no answer is made for yet."""
        return max(0, len(self._begun) - self.at_once)

    def _learn(self, seconds: float) -> None:
        self._mean_s = seconds if self._mean_s is None else (1 - _SHARE) * self._mean_s + _SHARE * seconds

    def _wait_s(self) -> float:
        """Until the next place is free: what an answer takes, shared by those that are made together.

        Before the first one has ended, what the oldest has taken so far is all that is known.
        """
        if self._mean_s is not None:
            return max(1.0, self._mean_s / self.at_once)
        return max(1.0, self.clock() - min(self._begun.values(), default=self.clock()))
