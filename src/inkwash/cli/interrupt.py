"""Ctrl-C within a second, always: the work runs in a thread while the main thread waits for it or for the signal.

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
from typing import TypeVar

from inkwash.core.errors import Cancelled

T = TypeVar("T")
GRACE_SECONDS = 0.5


def interruptible(work: Callable[[], T], cancel: Callable[[], None], *, grace: float = GRACE_SECONDS) -> T:
    """Runs ``work()`` and returns its result; Ctrl-C calls ``cancel()`` and raises Cancelled."""
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
