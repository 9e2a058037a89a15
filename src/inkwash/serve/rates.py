"""Limits for each client: requests a minute, as a token bucket, and requests at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from inkwash.core.errors import RequestError


class RateLimited(RequestError):
    """A client asks too often, or for too much at once."""

    def __init__(self, message: str, *, code: str, retry_after: float) -> None:
        super().__init__(message, status=429, code=code)
        self.retry_after = retry_after


class Rates:
    """Counts of every client by name; None leaves a limit out."""

    def __init__(
        self,
        requests_per_minute: int | None,
        concurrent_requests: int | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.per_minute, self.concurrent, self.clock = requests_per_minute, concurrent_requests, clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, when that was
        self._active: dict[str, int] = {}

    def spend(self, client: str) -> None:
        """Count one request; raises RateLimited when the client's minute is used up."""
        if self.per_minute is None:
            return
        now = self.clock()
        with self._lock:
            tokens, then = self._buckets.get(client, (float(self.per_minute), now))
            tokens = min(float(self.per_minute), tokens + (now - then) * self.per_minute / 60)
            if tokens < 1:
                self._buckets[client] = (tokens, now)
                wait = (1 - tokens) * 60 / self.per_minute
                raise RateLimited(
                    f"More than {self.per_minute} requests a minute: send the next one in {max(wait, 1):.0f} s.",
                    code="rate_limit_exceeded",
                    retry_after=wait,
                )
            self._buckets[client] = (tokens - 1, now)

    def enter(self, client: str) -> Callable[[], None]:
        """Take one of the client's places; what is returned gives it back. Raises RateLimited when all are taken."""
        with self._lock:
            active = self._active.get(client, 0)
            if self.concurrent is not None and active >= self.concurrent:
                raise RateLimited(
                    f"{active} requests of this client are under way, as many as are allowed at once: wait for one.",
                    code="concurrency_limit_exceeded",
                    retry_after=1.0,
                )
            self._active[client] = active + 1
        left = False

        def leave() -> None:
            nonlocal left
            with self._lock:
                if not left:
                    left = True
                    self._active[client] -= 1
                    if not self._active[client]:
                        del self._active[client]

        return leave
