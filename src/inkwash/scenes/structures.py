"""What stands between the background of a card and its texts: frames, sheets, bubbles, chalkboards, signs on posts.

`layers(scene)` lists flat layers of one colour with coverage masks, bottom first. Masks depend on the geometry alone
and are cached. `ground_ids` says which layer each pixel shows, which is how an empty cell is labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inkwash.scenes.scene import Box, Scene
from inkwash.scenes.world import CARD_COLORS, RGB, luminance

SCALE = 3  # supersampling of the masks
WOOD: RGB = (150, 98, 56)
DARK_WOOD: RGB = (92, 64, 48)
INSET = 14  # pixels from the canvas's edge to a sheet's
Layer = tuple[RGB, Image.Image, tuple[int, int]]  # colour, coverage, where its upper left corner stands


def toward(color: RGB, goal: RGB, amount: float) -> RGB:
    """A colour moved towards another one by a share of the way."""
    red, green, blue = (round(c + (g - c) * amount) for c, g in zip(color, goal, strict=True))
    return red, green, blue


def line_color(ground: str) -> RGB:
    """A quiet line on a ground: towards white on dark ones, towards black on light ones."""
    color = CARD_COLORS[ground]
    return toward(color, (255, 255, 255), 0.75) if luminance(color) < 0.35 else toward(color, (20, 20, 20), 0.7)


def shadow_color(ground: str) -> RGB:
    return toward(CARD_COLORS[ground], (0, 0, 0), 0.28)


def _rectangle(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    draw.rectangle(edge, fill=255)


def _rounded(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    draw.rounded_rectangle(edge, radius=extra * SCALE, fill=255)


def _outline(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    draw.rectangle(edge, outline=255, width=extra * SCALE)


def _rounded_outline(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    draw.rounded_rectangle(edge, radius=18 * SCALE, outline=255, width=extra * SCALE)


def _hole(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    draw.ellipse(edge, fill=255)


def _tail(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    left, top, _, bottom = edge
    draw.polygon([(left, top), (left + extra * 2 * SCALE, top), (left + extra // 3 * SCALE, bottom)], fill=255)


def _left_end(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    left, top, right, bottom = edge
    notch = (left + 14 * SCALE, (top + bottom) // 2)
    draw.polygon([(left, top), (right, top), (right, bottom), (left, bottom), notch], fill=255)


def _right_end(draw: ImageDraw.ImageDraw, edge: Box, extra: int) -> None:
    left, top, right, bottom = edge
    notch = (right - 14 * SCALE, (top + bottom) // 2)
    draw.polygon([(left, top), (right, top), notch, (right, bottom), (left, bottom)], fill=255)


Shape = Callable[[ImageDraw.ImageDraw, Box, int], None]


@lru_cache(maxsize=1024)
def _mask(shape: Shape, width: int, height: int, extra: int) -> Image.Image:
    """The coverage mask ("L") of one shape in a box of this size."""
    big = Image.new("L", (width * SCALE, height * SCALE), 0)
    shape(ImageDraw.Draw(big), (0, 0, big.width - 1, big.height - 1), extra)
    return big.reduce(SCALE)


def layers(scene: Scene) -> Iterator[Layer]:
    """The flat layers of a scene's structure, bottom first."""
    kind, panel = scene.structure.kind, scene.structure.color
    width, height, box = scene.width, scene.height, scene.structure.box
    whole = (0, 0, width, height)

    def layer(color: RGB, shape: Shape, at: Box, extra: int = 0) -> Layer:
        return color, _mask(shape, at[2] - at[0], at[3] - at[1], extra), at[:2]

    def inset(by: int) -> Box:
        return by, by, width - by, height - by

    if kind == "frame":
        yield layer(line_color(scene.background), _outline, inset(9), 5)
        yield layer(line_color(scene.background), _outline, inset(19), 2)
    elif kind == "menu":
        yield layer(CARD_COLORS[panel], _rectangle, inset(INSET))
        yield layer(line_color(panel), _outline, inset(INSET + 6), 2)
        yield layer(line_color(panel), _rounded_outline, inset(INSET + 11), 2)
    elif kind == "paper":
        shade = (INSET + 5, INSET + 6, width - INSET + 5, height - INSET + 6)
        yield layer(shadow_color(scene.background), _rectangle, shade)
        yield layer(CARD_COLORS[panel], _rectangle, inset(INSET))
    elif kind == "label":
        yield layer(CARD_COLORS[panel], _rounded, inset(INSET), 26)
        yield layer(line_color(panel), _rounded_outline, inset(INSET + 7), 2)
    elif kind == "ticket":
        yield layer(CARD_COLORS[panel], _rounded, inset(INSET), 10)
        for x in (INSET, width - INSET):
            yield layer(CARD_COLORS[scene.background], _hole, (x - 15, height // 2 - 15, x + 15, height // 2 + 15))
    elif kind == "chalkboard":
        yield layer(WOOD if scene.background != "brown" else DARK_WOOD, _rectangle, whole)
        yield layer(CARD_COLORS[panel], _rounded, inset(INSET), 6)
    elif kind == "slide":
        yield layer(CARD_COLORS[panel], _rectangle, box)
    elif kind == "band" and box != (0, 0, 0, 0):
        yield layer(CARD_COLORS[panel], _rectangle, box)
        for top in (box[1] + 3, box[3] - 5):
            yield layer(line_color(panel), _rectangle, (0, top, width, top + 2))
    elif kind == "ribbon" and box != (0, 0, 0, 0):
        ends = (4, box[1] + 9, 64, box[3] + 9), (width - 64, box[1] + 9, width - 4, box[3] + 9)
        dark = toward(CARD_COLORS[panel], (0, 0, 0), 0.35)
        yield layer(dark, _left_end, ends[0])
        yield layer(dark, _right_end, ends[1])
        yield layer(CARD_COLORS[panel], _rectangle, (36, box[1], width - 36, box[3]))
    elif kind == "bubble" and box != (0, 0, 0, 0):
        yield layer(CARD_COLORS[panel], _tail, (box[0] + 40, box[3] - 4, box[0] + 100, box[3] + 22), 24)
        yield layer(CARD_COLORS[panel], _rounded, box, 22)
    elif kind == "post" and box != (0, 0, 0, 0):
        wood = WOOD if scene.background != "brown" else (176, 132, 88)
        yield layer(wood, _rectangle, (width // 2 - 14, box[3] - 8, width // 2 + 14, height))
        yield layer(CARD_COLORS[panel], _rounded, box, 12)
        yield layer(line_color(panel), _rounded_outline, (box[0] + 5, box[1] + 5, box[2] - 5, box[3] - 5), 2)


def paint(image: Image.Image, scene: Scene) -> None:
    """Draw the structure over the background, in place."""
    for color, mask, at in layers(scene):
        image.paste(color, at, mask)


def ground_ids(scene: Scene) -> NDArray[np.int16]:
    """(height, width): -1 where the background shows, else the colour number of the layer on top.

    A layer that has a named colour counts as that colour, so that a panel's inside is labelled like a background of
    its colour; the others count from 100 on.
    """
    named = {rgb: i for i, rgb in enumerate(CARD_COLORS.values())}
    ids = np.full((scene.height, scene.width), -1, dtype=np.int16)
    for i, (color, mask, (left, top)) in enumerate(layers(scene)):
        part = ids[max(0, top) : top + mask.height, max(0, left) : left + mask.width]
        area = np.asarray(mask)[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
        part[area > 127] = named.get(color, 100 + i)
    return ids
