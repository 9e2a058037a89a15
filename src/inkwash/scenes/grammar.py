"""Scenes and how they are sampled: everything that a picture shows, exactly, before a pixel exists.

``sample_scene(random.Random(7), width=256, height=256)`` gives a frozen ``Scene``; ``render.render`` draws it,
``caption.caption`` describes it, ``check.check`` judges a picture against it. At level ``first`` letters and shapes
are aligned to the 32 px cells that one semantic token covers, which lets a small model spell.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from inkwash.core.errors import ConfigError
from inkwash.scenes.words import check_split, sample_word
from inkwash.scenes.world import (
    CELL,
    COLOR_NAMES,
    LEVELS,
    MAX_SIDE,
    MIN_SIDE,
    POSTER_FACES,
    SHAPE_SIZES,
    SHAPES,
    shape_colors,
    text_colors,
)

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are outside
Cell = tuple[int, int]  # row, column


@dataclass(frozen=True, kw_only=True)
class TextItem:
    """One text region. ``size`` is the cap height (grid) or the em size (free) in pixels."""

    text: str
    face: str
    color: str
    size: int
    box: Box
    lettering: str = "grid"
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShapeItem:
    """One flat shape that fills a square box."""

    shape: str
    color: str
    size: int
    box: Box


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A whole picture: canvas, background, drawing style, shapes and texts (top to bottom)."""

    width: int
    height: int
    background: str
    style: str = "flat"
    objects: tuple[ShapeItem, ...] = ()
    texts: tuple[TextItem, ...] = ()

    def __post_init__(self) -> None:
        for name, side in (("width", self.width), ("height", self.height)):
            if side % CELL or not MIN_SIDE <= side <= MAX_SIDE:
                raise ConfigError(f"{name} {side} must be a multiple of {CELL} from {MIN_SIDE} to {MAX_SIDE}")

    @property
    def rows(self) -> int:
        return self.height // CELL

    @property
    def cols(self) -> int:
        return self.width // CELL


def grid_text(text: str, row: int, col: int, *, face: str, color: str) -> TextItem:
    """A word in grid lettering whose first letter stands in cell (row, col)."""
    cells = tuple((row, col + i) for i in range(len(text)))
    box = (col * CELL, row * CELL, (col + len(text)) * CELL, (row + 1) * CELL)
    return TextItem(text=text, face=face, color=color, size=24, box=box, lettering="grid", cells=cells)


def grid_shape(shape: str, color: str, size: int, row: int, col: int) -> ShapeItem:
    """A shape whose box starts at cell (row, col)."""
    return ShapeItem(
        shape=shape, color=color, size=size, box=(col * CELL, row * CELL, col * CELL + size, row * CELL + size)
    )


def covered_cells(box: Box) -> set[Cell]:
    """The cells that a pixel box touches."""
    left, top, right, bottom = box
    return {(r, c) for r in range(top // CELL, -(-bottom // CELL)) for c in range(left // CELL, -(-right // CELL))}


def taken_cells(scene: Scene, *, margin: bool = True) -> set[Cell]:
    """Cells that a new shape must avoid: all content, and with ``margin`` one cell left and right of each text."""
    taken: set[Cell] = set()
    for item in (*scene.texts, *scene.objects):
        taken |= covered_cells(item.box)
    if margin:
        for text in scene.texts:
            left, top, right, bottom = text.box
            taken |= covered_cells((max(0, left - CELL), top, min(scene.width, right + CELL), bottom))
    return taken


def free_places(scene: Scene, size: int) -> list[Cell]:
    """All cells where the box of a new shape of this size can start."""
    taken, n = taken_cells(scene), size // CELL
    return [
        (r, c)
        for r in range(scene.rows - n + 1)
        for c in range(scene.cols - n + 1)
        if not any((r + i, c + j) in taken for i in range(n) for j in range(n))
    ]


def _text_rows(rng: random.Random, rows: int, count: int) -> list[int]:
    """Distinct rows, top to bottom; neighbours only when the canvas is too low to avoid it."""
    for gap in (2, 1):
        if (count - 1) * gap < rows:
            chosen = sorted(rng.sample(range(rows - (count - 1) * (gap - 1)), count))
            return [row + i * (gap - 1) for i, row in enumerate(chosen)]
    raise ConfigError(f"{count} text regions do not fit on a canvas of {rows} rows: ask for at most {rows}")


def _column(rng: random.Random, cols: int, letters: int) -> int:
    """Mostly centred; otherwise pushed to the left or right edge."""
    room = cols - letters
    return rng.choice((0, room)) if rng.random() < 0.15 else room // 2


def add_shape(rng: random.Random, scene: Scene, *, unlike: tuple[str, ...] = ()) -> Scene:
    """The scene with one more shape on free cells, or the scene itself when there is no room."""
    size = rng.choice(SHAPE_SIZES)
    places = free_places(scene, size) or free_places(scene, size := SHAPE_SIZES[0])
    if not places:
        return scene
    present = {o.shape for o in scene.objects} | set(unlike)
    shape = rng.choice([s for s in SHAPES if s not in present])
    row, col = rng.choice(places)
    item = grid_shape(shape, rng.choice(shape_colors(scene.background)), size, row, col)
    return replace(scene, objects=(*scene.objects, item))


def _sample_first(
    rng: random.Random, width: int, height: int, count: int, split: str, random_words: float
) -> Scene:
    background = rng.choice(COLOR_NAMES)
    scene = Scene(width=width, height=height, background=background)
    longest = min(8, scene.cols)
    texts: list[TextItem] = []
    for row in _text_rows(rng, scene.rows, count):
        word = sample_word(rng, split, longest, random_words)
        color = rng.choice(text_colors(background))
        col = _column(rng, scene.cols, len(word))
        texts.append(grid_text(word, row, col, face=rng.choice(POSTER_FACES), color=color))
    scene = replace(scene, texts=tuple(texts))
    for _ in range(rng.choices((0, 1, 2), (4, 4, 2))[0]):
        scene = add_shape(rng, scene)
    return scene


def sample_scene(
    rng: random.Random,
    *,
    width: int = 256,
    height: int = 256,
    regions: tuple[int, int] = (1, 2),
    split: str = "train",
    level: str = "first",
    random_words: float = 0.0,
) -> Scene:
    """A scene with ``regions[0]`` to ``regions[1]`` texts.

    ``random_words`` is the probability that a text is a made-up letter string (training only: it teaches copying).
    """
    check_split(split)
    if level not in LEVELS:
        raise ConfigError(f"unknown level {level!r}: choose one of {', '.join(LEVELS)}")
    low, high = regions
    if not 0 <= low <= high <= 5:
        raise ConfigError(f"regions {regions} must be a range within 0 to 5, lowest first")
    count = rng.randint(low, high)
    return _sample_first(rng, width, height, count, split, random_words)
