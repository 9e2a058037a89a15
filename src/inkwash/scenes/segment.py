"""Finding flat regions in a picture: the named colour of each pixel, and connected components with their shape.

Plain numpy and Pillow. Tolerates noise, blur and small shifts, because it judges pictures that a model drew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from einops import reduce
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inkwash.scenes import styles
from inkwash.scenes.render import shape_mask
from inkwash.scenes.scene import Box
from inkwash.scenes.styles import PIXEL
from inkwash.scenes.world import COLOR_NAMES, COLORS, RGB, SHAPES

PALETTE = np.array([COLORS[name] for name in COLOR_NAMES], dtype=np.float32)
PALETTE_SQUARES = (PALETTE**2).sum(axis=1)
COARSE = 4  # components are traced on a grid of this many pixels
TEMPLATE = 48
SMALLEST_SIDE = 30

Bits = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A connected region of one named colour, and the shape it looks most like."""

    color: str
    box: Box
    shape: str
    iou: float

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def size(self) -> int:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


def named_color(rgb: RGB) -> str:
    """The name of the nearest colour of the world."""
    distance = ((PALETTE - np.array(rgb, dtype=np.float32)) ** 2).sum(axis=1)
    return COLOR_NAMES[int(distance.argmin())]


def color_ids(image: Image.Image) -> NDArray[np.int64]:
    """(H, W) index of the nearest named colour of each pixel, after a 3 x 3 median against noise."""
    pixels = np.asarray(image.convert("RGB").filter(ImageFilter.MedianFilter(3)), dtype=np.float32)
    return (PALETTE_SQUARES - 2 * (pixels @ PALETTE.T)).argmin(axis=2)  # |p - c|^2 without |p|^2, equal for all c


def _unit(mask: Image.Image) -> Bits:
    """A mask cut to its ink and scaled to a common square."""
    bounds = mask.point([255 * (v > 127) for v in range(256)]).getbbox()
    if bounds is None:
        return np.zeros((TEMPLATE, TEMPLATE), dtype=bool)
    return np.asarray(mask.crop(bounds).resize((TEMPLATE, TEMPLATE), Image.Resampling.BOX)) > 127


@lru_cache(maxsize=128)
def _template(shape: str, size: int) -> Bits:
    mask = shape_mask(shape, size or 96)
    return _unit(styles.pixelated(mask) if size else mask)


def classify(mask: Image.Image, pixelated: int = 0, shapes: tuple[str, ...] = SHAPES) -> tuple[str, float]:
    """The one of `shapes` that a mask looks most like, with the IoU.

    `pixelated`: the rough size of a pixel-art shape, or 0.
    """
    unit = _unit(mask)
    sizes = (pixelated, pixelated + PIXEL, pixelated + 2 * PIXEL) if pixelated else (0,)
    scores = {
        shape: max(float((unit & other).sum() / max(1, (unit | other).sum())) for other in others)
        for shape, others in ((shape, [_template(shape, size) for size in sizes]) for shape in shapes)
    }
    best = max(scores, key=lambda shape: scores[shape])
    return best, scores[best]


def _coarse(bits: Bits) -> Bits:
    height, width = (side // COARSE * COARSE for side in bits.shape)
    ink = bits[:height, :width].astype(np.float32)
    return np.asarray(reduce(ink, "(h a) (w b) -> h w", "mean", a=COARSE, b=COARSE) > 0.5)


def _flood(bits: Bits) -> list[list[tuple[int, int]]]:
    """Connected sets of set cells, four neighbours."""
    left = {(int(r), int(c)) for r, c in np.argwhere(bits)}
    found = []
    while left:
        stack = [left.pop()]
        members = []
        while stack:
            r, c = stack.pop()
            members.append((r, c))
            for near in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)):
                if near in left:
                    left.remove(near)
                    stack.append(near)
        found.append(members)
    return found


def _component(
    members: list[tuple[int, int]], bits: Bits, color: str, pixel_art: bool, shapes: tuple[str, ...]
) -> Component | None:
    rows, cols = zip(*members, strict=True)
    width, height = (max(cols) - min(cols) + 1) * COARSE, (max(rows) - min(rows) + 1) * COARSE
    if max(width, height) < SMALLEST_SIDE or not 0.6 < width / height < 1.7:
        return None
    first_row, first_col = max(0, min(rows) - 1), max(0, min(cols) - 1)  # one coarse cell more on each side
    here = bits[first_row * COARSE : (max(rows) + 2) * COARSE, first_col * COARSE : (max(cols) + 2) * COARSE]
    keep = np.zeros((here.shape[0] // COARSE, here.shape[1] // COARSE), dtype=np.uint8)
    keep[np.array(rows) - first_row, np.array(cols) - first_col] = 255
    near = Image.fromarray(keep).filter(ImageFilter.MaxFilter(3)).resize(here.shape[::-1], Image.Resampling.NEAREST)
    mask = Image.fromarray(((here & (np.asarray(near) > 0)) * 255).astype(np.uint8))
    shape, iou = classify(mask, max(width, height) // PIXEL * PIXEL if pixel_art else 0, shapes)
    left, top, right, bottom = mask.getbbox() or (0, 0, width, height)
    x, y = first_col * COARSE, first_row * COARSE
    return Component(color=color, box=(left + x, top + y, right + x, bottom + y), shape=shape, iou=iou)


def _closed(bits: Bits) -> Bits:
    """Fill the gaps of hatching."""
    mask = Image.fromarray((bits * 255).astype(np.uint8))
    return np.asarray(mask.filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.MinFilter(9))) > 127


def components(
    ids: NDArray[np.int64], background: str, style: str = "flat", shapes: tuple[str, ...] = SHAPES
) -> list[Component]:
    """All regions large enough to be a shape, of every colour but the background's."""
    found = []
    for index, color in enumerate(COLOR_NAMES):
        bits = np.asarray(ids == index)
        if color == background or not bits.any():
            continue
        if style == "sketch":
            bits = _closed(bits)
        for members in _flood(_coarse(bits)):
            item = _component(members, bits, color, style == "pixelated", shapes) if len(members) > 20 else None
            if item is not None:
                found.append(item)
    return found
