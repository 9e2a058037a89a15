"""Setting text: grid lettering (one character per 32 px cell, or per 2 x 2 of them) and free lettering (proportional).

Free lettering is measured with the same font call that draws it, so that a `TextItem.box` is its exact ink box.
"""

from __future__ import annotations

import random
from functools import lru_cache

from PIL import Image, ImageDraw

from inkwash.core.errors import MediaError
from inkwash.media.fonts import load_font
from inkwash.scenes.scene import Box, Scene, TextItem, covered_cells, fits, place_item
from inkwash.scenes.words import sample_phrase
from inkwash.scenes.world import CELL, FREE_FACES, text_colors

GRID_CAP = 24
SMALLEST_EM = 14
EDGE = 8


def grid_text(text: str, row: int, col: int, *, face: str, color: str, size: int = GRID_CAP) -> TextItem:
    """A line in grid lettering that begins in cell (row, col); a character of double size takes 2 x 2 cells."""
    step = size // GRID_CAP
    cells = tuple((row, col + step * i) for i in range(len(text)))
    box = (col * CELL, row * CELL, (col + step * len(text)) * CELL, (row + step) * CELL)
    return TextItem(text=text, face=face, color=color, size=size, box=box, lettering="grid", cells=cells)


@lru_cache(maxsize=4096)
def ink_box(text: str, face: str, size: int) -> Box:
    """The exact box of the ink of a line of free text that is drawn at the origin."""
    font = load_font(face, size)
    left, top, right, bottom = (round(v) for v in font.getbbox(text))
    pad = 2 + size // 8  # getbbox leaves overhang out and counts the last letter's advance as ink
    canvas = Image.new("L", (right - left + 2 * pad, bottom - top + 2 * pad), 0)
    ImageDraw.Draw(canvas).text((pad - left, pad - top), text, font=font, fill=255)
    found = canvas.getbbox()
    if found is None:
        raise MediaError(f"face {face!r} draws nothing for the text {text!r}: use visible characters")
    return found[0] + left - pad, found[1] + top - pad, found[2] + left - pad, found[3] + top - pad


def ink_size(text: str, face: str, size: int) -> tuple[int, int]:
    """Width and height in pixels of the ink of a line of free text."""
    left, top, right, bottom = ink_box(text, face, size)
    return right - left, bottom - top


def free_text(text: str, left: int, top: int, *, face: str, color: str, size: int) -> TextItem:
    """A line of free text whose ink starts at (left, top)."""
    width, height = ink_size(text, face, size)
    box = (left, top, left + width, top + height)
    return TextItem(text=text, face=face, color=color, size=size, box=box, lettering="free", cells=covered_cells(box))


def letter_boxes(item: TextItem) -> list[tuple[str, Box]]:
    """Each character of a text with the pixel box it stands in, spaces left out."""
    if item.lettering == "grid":
        side = item.size // GRID_CAP * CELL
        return [(c, (x * CELL, y * CELL, x * CELL + side, y * CELL + side)) for c, (y, x) in _zip(item) if c != " "]
    font = load_font(item.face, item.size)
    origin = item.box[0] - ink_box(item.text, item.face, item.size)[0]
    ends = [origin + font.getlength(item.text[:i]) for i in range(len(item.text) + 1)]
    _, top, _, bottom = item.box
    spans = zip(item.text, ends, ends[1:], strict=False)
    return [(c, (round(a), top, round(b), bottom)) for c, a, b in spans if not c.isspace()]


def _zip(item: TextItem) -> list[tuple[str, tuple[int, int]]]:
    return list(zip(item.text, item.cells, strict=True))


def shrink_to(text: str, face: str, size: int, width: int) -> int | None:
    """The largest em size up to `size` at which the line is no wider than `width`; None below the smallest."""
    natural, _ = ink_size(text, face, size)
    if natural > width:
        size = int(size * width / natural)
    while size >= SMALLEST_EM and ink_size(text, face, size)[0] > width:
        size -= 1
    return size if size >= SMALLEST_EM else None


def sample_free_text(
    rng: random.Random, scene: Scene, split: str, language: str, random_words: float
) -> TextItem | None:
    """A line of free text at a free place of the scene; None when it does not fit."""
    text = sample_phrase(rng, split, language=language, random_words=random_words)
    face = "cjk" if language == "zh" else rng.choice(FREE_FACES)
    side = min(scene.width, scene.height)
    wished = rng.randint(max(SMALLEST_EM, side // 16), max(20, side // 4))
    size = shrink_to(text, face, wished, scene.width - 2 * EDGE)
    if size is None:
        return None
    color = rng.choice(text_colors(scene.background))

    def make(left: int, top: int) -> TextItem:
        return free_text(text, left, top, face=face, color=color, size=size)

    return place_item(rng, scene, make, ink_size(text, face, size), step=4)


def reset(item: TextItem, text: str, scene: Scene) -> TextItem | None:
    """The item with other words in the same place, face, colour and size (free text may shrink); None if they collide.

    `scene` is the scene without the item.
    """
    if item.lettering == "grid":
        return _reset_grid(item, text, scene)
    size = shrink_to(text, item.face, item.size, scene.width - 2 * EDGE)
    if size is None:
        return None
    width, _ = ink_size(text, item.face, size)
    center = (item.box[0] + item.box[2]) // 2
    left = min(max(center - width // 2, EDGE), scene.width - EDGE - width)
    made = free_text(text, left, item.box[1], face=item.face, color=item.color, size=size)
    return made if fits(made, scene) else None


def _reset_grid(item: TextItem, text: str, scene: Scene) -> TextItem | None:
    row, col = item.cells[0]
    step = item.size // GRID_CAP
    space, old_space = scene.cols - step * len(text), scene.cols - step * len(item.text)
    if space < 0:
        return None
    col = space // 2 if col == old_space // 2 else 0 if col == 0 else space if col == old_space else min(col, space)
    made = grid_text(text, row, col, face=item.face, color=item.color, size=item.size)
    return made if fits(made, scene) else None


def moved(item: TextItem, left: int, top: int) -> TextItem:
    """The item with its box at another place (cell-aligned for grid lettering)."""
    if item.lettering == "grid":
        return grid_text(item.text, top // CELL, left // CELL, face=item.face, color=item.color, size=item.size)
    return free_text(item.text, left, top, face=item.face, color=item.color, size=item.size)
