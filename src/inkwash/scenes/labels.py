"""Per-cell ground truth: what each 32 x 32 px cell of a scene shows, as small integer arrays.

These labels train the semantic tokenizer: one cell is one semantic token, so a token that knows its labels knows
what to draw. `LABELS` gives the number of classes of each head.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from inkwash.scenes.lettering import letter_boxes
from inkwash.scenes.scene import Box, Cell, Scene, ShapeItem, TextItem, covered_cells
from inkwash.scenes.words import LETTERS
from inkwash.scenes.world import CELL, COLOR_IDS, COLOR_NAMES, LABELLED_FACES, NO_COLOR, SHAPE_SIZES, SHAPES

EMPTY, LETTER, OBJECT = 0, 1, 2
SEEN_CELL, SEEN_LETTER = 0.08, 0.4  # a character counts when it fills this share of a cell, or shows this share of it
PART_OFFSETS = {size: sum((s // CELL) ** 2 for s in SHAPE_SIZES if s < size) for size in SHAPE_SIZES}
PARTS = 1 + sum((size // CELL) ** 2 for size in SHAPE_SIZES)

LABELS: dict[str, int] = {
    "background": len(COLOR_NAMES),
    "kind": 3,
    "letter": 1 + len(LETTERS),
    "color": len(COLOR_NAMES) + 1,
    "face": 1 + len(LABELLED_FACES),
    "shape": 1 + len(SHAPES),
    "part": PARTS,
}

Labels = dict[str, NDArray[np.int64]]


def _overlap(box: Box, cell: Cell) -> int:
    """Pixels that a box and a cell share."""
    row, col = cell
    wide = min(box[2], (col + 1) * CELL) - max(box[0], col * CELL)
    high = min(box[3], (row + 1) * CELL) - max(box[1], row * CELL)
    return max(0, wide) * max(0, high)


def _letters_by_cell(item: TextItem) -> dict[Cell, str]:
    """For each cell that shows enough of a character, the character it shows most of."""
    best: dict[Cell, tuple[int, str]] = {}
    for letter, box in letter_boxes(item):
        area = max(1, (box[2] - box[0]) * (box[3] - box[1]))
        for cell in covered_cells(box):
            shared = _overlap(box, cell)
            if (shared >= SEEN_CELL * CELL**2 or shared >= SEEN_LETTER * area) and shared > best.get(cell, (0, ""))[0]:
                best[cell] = (shared, letter)
    return {cell: letter for cell, (_, letter) in best.items()}


def _face(item: TextItem) -> int:
    return LABELLED_FACES.index("mono" if item.face == "wide" else item.face)


def _label_text(labels: Labels, item: TextItem) -> None:
    for (row, col), letter in _letters_by_cell(item).items():
        labels["kind"][row, col] = LETTER
        labels["letter"][row, col] = LETTERS.find(letter.upper()) + 1
        labels["color"][row, col] = COLOR_IDS[item.color]
        labels["face"][row, col] = _face(item) + 1
        labels["shape"][row, col] = labels["part"][row, col] = 0


def shape_parts(item: ShapeItem) -> Iterator[tuple[Cell, int]]:
    """The cells of a shape, each with its part: its place in the shape's own n x n grid, from 1 on.

    Shapes of other sizes use the nearest grid.
    """
    left, top, _, _ = item.box
    nominal = min(SHAPE_SIZES, key=lambda size: abs(size - item.size))
    n = nominal // CELL
    for row, col in covered_cells(item.box):
        y, x = (row + 0.5) * CELL - top, (col + 0.5) * CELL - left
        if 0 <= y < item.size and 0 <= x < item.size:
            yield (row, col), 1 + PART_OFFSETS[nominal] + int(y * n / item.size) * n + int(x * n / item.size)


def _label_shape(labels: Labels, item: ShapeItem) -> None:
    for (row, col), part in shape_parts(item):
        labels["kind"][row, col] = OBJECT
        labels["color"][row, col] = COLOR_IDS[item.color]
        labels["shape"][row, col] = SHAPES.index(item.shape) + 1
        labels["part"][row, col] = part


def cell_labels(scene: Scene) -> Labels:
    """Integer arrays (rows, cols) under the keys of `LABELS`; 0 means none, except for colours (`NO_COLOR`)."""
    labels: Labels = {name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in LABELS}
    labels["background"][:] = COLOR_IDS[scene.background]
    labels["color"][:] = NO_COLOR
    for shape in scene.objects:
        _label_shape(labels, shape)
    for text in scene.texts:
        _label_text(labels, text)
    return labels
