"""Callbacks of one request: in order, one at a time, and no lock is held while one runs.

A callback may therefore stop its own request or any other, take locks of its own, and be as slow as it likes: nobody
in the engine waits for it. Whoever flushes while none runs runs them; otherwise the thread that is running one does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Callback = Callable[[], None]


class OrderedCallbacks:
    """Callbacks of one request. None runs before `open` has run the first one."""

    def __init__(self) -> None:
        self._waiting: deque[Callback] = deque()
        self._lock = threading.Lock()  # held for a moment only, never while a callback runs
        self._running = True

    def put(self, callback: Callback) -> None:
        """Put it at the end; it does not run before `flush`."""
        with self._lock:
            self._waiting.append(callback)

    def open(self, first: Callback) -> None:
        """Run the first one, before everything that was put already; the next `flush` runs the rest."""
        try:
            first()
        finally:
            with self._lock:
                self._running = False

    def flush(self) -> None:
        """Run what was put, unless another thread is running one, which will."""
        while True:
            with self._lock:
                if self._running or not self._waiting:
                    return
                self._running = True
                callback = self._waiting.popleft()
            try:
                callback()
            finally:
                with self._lock:
                    self._running = False
