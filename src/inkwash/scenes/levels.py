"""The levels of the scenes: what each one shows, and what it is measured with. `find_level` gives one by its name.

Names stay as they are: checkpoints' training states and reports hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inkwash.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Level:
    """A kind of scenes."""

    name: str
    lettering: Literal["capitals", "free", "lines", "cards"]  # how its texts are sampled
    side: int = 256  # px of the square canvas that it was made for
    texts: tuple[int, int] = (1, 2)  # on such a canvas
    styled: bool = False  # scenes have one of the drawing styles
    free_shapes: bool = False  # shapes of any size at any place, else on the cells
    languages: tuple[str, ...] = ("en",)  # of the drawn texts
    reader_sides: tuple[int, int] | None = None  # px to which a reader enlarges its pictures, and at which it looks
    question_tokens: int | None = None  # the longest answer to a question; None where it has no questions


BASIC = Level(name="first", lettering="capitals", question_tokens=128)
FREE = Level(name="free", lettering="free", languages=("en", "zh"))
FULL = Level(name="full", lettering="free", languages=("en", "zh"), styled=True, free_shapes=True)
POSTER = Level(
    name="second",
    lettering="lines",
    side=384,
    texts=(1, 5),
    styled=True,
    languages=("en", "zh"),
    reader_sides=(640, 480),
)
CARD = Level(
    name="card",
    lettering="cards",
    side=384,
    texts=(1, 5),
    languages=("en", "zh"),
    reader_sides=(768, 640),
    question_tokens=512,  # a card may hold five long texts
)
LEVELS = {level.name: level for level in (BASIC, FREE, FULL, POSTER, CARD)}


def find_level(name: str) -> Level:
    """A level by its name; ConfigError for an unknown one."""
    if name not in LEVELS:
        raise ConfigError(f"unknown level {name!r}: choose one of {', '.join(LEVELS)}")
    return LEVELS[name]
