"""Bodies of requests: each limited in size and time, all of them together limited in the memory that they hold."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from inkwash.core.errors import RequestError
from inkwash.serve.json_body import too_large
from inkwash.serve.protocol import MIN_BYTES_PER_S

SMALL = 2**20  # bytes of each body that are not counted: requests without pictures are never refused for others' sake
RETRY_S = 5.0


class BodiesFull(RequestError):
    """The bodies of other requests hold the memory that is kept for bodies."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"Other requests hold the {max_bytes / 2**20:.4g} MiB that the server keeps for bodies: try again in "
            f"{RETRY_S:.0f} s, or send smaller pictures.",
            status=503,
            code="bodies_full",
        )
        self.retry_after = RETRY_S


class BodyBudget:
    """Bytes of large bodies that are held at once, from their arrival until their requests are answered.

    For one event loop. A single body is never refused here, whatever its size: its own limit speaks of it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.held = max_bytes, 0

    def check(self, declared: int) -> None:
        """Raise BodiesFull for a body of so many bytes that there is no room for now; takes none."""
        if self.held and self.held + max(0, declared - SMALL) > self.max_bytes:
            raise BodiesFull(self.max_bytes)


class LimitedBody:
    """A body in pieces, while they come in time, fast enough and are not too many; what follows may take its time.

    A pause may take `timeout_s`, and so may the whole, but for a second more for each `MIN_BYTES_PER_S` that came.
    """

    def __init__(self, receive: Receive, *, max_bytes: int, timeout_s: float, budget: BodyBudget) -> None:
        self._receive, self.max_bytes, self.timeout_s, self.budget = receive, max_bytes, timeout_s, budget
        self._begun, self._read, self._held, self._more = time.monotonic(), 0, 0, True

    async def receive(self) -> Message:
        """As ASGI has it; raises RequestError 408, 413 or 503."""
        if not self._more:
            return await self._receive()
        left = self._begun + self.timeout_s + self._read / MIN_BYTES_PER_S - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(self.timeout_s, left))):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                f"The body did not come within {self.timeout_s:g} s, or at less than {MIN_BYTES_PER_S} bytes a second: "
                "send it again, in larger pieces.",
                status=408,
                code="body_timeout",
            ) from None
        self._more = bool(message.get("more_body", False))
        self._read += len(message.get("body", b""))
        if self._read > self.max_bytes:
            raise too_large(self.max_bytes)
        self._hold(max(0, self._read - SMALL))
        return message

    def _hold(self, size: int) -> None:
        more = size - self._held
        if more > 0 and self.budget.held > self._held and self.budget.held + more > self.budget.max_bytes:
            raise BodiesFull(self.budget.max_bytes)
        self.budget.held += more
        self._held = size

    def release(self) -> None:
        """The request is over: its bytes count no more."""
        self.budget.held -= self._held
        self._held = 0
