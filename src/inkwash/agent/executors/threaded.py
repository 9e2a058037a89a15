"""An executor on a thread of its own: whoever throws the stop switch never waits for a call that is under way.

A screenshot, a page that hangs or a phone that does not answer can take seconds, and a browser answers the thread that
opened it only. So that thread does nothing else, and the loop waits for the call and for the switch. A stop leaves the
call to itself: it sends nothing more, since `do` asks the same switch, and it releases what it pressed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from inkwash.agent.executors.executor import Executor
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.agent.worker import WorkerThread
from inkwash.core.errors import Cancelled

T = TypeVar("T")
RELEASE_S = 0.06  # after a stop: what is pressed is usually released by then, and the run ends after that
CLOSE_S = 10.0


class ThreadedExecutor:
    """`make` opens the executor in the thread of all its calls. `worker`: a thread that its owner closes."""

    def __init__(self, make: Callable[[], Executor], stop: StopSwitch, *, worker: WorkerThread | None = None) -> None:
        self.stop = stop
        self._worker, self._owned = worker or WorkerThread("inkwash-executor"), worker is None
        self._last: Screenshot | None = None
        opening = self._worker.submit(make)
        try:
            self._executor = stop.result(opening)
        except BaseException:
            opening.add_done_callback(_close_unwanted)
            if self._owned:
                self._worker.close()
            raise
        self.screen, self.supports = self._executor.screen, self._executor.supports
        self.known, self.hovers = self._executor.known, self._executor.hovers

    def _call(self, call: Callable[[], T]) -> T:
        """Its result. Cancelled once the switch is thrown: when the call has ended, or `RELEASE_S` later."""
        self.stop.check()
        future = self._worker.submit(call)
        try:
            return self.stop.result(future)
        except Cancelled:
            if not future.cancel():
                wait([future], RELEASE_S)
            raise

    def observe(self, *, texts: bool = False) -> Screenshot:
        self._last = self._call(lambda: self._executor.observe(texts=texts))
        return self._last

    def last_seen(self) -> Screenshot | None:
        """A fresh screenshot; after a stop the one before it, if there is any."""
        with contextlib.suppress(Cancelled):
            self.observe()
        return self._last

    def target(self, at: Pixel) -> Element | None:
        return self._call(lambda: self._executor.target(at))

    def focused(self) -> Element | None:
        return self._call(self._executor.focused)

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        return self._call(lambda: self._executor.do(wanted, stop))

    def close(self) -> None:
        """Close it in its thread; one that hangs for `CLOSE_S` is left to the end of the program."""
        closing = self._worker.submit(self._executor.close)
        wait([closing], CLOSE_S)
        if self._owned:
            self._worker.close(1.0)
        if closing.done():
            closing.result()


def _close_unwanted(opening: Future[Executor]) -> None:
    """Close what was opened after the stop, in its own thread."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
