"""One budget of bytes for the pixels that a server holds for its requests; who does not fit waits, or is refused."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from inkwash.core.errors import RequestError

BYTES = 2 * 2**30


class MediaBudget:
    """Bytes of decoded media that all requests share; safe for several threads."""

    def __init__(self, total: int = BYTES) -> None:
        self.total = total
        self.used = 0
        self._free = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Room for `size` bytes while the block runs; `waiting` is called a few times a second until there is.

        Raises RequestError (413) for what can never fit, and whatever `waiting` raises.
        """
        if size > self.total:
            raise RequestError(
                f"The pictures and videos of this request take {size / 2**20:.0f} MiB decoded, but at most "
                f"{self.total / 2**20:.0f} MiB are read: send fewer or smaller ones, fewer pages, or fewer frames.",
                status=413,
                code="media_too_large",
                param="messages",
            )
        with self._free:
            while self.used + size > self.total:
                self._free.wait(0.1)
                waiting()
            self.used += size
        try:
            yield
        finally:
            with self._free:
                self.used -= size
                self._free.notify_all()
