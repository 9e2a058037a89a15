"""Per-cell ground truth: what each 32 x 32 px cell of a scene shows, as small integer arrays.

These labels train the semantic tokenizer: one cell is one semantic token, so a token that knows its labels knows
what to draw. ``LABELS`` gives the number of classes of each head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inkwash.scenes.grammar import Scene, ShapeItem, TextItem
from inkwash.scenes.words import LETTERS
from inkwash.scenes.world import CELL, COLOR_IDS, COLOR_NAMES, FACES, NO_COLOR, SHAPE_SIZES, SHAPES

EMPTY, LETTER, OBJECT = 0, 1, 2
PART_OFFSETS = {size: sum((s // CELL) ** 2 for s in SHAPE_SIZES if s < size) for size in SHAPE_SIZES}
PARTS = 1 + sum((size // CELL) ** 2 for size in SHAPE_SIZES)

LABELS: dict[str, int] = {
    "background": len(COLOR_NAMES),
    "kind": 3,
    "letter": 1 + len(LETTERS),
    "color": len(COLOR_NAMES) + 1,
    "face": 1 + len(FACES),
    "shape": 1 + len(SHAPES),
    "part": PARTS,
}

Labels = dict[str, NDArray[np.int64]]


def _label_text(labels: Labels, item: TextItem) -> None:
    for letter, (row, col) in zip(item.text, item.cells, strict=True):
        labels["kind"][row, col] = LETTER
        labels["letter"][row, col] = LETTERS.find(letter.upper()) + 1
        labels["color"][row, col] = COLOR_IDS[item.color]
        labels["face"][row, col] = FACES.index(item.face) + 1


def _label_shape(labels: Labels, item: ShapeItem) -> None:
    n, (left, top, _, _) = item.size // CELL, item.box
    here = np.s_[top // CELL : top // CELL + n, left // CELL : left // CELL + n]
    labels["kind"][here] = OBJECT
    labels["color"][here] = COLOR_IDS[item.color]
    labels["shape"][here] = SHAPES.index(item.shape) + 1
    labels["part"][here] = 1 + PART_OFFSETS[item.size] + np.arange(n * n).reshape(n, n)


def cell_labels(scene: Scene) -> Labels:
    """Integer arrays (rows, cols) under the keys of ``LABELS``; 0 means none, except for colours (``NO_COLOR``)."""
    labels: Labels = {name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in LABELS}
    labels["background"][:] = COLOR_IDS[scene.background]
    labels["color"][:] = NO_COLOR
    for shape in scene.objects:
        _label_shape(labels, shape)
    for text in scene.texts:
        _label_text(labels, text)
    return labels
