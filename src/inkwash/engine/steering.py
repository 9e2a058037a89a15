"""What may change while a call draws, through attributes of the pipeline that scripts for the reference write to.

A call has its own values, found through the context of its thread, so that several threads still may share a pipeline.
Written from elsewhere, such as another thread's stop button, they reach every call of that pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class Steering:
    """One call under way, or the last one."""

    guidance_scale: float = 1.5
    num_timesteps: int = 0
    interrupt: bool = False
    timestep: Any = None


_CURRENT: ContextVar[tuple[object, Steering] | None] = ContextVar("inkwash_call", default=None)


class Calls:
    """The calls of one pipeline."""

    def __init__(self) -> None:
        self._running: list[Steering] = []
        self._last = Steering()

    def __deepcopy__(self, memo: dict[int, Any]) -> Calls:
        return Calls()

    @contextmanager
    def begin(self, steering: Steering) -> Iterator[Steering]:
        """Inside, attributes of the pipeline are those of this call."""
        self._running.append(steering)
        token = _CURRENT.set((self, steering))
        try:
            yield steering
        finally:
            _CURRENT.reset(token)
            self._running.remove(steering)
            self._last = steering

    @property
    def now(self) -> Steering:
        """This thread's call; outside of one, the last that was begun, or that has ended."""
        current = _CURRENT.get()
        if current is not None and current[0] is self:
            return current[1]
        return self._running[-1] if self._running else self._last

    def write(self, name: str, value: Any) -> None:
        """Change a value of this thread's call; outside of one, of all that are under way."""
        current = _CURRENT.get()
        mine = [current[1]] if current is not None and current[0] is self else list(self._running)
        for each in mine:
            setattr(each, name, value)
