"""Per-cell ground truth of level `second`, factored so that a codebook of 8192 can name every kind of cell.

A cell says only what its neighbours cannot say for it: an empty one the background and the drawing style, one with a
character which character it is, which quarter of it, its colour and face, one with a shape the shape, the part and
the colour. `meaning` is one number for all of that, so cells of one number may share one code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inkwash.scenes.labels import EMPTY, LETTER, OBJECT, PARTS, shape_parts
from inkwash.scenes.lettering import GRID_CAP, letter_boxes
from inkwash.scenes.scene import Scene, TextItem
from inkwash.scenes.words import characters
from inkwash.scenes.world import CELL, COLOR_IDS, COLOR_NAMES, NO_COLOR, SHAPES, STYLES

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&!?%#:$."
FACES = ("wide", "serif", "cjk")
QUARTERS = 4


@cache
def signs() -> str:
    """Every character that level `second` can set, Latin first; a label is one more than the place in it."""
    return LATIN + "".join(sign for sign in characters() if sign not in LATIN)


@cache
def meaning_labels() -> dict[str, int]:
    """The heads of the tokenizer of nano's second edition, with their numbers of classes."""
    return {
        "background": len(COLOR_NAMES),
        "style": len(STYLES),
        "kind": 3,
        "sign": 1 + len(signs()),
        "quarter": 1 + QUARTERS,
        "color": len(COLOR_NAMES) + 1,
        "face": 1 + len(FACES),
        "shape": 1 + len(SHAPES),
        "part": PARTS,
    }


Meanings = dict[str, NDArray[np.int64]]


def _mark_text(cells: Meanings, item: TextItem) -> None:
    """Characters in grid lettering; a large one covers 2 x 2 cells, numbered 1 to 4 row by row."""
    large = item.size > GRID_CAP
    for character, box in letter_boxes(item):
        for row in range(box[1] // CELL, box[3] // CELL):
            for col in range(box[0] // CELL, box[2] // CELL):
                cells["kind"][row, col] = LETTER
                cells["sign"][row, col] = 1 + signs().index(character)
                cells["color"][row, col] = COLOR_IDS[item.color]
                cells["face"][row, col] = 1 + FACES.index(item.face)
                if large:
                    cells["quarter"][row, col] = 1 + (row - box[1] // CELL) * 2 + col - box[0] // CELL


def cell_meanings(scene: Scene) -> Meanings:
    """Integer arrays (rows, cols) under the keys of `meaning_labels` and `meaning`."""
    cells: Meanings = {name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in meaning_labels()}
    cells["background"][:] = COLOR_IDS[scene.background]
    cells["style"][:] = STYLES.index(scene.style)
    cells["color"][:] = NO_COLOR
    for shape in scene.objects:
        for (row, col), part in shape_parts(shape):
            cells["kind"][row, col] = OBJECT
            cells["color"][row, col] = COLOR_IDS[shape.color]
            cells["shape"][row, col] = 1 + SHAPES.index(shape.shape)
            cells["part"][row, col] = part
    for text in scene.texts:
        _mark_text(cells, text)
    return cells | {"meaning": numbered(cells, TOLD, meaning_labels())}


TOLD: dict[int, tuple[str, ...]] = {
    EMPTY: ("background", "style"),
    LETTER: ("sign", "quarter", "color", "face"),
    OBJECT: ("shape", "part", "color"),
}


def numbered(cells: Meanings, kinds: Mapping[int, tuple[str, ...]], sizes: Mapping[str, int]) -> NDArray[np.int64]:
    """One number for all that a cell of each kind tells, unlike for cells that tell something else."""
    number = np.zeros_like(cells["kind"])
    for kind, names in kinds.items():
        value = np.zeros_like(number)
        for name in names:
            value = value * sizes[name] + cells[name]
        number = np.where(cells["kind"] == kind, value * len(kinds) + kind, number)
    return number
