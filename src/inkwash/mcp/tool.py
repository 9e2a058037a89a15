"""What a tool is: a name, a dataclass of arguments, and a function that answers with words, pictures and data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from inkwash.engine.request import CancelToken, Progress

if TYPE_CHECKING:
    from PIL import Image

Effect: TypeAlias = Literal["none", "files", "screen"]  # what is different afterwards: nothing, new files, the screen

_SHARES = {"prior": (0.0, 50.0), "denoise": (50.0, 100.0)}  # of one picture, in percent
_UNITS = {"prior": "semantic tokens", "denoise": "denoising steps"}


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool found or made: words for the model, pictures to look at, and the same as data."""

    text: str
    pictures: tuple[Image.Image, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


class ToolInvocation:
    """One call while it runs: the switch that stops it, and how far it is, for whoever reports that."""

    def __init__(self) -> None:
        self.cancel = CancelToken()
        self._lock = threading.Lock()
        self._percent, self._message = 0.0, ""
        self._attempt, self._attempts = 0, 1

    def __call__(self, report: Progress) -> None:
        """Progress of a drawing, as the engine tells it."""
        low, high = _SHARES[report.stage]
        share = low + (high - low) * report.done / max(report.total, 1)
        self.move(
            (100 * self._attempt + share) / self._attempts, f"{report.done} of {report.total} {_UNITS[report.stage]}"
        )

    def attempted(self, done: int, most: int) -> None:
        """A verified drawing begins an attempt."""
        self._attempt, self._attempts = min(done, most - 1), most

    def move(self, percent: float, message: str) -> None:
        """Set how far the call is; it never goes back, as the protocol asks."""
        with self._lock:
            self._percent, self._message = max(self._percent, percent), message

    @property
    def progress(self) -> tuple[float, str]:
        """Percent, and the words for it."""
        with self._lock:
            return self._percent, self._message


@dataclass(frozen=True, kw_only=True)
class McpTool:
    """A tool; `run` works in a thread of its own, and raises InkwashError for what the caller can fix."""

    name: str
    title: str
    description: str
    arguments: type
    run: Callable[[Any, ToolInvocation], ToolResult]
    effect: Effect = "none"
