"""A thread that runs one call after another, for what must stay in one thread or may hang."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """It is a daemon, unlike the threads of a pool: a call that hangs does not keep the program from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have `call` run after those before it."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:  # raised again where the result is asked for
                future.set_exception(error)

        self._jobs.put(job)
        return future

    def close(self, wait_s: float = 0.0) -> None:
        """Take no further calls; wait for those that were submitted, if asked to."""
        self._jobs.put(None)
        self._thread.join(wait_s)
