"""What a picture shows, as plain frozen data, and the geometry of boxes and 32 px cells on its canvas."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import Card
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.world import (
    CARD_COLORS,
    CELL,
    COLORS,
    FACES,
    MAX_SIDE,
    MIN_SIDE,
    NEW_SHAPES,
    SHAPES,
    STRUCTURES,
    STYLES,
    check_name,
)

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside
Cell = tuple[int, int]  # row, column

TRIES = 200


@dataclass(frozen=True, kw_only=True)
class TextItem:
    """One text region. `size` is the cap height (grid lettering) or the em size (free lettering) in pixels.

    `cells` has one cell per character in grid lettering, the upper left one of a large character's four, and every
    touched cell, row by row, in free lettering.
    """

    text: str
    face: str
    color: str
    size: int
    box: Box
    lettering: str = "grid"
    cells: tuple[Cell, ...] = ()
    region: int = 0  # which of a card's texts this is a line of

    def __post_init__(self) -> None:
        check_name("face", self.face, FACES)
        check_name("color", self.color, CARD_COLORS)
        check_name("lettering", self.lettering, ("grid", "free"))
        if not self.text or '"' in self.text:
            raise ConfigError(f"text {self.text!r} cannot be drawn: it must be non-empty and hold no double quote")


@dataclass(frozen=True, kw_only=True)
class ShapeItem:
    """One shape that fills a square box of `size` pixels."""

    shape: str
    color: str
    size: int
    box: Box
    region: int = 0  # which of a card's things this belongs to

    def __post_init__(self) -> None:
        check_name("shape", self.shape, (*SHAPES, *NEW_SHAPES))
        check_name("color", self.color, COLORS)


@dataclass(frozen=True, kw_only=True)
class ThingItem:
    """One picture of a thing (`things.THINGS`) that fills a square box of `size` pixels."""

    thing: str
    size: int
    box: Box
    region: int = 0  # which of a card's things this belongs to

    def __post_init__(self) -> None:
        check_name("thing", self.thing, THING_NAMES)


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What stands between background and texts: a frame, a sheet of paper, a speech bubble, ...

    `color` is that of its panel ("" where it has none), `box` the pixels of a panel whose place depends on the texts.
    """

    kind: str
    color: str = ""
    box: Box = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        check_name("structure", self.kind, STRUCTURES)
        if self.color:
            check_name("panel", self.color, CARD_COLORS)


PLAIN = Structure(kind="plain")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A whole picture: canvas, background, drawing style, shapes, things and texts (top to bottom).

    At level `card` it also has a structure and the `card` that it was laid out from, whose texts may wrap into several
    `texts`.
    """

    width: int
    height: int
    background: str
    style: str = "flat"
    objects: tuple[ShapeItem, ...] = ()
    texts: tuple[TextItem, ...] = ()
    things: tuple[ThingItem, ...] = ()
    structure: Structure = PLAIN
    card: Card | None = None

    def __post_init__(self) -> None:
        check_sides(self.width, self.height)
        check_name("background", self.background, COLORS if self.card is None else CARD_COLORS)
        check_name("style", self.style, STYLES)

    @property
    def pictures(self) -> tuple[ThingItem | ShapeItem, ...]:
        """Things and flat shapes."""
        return (*self.things, *self.objects)

    @property
    def quotes(self) -> tuple[str, ...]:
        """The texts as a prompt quotes them: each whole, also where it wraps."""
        return tuple(text.text for text in (self.texts if self.card is None else self.card.texts))

    @property
    def rows(self) -> int:
        return self.height // CELL

    @property
    def cols(self) -> int:
        return self.width // CELL

    @property
    def items(self) -> tuple[TextItem | ShapeItem, ...]:
        return (*self.objects, *self.texts)


@dataclass(frozen=True, kw_only=True)
class Description:
    """A prompt and what it names: `background`, `style`, `text0.color`, `text0.place`, `object1.size`, ..."""

    prompt: str
    named: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One editing task: draw `target` from the pictures of `sources` and the `instruction`."""

    instruction: str
    kind: str
    sources: tuple[Scene, ...]
    target: Scene


def check_sides(width: int, height: int) -> None:
    for name, side in (("width", width), ("height", height)):
        if side % CELL or not MIN_SIDE <= side <= MAX_SIDE:
            raise ConfigError(f"{name} {side} must be a multiple of {CELL} from {MIN_SIDE} to {MAX_SIDE}")


def covered_cells(box: Box) -> tuple[Cell, ...]:
    """The cells that a pixel box touches, row by row."""
    left, top, right, bottom = box
    return tuple((r, c) for r in range(top // CELL, -(-bottom // CELL)) for c in range(left // CELL, -(-right // CELL)))


def intersect(a: Box, b: Box, gap_x: int = 0, gap_y: int = 0) -> bool:
    """Whether two boxes overlap or come nearer than the gaps."""
    return a[0] - gap_x < b[2] and b[0] - gap_x < a[2] and a[1] - gap_y < b[3] and b[1] - gap_y < a[3]


def fits(item: TextItem | ShapeItem, scene: Scene) -> bool:
    """Whether an item lies on the canvas clear of everything on it.

    Grid lettering keeps one free cell to its left and right (a circle beside a word reads as an O); free lettering
    keeps 8 px all round and to the canvas edge.
    """
    free = isinstance(item, TextItem) and item.lettering == "free"
    edge = 8 if free else 0
    left, top, right, bottom = item.box
    if left < edge or top < edge or right > scene.width - edge or bottom > scene.height - edge:
        return False
    return not any(intersect(item.box, other.box, *_gaps(item, other)) for other in scene.items)


def _gaps(a: TextItem | ShapeItem, b: TextItem | ShapeItem) -> tuple[int, int]:
    letterings = {item.lettering for item in (a, b) if isinstance(item, TextItem)}
    if "free" in letterings:
        return 8, 8
    return (CELL, 0) if "grid" in letterings else (0, 0)


def starts(rng: random.Random, scene: Scene, width: int, height: int, step: int) -> Iterator[tuple[int, int]]:
    """Random (left, top) places on a lattice of `step` pixels where a box of this size lies on the canvas."""
    nx, ny = (scene.width - width) // step + 1, (scene.height - height) // step + 1
    if nx < 1 or ny < 1:
        return
    for index in rng.sample(range(nx * ny), min(nx * ny, TRIES)):
        yield index % nx * step, index // nx * step


Item = TypeVar("Item", bound=TextItem | ShapeItem)


def place_item(
    rng: random.Random,
    scene: Scene,
    make: Callable[[int, int], Item],
    size: tuple[int, int],
    *,
    step: int = CELL,
    accept: Callable[[Box], bool] = lambda box: True,
) -> Item | None:
    """`make(left, top)` at a random place where it fits and that `accept` allows; None when none was found."""
    for left, top in starts(rng, scene, *size, step):
        item = make(left, top)
        if fits(item, scene) and accept(item.box):
            return item
    return None
