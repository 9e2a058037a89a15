"""While work runs: one bar per stage on stderr with count, time gone and time left, and Ctrl-C within a second.

Without a terminal there are no bars. The work runs in a thread while the main thread waits for it or for the signal:
Python delivers a signal only between two bytecodes of the main thread, and one operation of a large model may take
many seconds. The waiting main thread gets it at once, asks the work to stop, and after a short grace ends the process.
Files are written by the main thread only, through a temporary file, so that nothing half-written can stay.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from inkwash.core.errors import Cancelled

if TYPE_CHECKING:
    from rich.progress import TaskID

    from inkwash.engine.request import Progress


STAGES = {
    "load": "Loading the model",
    "prior": "Planning (tokens)",
    "denoise": "Drawing (steps)",
}


class Bars:
    """Turns the engine's reports into bars; may be called from any thread."""

    def __init__(self, *, visible: bool | None = None) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.visible = sys.stderr.isatty() if visible is None else visible
        columns = (
            rich.TextColumn("{task.description:<20}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("left"),
            rich.TimeRemainingColumn(elapsed_when_finished=False),
        )
        self._progress = rich.Progress(*columns, console=Console(stderr=True), disable=not self.visible, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: Progress) -> None:
        """Moves the bar of one stage, opening it at its first report."""
        self.move(report.stage, report.done, report.total)

    def move(self, stage: str, done: int, total: int | None) -> None:
        """The same by plain values; a total of None is a bar without an end."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(STAGES.get(stage, stage), total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


T = TypeVar("T")
GRACE_SECONDS = 0.5


def interruptible(work: Callable[[], T], cancel: Callable[[], None], *, grace: float = GRACE_SECONDS) -> T:
    """Runs `work()` and returns its result; Ctrl-C calls `cancel()` and raises Cancelled."""
    results: list[T] = []
    failures: list[BaseException] = []
    finished = threading.Event()

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # carried over to the main thread
            failures.append(error)
        finally:
            finished.set()

    try:
        threading.Thread(target=body, name="inkwash-work", daemon=True).start()
        while not finished.wait(0.2):  # not Thread.join: interrupted, it may take a running thread for finished
            pass
    except KeyboardInterrupt:
        _stop(finished, cancel, grace)
        raise Cancelled("Interrupted; nothing was written.") from None
    if failures:
        raise failures[0]
    return results[0]


def _stop(finished: threading.Event, cancel: Callable[[], None], grace: float) -> None:
    cancel()
    with contextlib.suppress(KeyboardInterrupt):  # an impatient second Ctrl-C
        finished.wait(grace)
    if not finished.is_set():  # deep inside one long operation: an orderly shutdown would wait for it
        print("\ninkwash: Interrupted; nothing was written.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(Cancelled.exit_code)
