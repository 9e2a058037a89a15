"""One schema of what an agent does, whatever the screen and the model; `reply.py` spells it in the formats of models.

Places stand in the units of the model (`Grid`); pixels are made of them once, when the size of the screenshot is known.
Directions say where the view goes: down shows what is further below, on a wheel and under a finger alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from inkwash.core.errors import InkwashError

Kind = Literal[
    "click", "double_click", "long_press", "hover", "drag", "type", "key", "scroll",
    "home", "back", "search", "open_app", "wait", "answer", "done", "fail",
]  # fmt: skip
Button = Literal["left", "right", "middle"]
Direction = Literal["up", "down", "left", "right"]
Number = int | float
KINDS: tuple[Kind, ...] = get_args(Kind)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
OPPOSITE: dict[Direction, Direction] = {"up": "down", "down": "up", "left": "right", "right": "left"}
ENDS: tuple[Kind, ...] = ("answer", "done", "fail")
POINTED: tuple[Kind, ...] = ("click", "double_click", "long_press", "hover", "drag")


class AgentError(InkwashError):
    """A run of an agent cannot begin, or not go on."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A box in units of a grid, a point where both corners are one."""

    left: Number
    top: Number
    right: Number
    bottom: Number

    @classmethod
    def at(cls, x: Number, y: Number) -> Place:
        """A point."""
        return cls(left=x, top=y, right=x, bottom=y)

    @property
    def is_point(self) -> bool:
        return self.left == self.right and self.top == self.bottom

    @property
    def middle(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An element by the number that is drawn beside it."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing to do. Fields that a kind does not have keep their defaults; `spaces.py` lists them."""

    kind: Kind
    target: Place | Mark | None = None
    end: Place | None = None  # of a drag
    button: Button = "left"
    text: str | None = None  # typed, answered, or searched with
    keys: tuple[str, ...] = ()  # pressed together
    direction: Direction | None = None
    amount: int | None = None  # clicks of a wheel
    app: str | None = None
    label: str | None = None  # what the model calls its target
    replaces: bool = False  # a typed text stands in place of what the field holds
    submits: bool = False  # Enter follows a typed text


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Units of places: 0 to `last` over each side. With `last` 999 a unit is a cell, and its middle is meant."""

    last: Literal[999, 1000] = 999

    def pixel(self, place: Place, size: tuple[int, int]) -> tuple[int, int]:
        """The pixel in the middle of a place on a screenshot of (width, height)."""
        x, y = (self._along(n, side) for n, side in zip(place.middle, size, strict=True))
        return x, y

    def _along(self, n: float, side: int) -> int:
        half = 0.5 if self.last == 999 else 0.0
        return min(max(round((n + half) / 1000 * side), 0), side - 1)

    def place(self, box: tuple[float, float, float, float], size: tuple[int, int]) -> Place:
        """The place of a box of pixels (right and bottom outside of it)."""
        left, top, right, bottom = box
        width, height = size
        inside = 1e-6 if self.last == 999 else 0.0
        return Place(
            left=self._unit(left, width),
            top=self._unit(top, height),
            right=self._unit(right - inside, width),
            bottom=self._unit(bottom - inside, height),
        )

    def point(self, x: float, y: float, size: tuple[int, int]) -> Place:
        """The place of a pixel."""
        return Place.at(self._unit(x, size[0]), self._unit(y, size[1]))

    def _unit(self, pixel: float, side: int) -> int:
        exact = pixel / side * 1000
        return min(max(int(exact) if self.last == 999 else round(exact), 0), self.last)


_ALIASES = {
    "return": "enter", "control": "ctrl", "ctl": "ctrl", "escape": "esc", "del": "delete", "cmd": "meta",
    "command": "meta", "win": "meta", "windows": "meta", "super": "meta", "option": "alt", "pgdn": "pagedown",
    "page_down": "pagedown", "pgup": "pageup", "page_up": "pageup", "arrowup": "up", "arrowdown": "down",
    "arrowleft": "left", "arrowright": "right", "spacebar": "space", "back_space": "backspace", "ins": "insert",
}  # fmt: skip
MODIFIERS = ("ctrl", "alt", "shift", "meta")
NAMED_KEYS = (
    *MODIFIERS, "enter", "esc", "delete", "backspace", "tab", "space", "insert", "home", "end", "pageup", "pagedown",
    "up", "down", "left", "right", *(f"f{number}" for number in range(1, 13)),
)  # fmt: skip


def read_keys(text: str) -> tuple[str, ...] | None:
    """Keys written as `ctrl+c`, by their one name each; None where one is unknown."""
    text = text.strip()
    plus = text == "+" or text.endswith("++")
    parts = [part.strip().lower() for part in (text[:-1].rstrip("+") if plus else text).split("+") if part.strip()]
    if plus:
        parts.append("+")
    keys = tuple(_ALIASES.get(part, part) for part in parts)
    known = all(key in NAMED_KEYS or (len(key) == 1 and key.isprintable()) for key in keys)
    return keys if keys and known and len(keys) <= 5 else None


def write_keys(keys: tuple[str, ...]) -> str:
    """Keys as `read_keys` reads them."""
    return "+".join(keys)
