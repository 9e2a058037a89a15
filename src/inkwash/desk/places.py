"""Rectangles of the screen, monitors and windows, in the system's own coordinates."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inkwash.core.errors import RequestError

_REGION = re.compile(r"\s*(-?\d{1,6})\s*,\s*(-?\d{1,6})\s*,\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*")


@dataclass(frozen=True, kw_only=True)
class ScreenBox:
    """A rectangle of the screen."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> ScreenBox:
        """Reads LEFT,TOP,WIDTHxHEIGHT."""
        found = _REGION.fullmatch(text)
        if found is None or not int(found[3]) or not int(found[4]):
            raise RequestError(
                f"The region {text!r} is not LEFT,TOP,WIDTHxHEIGHT: write it like 100,80,640x480.", param="region"
            )
        left, top, width, height = (int(part) for part in found.groups())
        return cls(left=left, top=top, width=width, height=height)

    def within(self, other: ScreenBox) -> ScreenBox | None:
        """What both have in common, if anything."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.width, other.left + other.width)
        bottom = min(self.top + self.height, other.top + other.height)
        if right <= left or bottom <= top:
            return None
        return ScreenBox(left=left, top=top, width=right - left, height=bottom - top)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """One monitor; numbers begin at 1, and 0 stands for all of them together."""

    number: int
    box: ScreenBox


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window that can be seen."""

    id: int
    title: str
    program: str
    box: ScreenBox
