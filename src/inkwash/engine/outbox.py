"""What one request has to say to its caller: in order, one thing at a time, and no lock is held while it is said.

A callback may therefore stop its own request or any other, take locks of its own, and be as slow as it likes: nobody
in the engine waits for it. Whoever posts while nothing is being said says it; otherwise the one who is speaking does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Word = Callable[[], None]


class Outbox:
    """Words of one request. It is silent until `open` has given the first one."""

    def __init__(self) -> None:
        self._words: deque[Word] = deque()
        self._lock = threading.Lock()  # held for a moment only, never while something is said
        self._speaking = True

    def post(self, word: Word) -> None:
        """Put it at the end; it is not said before `speak`."""
        with self._lock:
            self._words.append(word)

    def open(self, first: Word) -> None:
        """Say the first word, before everything that was posted already; the next poster says the rest."""
        try:
            first()
        finally:
            with self._lock:
                self._speaking = False

    def speak(self) -> None:
        """Say what was posted, unless somebody else is speaking, who will."""
        while True:
            with self._lock:
                if self._speaking or not self._words:
                    return
                self._speaking = True
                word = self._words.popleft()
            try:
                word()
            finally:
                with self._lock:
                    self._speaking = False
