"""One switch that ends a run: it is asked before every single event that is sent, and every wait ends with it.

`inkwash act stop` and other processes throw it through a file; Ctrl-C, a route of the server and the global hotkey
through `throw`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

from inkwash.agent.worker import WorkerThread
from inkwash.core.errors import Cancelled
from inkwash.core.hotkeys import listen_for

T = TypeVar("T")
POLL_S = 0.02


class StopSwitch:
    """Safe to use from any thread; once thrown it stays so."""

    def __init__(self, file: Path | None = None) -> None:
        """`file`: its existence throws the switch."""
        self._thrown = threading.Event()
        self.file = file
        self.reason = ""

    def throw(self, reason: str = "stopped by the user") -> None:
        """Nothing more is sent from now on."""
        self.reason = self.reason or reason
        self._thrown.set()

    @property
    def thrown(self) -> bool:
        if not self._thrown.is_set() and self.file is not None and self.file.exists():
            self.throw("stopped by another process")
        return self._thrown.is_set()

    def check(self) -> None:
        """Raise Cancelled where the switch is thrown."""
        if self.thrown:
            raise Cancelled(f"The run was {self.reason}.")

    def wait(self, seconds: float) -> None:
        """Sleep, or raise Cancelled as soon as the switch is thrown."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            self._thrown.wait(min(POLL_S, left))

    def during(self, work: Callable[[], T], *, until: float | None = None) -> T:
        """The result of `work`, which runs in a thread; Cancelled where the switch is thrown first, or at `until` (of
        `time.monotonic`), and then it is left to itself."""
        worker = WorkerThread("inkwash-agent-model")
        try:
            return self.result(worker.submit(work), until=until)
        finally:
            worker.close()

    def result(self, future: Future[T], *, until: float | None = None) -> T:
        """What a call in another thread returns; Cancelled where the switch is thrown first, or at `until`."""
        while not future.done():
            self.check()
            if until is not None and time.monotonic() > until:
                raise Cancelled("The time of the run was over before the model had answered.")
            wait([future], POLL_S)
        return future.result()


@contextlib.contextmanager
def hotkey(stop: StopSwitch, keys: str = "<ctrl>+<alt>+<shift>+k") -> Iterator[bool]:
    """Throw the switch at a key chord anywhere on the system; yields whether there is one here."""
    try:
        listener = listen_for({keys: lambda: stop.throw("stopped by its hotkey")}, extra="agent")
        listener.start()
    except Exception:  # no library, no display, no permission: each system has errors of its own
        yield False
        return
    try:
        yield True
    finally:
        listener.stop()
