"""Per-cell ground truth of level `card`: what a semantic token should tell, and `meaning`, one number for all of it.

As in `meanings.py` a cell tells only what its neighbours cannot tell for it: one with a character which one, which
quarter of a large one, colour and face; one with a shape the shape, part and colour; one with a thing its name and
part; an empty one the ground's colour and style, or, where a structure has an edge, what exactly the edge looks like.
"""

from __future__ import annotations

import zlib
from functools import cache

import numpy as np
from einops import rearrange
from numpy.typing import NDArray

from inkwash.scenes.card_words import LATIN_TEXT
from inkwash.scenes.labels import EMPTY, LETTER, OBJECT, shape_parts
from inkwash.scenes.lettering import GRID_CAP, letter_boxes
from inkwash.scenes.meanings import QUARTERS, TOLD, numbered
from inkwash.scenes.scene import Scene, TextItem
from inkwash.scenes.structures import ground_ids
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.words import characters
from inkwash.scenes.world import CARD_COLORS, CARD_FACES, CELL, SHAPES, STRUCTURES, STYLES

THING = 3  # beside EMPTY, LETTER and OBJECT
COLOR_INDEX = {name: i for i, name in enumerate(CARD_COLORS)}
NO_COLOR = len(CARD_COLORS)
PART_OFFSETS = {2: 0, 3: 4, 5: 13}  # by cells a side
PARTS = 1 + 4 + 9 + 25
SAMPLES = 4  # points a side at which an edge cell's ground is looked at

Meanings = dict[str, NDArray[np.int64]]


@cache
def card_signs() -> dict[str, int]:
    """Every character that level `card` can set, and its label: Latin first, from 1 on."""
    signs = LATIN_TEXT.replace(" ", "")
    return {sign: i + 1 for i, sign in enumerate(signs + "".join(c for c in characters() if c not in signs))}


@cache
def card_labels() -> dict[str, int]:
    """The heads of the tokenizer of nano's third edition, with their numbers of classes."""
    return {
        "background": len(CARD_COLORS),
        "style": len(STYLES),
        "structure": len(STRUCTURES),
        "kind": 4,
        "sign": 1 + len(card_signs()),
        "quarter": 1 + QUARTERS,
        "color": NO_COLOR + 1,
        "face": 1 + len(CARD_FACES),
        "shape": 1 + len(SHAPES),
        "thing": 1 + len(THING_NAMES),
        "part": PARTS,
    }


def cell_card_meanings(scene: Scene) -> Meanings:
    """Integer arrays (rows, cols) under the keys of `card_labels`, `meaning` and `border`.

    `border` is 1 + the colour of the card's background along the canvas's edge and 0 within.
    """
    cells: Meanings = {name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in card_labels()}
    cells["color"][:] = NO_COLOR
    edges = _ground(cells, scene)
    for shape in scene.objects:
        for (row, col), part in shape_parts(shape):
            cells["kind"][row, col] = OBJECT
            cells["color"][row, col] = COLOR_INDEX[shape.color]
            cells["shape"][row, col] = 1 + SHAPES.index(shape.shape)
            cells["part"][row, col] = part
    for thing in scene.things:
        left, top, side = thing.box[0] // CELL, thing.box[1] // CELL, thing.size // CELL
        square = (slice(top, top + side), slice(left, left + side))
        cells["kind"][square] = THING
        cells["thing"][square] = 1 + THING_NAMES.index(thing.thing)
        cells["part"][square] = 1 + PART_OFFSETS[side] + np.arange(side * side).reshape(side, side)
    for text in scene.texts:
        _mark_text(cells, text)
    number = numbered(cells, TOLD | {THING: ("thing", "part")}, card_labels())
    border = np.full((scene.rows, scene.cols), 1 + COLOR_INDEX[scene.background])
    border[1:-1, 1:-1] = 0
    return cells | {"meaning": np.where((cells["kind"] == EMPTY) & (edges > 0), -1 - edges, number), "border": border}


def _ground(cells: Meanings, scene: Scene) -> NDArray[np.int64]:
    """Fill in the ground of every cell; a number for each kind of edge, 0 where the ground is all one."""
    ids = ground_ids(scene)
    background = COLOR_INDEX[scene.background]
    step, start = CELL // SAMPLES, CELL // SAMPLES // 2
    points = rearrange(ids[start::step, start::step], "(h a) (w b) -> h w (a b)", a=SAMPLES, b=SAMPLES)
    same = (points == points[..., :1]).all(-1)
    middle = points[..., points.shape[-1] // 2 + SAMPLES // 2]
    shows = middle < 0
    cells["background"][:] = np.where(shows | (middle >= 100), background, middle)
    cells["style"][:] = np.where(shows, STYLES.index(scene.style), STYLES.index("flat"))
    cells["structure"][:] = np.where(same, 0, STRUCTURES.index(scene.structure.kind))
    edges = np.zeros((scene.rows, scene.cols), dtype=np.int64)
    described = f"{scene.structure.kind} {background} {scene.structure.color}".encode()
    for row, col in zip(*np.nonzero(~same), strict=True):
        edges[row, col] = 1 + zlib.crc32(described + points[row, col].tobytes()) % (2**31)
    return edges


def _mark_text(cells: Meanings, item: TextItem) -> None:
    large = item.size > GRID_CAP
    for character, box in letter_boxes(item):
        for row in range(box[1] // CELL, box[3] // CELL):
            for col in range(box[0] // CELL, box[2] // CELL):
                cells["kind"][row, col] = LETTER
                cells["sign"][row, col] = card_signs()[character]
                cells["color"][row, col] = COLOR_INDEX[item.color]
                cells["face"][row, col] = 1 + CARD_FACES.index(item.face)
                if large:
                    cells["quarter"][row, col] = 1 + (row - box[1] // CELL) * 2 + col - box[0] // CELL
