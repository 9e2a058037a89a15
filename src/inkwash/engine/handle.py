"""A claim on the pictures of one submitted request, safe to use from any thread."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inkwash.core.errors import InkwashError

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.engine.output import Plan
    from inkwash.engine.request import TokenCounts


@dataclass(frozen=True, kw_only=True)
class GenerationResult:
    """Pictures, the seed that repeats each (None for a generator used before), the plan, and seconds of each stage.

    `timings` holds "queued" (until the first work), "prior", "denoise" and "decode" (from the first to the last moment
    that a picture of this request was in that stage) and "total".
    """

    images: list[Image.Image]
    seeds: list[int | None]
    plan: Plan = field(repr=False)
    tokens: TokenCounts  # of one picture
    timings: dict[str, float] = field(default_factory=dict)


class RequestHandle:
    """Wait for a request's result, ask for it, or be called when it is there."""

    def __init__(self, request_id: str | None = None) -> None:
        self.id = request_id or secrets.token_hex(12)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._result: GenerationResult | None = None
        self._error: InkwashError | None = None
        self._callbacks: list[Callable[[RequestHandle], None]] = []

    def done(self) -> bool:
        """Whether the request came to an end, good or bad."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> GenerationResult:
        """Wait for the pictures; raises what the request failed with, or TimeoutError."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"The request {self.id} is not finished after {timeout} s.")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def error(self) -> InkwashError | None:
        """What the request failed with; None while it runs and after it succeeded."""
        return self._error

    def add_done_callback(self, callback: Callable[[RequestHandle], None]) -> None:
        """Call back when the request ends, from a thread of the engine; at once if it has ended."""
        with self._lock:
            if not self._ended.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def end(self, outcome: GenerationResult | InkwashError) -> list[Callable[[RequestHandle], None]]:
        """For the engine: set the outcome, once; returns the callbacks to run."""
        with self._lock:
            assert not self._ended.is_set(), "a request ends once"
            if isinstance(outcome, InkwashError):
                self._error = outcome
            else:
                self._result = outcome
            self._ended.set()
            return self._callbacks
