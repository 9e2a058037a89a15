"""Level `card`: what a card, poster, menu or sign shows, before anything has a place.

A `Card` is what a person asks for: a genre, its texts with their roles, things with their counts, colours and a
structure. `card_layout.lay_out` turns it into a `Scene` in one way only: everything that a prompt leaves open has one
usual place and size, so that a generator which samples with a nucleus never has to guess where a line begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from inkwash.core.errors import ConfigError
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.world import CARD_COLORS, CARD_FACES, CARD_TEXT_COLORS, SHAPES, STRUCTURES, check_name, contrast

ROLES = ("title", "line", "detail")
SIZES = ("large", "small")
PLACES = ("above", "below", "left", "right", "corners", "sides")
THING_SIZES = {"small": 64, "medium": 96, "large": 160}  # pixels: 2, 3 and 5 cells
CARD_STYLES = ("flat", "gradient", "striped", "dotted", "paper")
READABLE = 4.5  # WCAG 2.2 contrast of text and the ground it stands on, where the prompt leaves the colour open
VISIBLE = 2.4  # the least contrast of a colour that a prompt asks for


@dataclass(frozen=True, kw_only=True)
class CardText:
    """One quoted text. It wraps at words; `large` letters are 2 x 2 cells, `small` ones a cell each."""

    text: str
    role: str
    color: str
    face: str
    size: str

    def __post_init__(self) -> None:
        check_name("role", self.role, ROLES)
        check_name("size", self.size, SIZES)
        check_name("color", self.color, CARD_COLORS)
        check_name("face", self.face, CARD_FACES)


@dataclass(frozen=True, kw_only=True)
class CardThing:
    """`count` pictures of one thing in a row at a place; with a `color` it is one of the six flat shapes.

    A heart without a colour is the picture of a heart, a blue heart is the flat shape.

    `corners` puts them into two or four corners, `sides` left and right of the texts.
    """

    thing: str
    count: int = 1
    place: str = "above"
    size: str = "medium"
    color: str = ""

    def __post_init__(self) -> None:
        check_name("thing", self.thing, SHAPES if self.color else THING_NAMES)
        check_name("place", self.place, PLACES)
        check_name("size", self.size, THING_SIZES)
        if not 1 <= self.count <= 6:
            raise ConfigError(f"count {self.count} must be 1 to 6")

    @property
    def is_shape(self) -> bool:
        return bool(self.color)


@dataclass(frozen=True, kw_only=True)
class Card:
    """All of a card: `background` is the ground outside, `panel` the ground of the texts where a structure has one."""

    genre: str
    background: str
    structure: str = "plain"
    panel: str = ""
    style: str = "flat"
    texts: tuple[CardText, ...] = ()
    things: tuple[CardThing, ...] = ()
    language: str = "en"

    def __post_init__(self) -> None:
        check_name("background", self.background, CARD_COLORS)
        check_name("structure", self.structure, STRUCTURES)
        check_name("style", self.style, CARD_STYLES)
        if self.panel:
            check_name("panel", self.panel, CARD_COLORS)

    @property
    def ground(self) -> str:
        """The colour that the texts stand on (on a slide: its title; the other texts stand on the background)."""
        return self.panel or self.background

    def ground_of(self, text: CardText) -> str:
        """The colour that one text stands on."""
        return self.background if self.structure == "slide" and text.role != "title" else self.ground


@cache
def readable_colors(ground: str) -> tuple[str, ...]:
    """Names of the text colours with a contrast of at least `READABLE` on a ground; never empty."""
    return tuple(name for name in CARD_TEXT_COLORS if contrast(name, ground) >= READABLE)


@cache
def visible_colors(ground: str) -> tuple[str, ...]:
    """Names of the text colours that may be asked for on a ground: a contrast of at least `VISIBLE`."""
    return tuple(name for name in CARD_TEXT_COLORS if contrast(name, ground) >= VISIBLE)
