"""Which thing is this, and where do things stand? Nearest picture of `things.py`, with numpy only.

A crop is averaged down to a small grid, once as colours relative to the background and once as edges by direction, and
held against every thing drawn on the same background. The distance is relative: 0 for the thing itself, about 1 for
what has nothing in common with it. `find_things` looks at every box of the 32 px grid in the sizes of the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from einops import reduce
from numpy.typing import NDArray
from PIL import Image

from inkwash.scenes.things import THING_NAMES, thing_image
from inkwash.scenes.world import CELL, RGB

Array = NDArray[np.float32]
Box = tuple[int, int, int, int]

THING_SIZES = (64, 96, 160)
SIDE = 32  # a crop is averaged to this many pixels
GRID, EDGE_GRID = 16, 8
DIRECTIONS = 4
COLOR_WEIGHT, EDGE_WEIGHT = 2 / 3, 1 / 3
FLOOR = 0.02  # differences of this size are what an autoencoder makes of a bare ground
MAX_DISTANCE = 0.38  # after the autoencoder of nano 99 % of the things are nearer; lines of letters begin at 0.39
# Letters and shapes have one flat colour: it leaves at most 0.05 of the distance to the nearest thing unexplained.
FLAT_SHARE, SURE_DISTANCE = 0.075, 0.05
UNEVEN = 0.12  # mean difference along the border of a box above which something crosses it


def recognize(crop: Image.Image | NDArray[np.uint8], background: RGB | None = None) -> tuple[str | None, float]:
    """The thing that fills a square crop and its distance; None instead of a name when nothing known does.

    `background` is the colour around the thing; without it, the colour along the border of the crop is taken.
    """
    image = crop if isinstance(crop, Image.Image) else Image.fromarray(crop)
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    names, distances = _recognize_all(_unit(small)[None], background)
    return names[0], float(distances[0])


def find_things(image: Image.Image, background: RGB | None = None) -> list[tuple[str, Box]]:
    """Names and boxes (left, top, right, bottom) of the things on the 32 px grid, in reading order.

    Boxes do not overlap: of two that do, the one that is nearer to its thing stays. Without `background` each box is
    held against the colour along its own border, which follows gradients, panels and bands.
    """
    pixels = _unit(image.convert("RGB"))
    found: list[tuple[float, str, Box]] = []
    for size in THING_SIZES:
        for top in range(0, image.height - size + 1, CELL):
            lefts = range(0, image.width - size + 1, CELL)
            if not lefts:
                continue
            crops = np.stack([pixels[top : top + size, left : left + size] for left in lefts])
            small = reduce(crops, "b (h i) (w j) c -> b h w c", "mean", h=SIDE, w=SIDE)
            names, distances = _recognize_all(small, background)
            found += [
                (float(distance), name, (left, top, left + size, top + size))
                for name, distance, left in zip(names, distances, lefts, strict=True)
                if name is not None
            ]
    kept: list[tuple[str, Box]] = []
    for _, name, box in sorted(found):
        if not any(_overlap(box, other) for _, other in kept):
            kept.append((name, box))
    return sorted(kept, key=lambda item: (item[1][1], item[1][0]))


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _recognize_all(pixels: Array, background: RGB | None) -> tuple[list[str | None], Array]:
    """Crops (B, SIDE, SIDE, 3) in 0..1 -> names, and distances to the nearest thing (B,)."""
    names: list[str | None] = [None] * len(pixels)
    distances = np.ones(len(pixels), dtype=np.float32)
    if background is not None:
        grounds: Sequence[RGB | None] = [background] * len(pixels)
    else:
        grounds = [_ground(one) for one in pixels]
    for ground in {one for one in grounds if one is not None}:
        chosen = np.array([one == ground for one in grounds])
        table = _distances(pixels[chosen], ground)
        nearest = table.argmin(axis=1)
        apart = np.take_along_axis(table, nearest[:, None], axis=1)[:, 0]
        distances[chosen] = apart
        known = (apart <= MAX_DISTANCE) & ~_flat(pixels[chosen], ground, apart)
        for index, thing, ok in zip(np.flatnonzero(chosen), nearest, known, strict=True):
            names[index] = THING_NAMES[thing] if ok else None
    return names, distances


def _ground(pixels: Array) -> RGB | None:
    """The colour along the border of a crop in steps of 8 of 255, or None where something crosses the border."""
    ring = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    middle = np.median(ring, axis=0)
    if np.abs(ring - middle).max(axis=1).mean() > UNEVEN:
        return None
    red, green, blue = (int(min(255, 8 * round(255 * float(value) / 8))) for value in middle)
    return red, green, blue


def _distances(pixels: Array, background: RGB) -> Array:
    """Distances (B, things) of crops to all things on this background, each 0 or more."""
    colors, edges = _describe(pixels, background)
    known_colors, known_edges = _known(background)
    return COLOR_WEIGHT * _relative(colors, known_colors) + EDGE_WEIGHT * _relative(edges, known_edges)


def _describe(pixels: Array, background: RGB) -> tuple[Array, Array]:
    """Crops (B, SIDE, SIDE, 3) -> colours relative to the background (B, n) and edges by direction (B, m)."""
    colors = reduce(pixels - _unit(background), "b (h i) (w j) c -> b (h w c)", "mean", h=GRID, w=GRID)
    down, across = np.gradient(pixels, axis=(1, 2))
    strength = np.hypot(down, across)
    place = np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS  # an edge has no sign
    edges = []
    for direction in range(DIRECTIONS):
        away = np.abs(place - direction)
        share = np.clip(1 - np.minimum(away, DIRECTIONS - away), 0, 1)  # between two directions, to both
        edges.append(reduce(strength * share, "b (h i) (w j) c -> b (h w)", "mean", h=EDGE_GRID, w=EDGE_GRID))
    return colors, np.concatenate(edges, axis=1)


def _relative(a: Array, b: Array) -> Array:
    """Squared distances (len(a), len(b)) by the energy of both: 0 for equals, about 1 for unrelated ones."""
    energy = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None]
    return np.maximum(energy - 2 * a @ b.T, 0) / (energy + FLOOR**2 * a.shape[1])


def _flat(pixels: Array, background: RGB, distance: Array) -> NDArray[np.bool_]:
    """Which crops one colour on the background explains so much better than their thing that they show a sign."""
    apart = pixels - _unit(background)
    strength = np.linalg.norm(apart, axis=3)
    flat = np.zeros(len(pixels), dtype=bool)
    for i, (one, strong) in enumerate(zip(apart, strength, strict=True)):
        color = np.median(one[strong >= 0.6 * strong.max()], axis=0)
        share = np.clip(one @ color / max(float(color @ color), 1e-6), 0, 1)
        left = np.square(one - share[..., None] * color).sum() / max(float(np.square(one).sum()), 1e-6)
        flat[i] = distance[i] > SURE_DISTANCE and left < FLAT_SHARE * distance[i]
    return flat


def _unit(values: RGB | Image.Image) -> Array:
    """Colour values of 0..255 in 0..1."""
    return np.asarray(values, dtype=np.float32) * np.float32(1 / 255)


@lru_cache(maxsize=256)
def _known(background: RGB) -> tuple[Array, Array]:
    """All things on a background as `_describe` sees them."""
    premultiplied, alpha = _pictures()
    return _describe(premultiplied + (1 - alpha) * _unit(background), background)


@cache
def _pictures() -> tuple[Array, Array]:
    """All things, averaged: premultiplied colours (things, SIDE, SIDE, 3) and coverage (things, SIDE, SIDE, 1)."""
    stack = np.stack([_unit(thing_image(name, 3 * SIDE)) for name in THING_NAMES])
    stack[..., :3] *= stack[..., 3:]
    small = reduce(stack, "b (h i) (w j) c -> b h w c", "mean", h=SIDE, w=SIDE)
    return small[..., :3], small[..., 3:]
