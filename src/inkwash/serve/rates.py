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
        self._active: dict[str, set[RateSlot]] = {}
        self._mean_s: float | None = None  # of a request

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

    def enter(self, client: str) -> RateSlot:
        """Take one of the client's places; calling it gives it back. Raises RateLimited when all are taken."""
        with self._lock:
            places = self._active.setdefault(client, set())
            if self.concurrent is not None and len(places) >= self.concurrent:
                raise RateLimited(
                    f"{len(places)} requests of this client are under way, as many as are allowed at once: wait for "
                    "one.",
                    code="concurrency_limit_exceeded",
                    retry_after=min(self._left_s(place) for place in places),
                )
            place = RateSlot(self, client, self.clock())
            places.add(place)
        return place

    def leave(self, place: RateSlot) -> None:
        """Give a place back; nothing happens the second time."""
        with self._lock:
            places = self._active.get(place.client, set())
            if place in places:
                places.remove(place)
                seconds = self.clock() - place.begun
                self._mean_s = seconds if self._mean_s is None else 0.8 * self._mean_s + 0.2 * seconds
            if not places:
                self._active.pop(place.client, None)

    def _left_s(self, place: RateSlot) -> float:
        """Until a place is free: by its own estimate, else by what others took, else as long as till now."""
        elapsed = self.clock() - place.begun
        expected = place.expected_s if place.expected_s is not None else self._mean_s
        left = elapsed if expected is None or expected <= elapsed else expected - elapsed
        return max(1.0, left)


class RateSlot:
    """One request of a client under way; `expect` says how long it will take."""

    def __init__(self, rates: Rates, client: str, begun: float) -> None:
        self.client, self.begun = client, begun
        self.expected_s: float | None = None
        self._rates = rates

    def expect(self, seconds: float) -> None:
        """So many seconds from its beginning on, by somebody's estimate."""
        self.expected_s = seconds

    def __call__(self) -> None:
        self._rates.leave(self)
