"""Looks, measured: contrast of ink and ground, empty margins, even base lines, clean cells, the world's own colours.

The mean of five numbers from 0 to 1; those about lines count where lines were read, and a prompt that wants texts of
which none was read has 0 for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inkwash.eval.ocr import Line
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.text import SURE
from inkwash.scenes.world import CARD_COLORS, CELL, luminance

Pixels = NDArray[np.float32]
ENOUGH_CONTRAST = 4.5  # WCAG 2.2, level AA
MARGIN = CELL / 2
JITTER = 0.15  # of a line's height
SPECKS = 4.0  # cells
FAR = 40.0  # mean distance of a pixel from the nearest named colour at which nothing is left
PALETTE = np.array(list(CARD_COLORS.values()), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class LookReward:
    """Aesthetics of a poster, as far as they can be counted."""

    @property
    def name(self) -> str:
        return "look-1"

    @property
    def reads(self) -> bool:
        return True

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [float(np.mean(list(look_parts(item).values()))) for item in items]


def look_parts(item: RewardInput) -> dict[str, float]:
    """The five numbers by name."""
    pixels: Pixels = np.asarray(item.image.convert("RGB").filter(ImageFilter.MedianFilter(3)), dtype=np.float32)
    lines = [line for line in item.lines if line.score >= SURE]
    parts = {"palette": _palette(pixels), "clean": _clean(pixels, lines)}
    if not lines:
        missing = 0.0 if item.ask.texts else 1.0
        return parts | dict.fromkeys(("contrast", "margin", "even"), missing)
    return parts | {
        "contrast": _mean([min(1.0, _contrast(pixels, line) / ENOUGH_CONTRAST) for line in lines]),
        "margin": min(1.0, max(0.0, min(_margin(line, item.image) for line in lines) / MARGIN)),
        "even": _mean([1.0 - min(1.0, _jitter(pixels, line) / JITTER) for line in lines]),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _crop(pixels: Pixels, line: Line) -> Pixels:
    left, top, right, bottom = (max(0, round(side)) for side in line.box)
    return pixels[top : max(top + 2, bottom), left : max(left + 2, right)]


def _ink(crop: Pixels) -> tuple[Pixels, Pixels, NDArray[np.bool_]]:
    """The colours of ground and ink of a line, and which of its pixels are nearer to the ink."""
    edge = np.concatenate([crop[0], crop[-1], crop[:, 0], crop[:, -1]])
    ground = np.median(edge, axis=0)
    far = ((crop - ground) ** 2).sum(-1)
    ink = np.median(crop[far >= np.quantile(far, 0.97)], axis=0)
    return ground, ink, ((crop - ink) ** 2).sum(-1) < far


def _contrast(pixels: Pixels, line: Line) -> float:
    ground, ink, _ = _ink(_crop(pixels, line))
    low, high = sorted(luminance((int(c[0]), int(c[1]), int(c[2]))) for c in (ground, ink))
    return (high + 0.05) / (low + 0.05)


def _margin(line: Line, image: Image.Image) -> float:
    left, top, right, bottom = line.box
    return min(left, top, image.width - right, image.height - bottom)


def _jitter(pixels: Pixels, line: Line) -> float:
    """Median distance of the letters' lowest ink from its median, in line heights; descenders are few."""
    _, _, inked = _ink(_crop(pixels, line))
    columns = inked.any(axis=0)
    if not columns.any():
        return 0.0
    lowest = inked.shape[0] - 1 - inked[::-1, columns].argmax(axis=0)
    # of each column the deepest of its surroundings: an arch of an n is no base line
    reach = max(1, inked.shape[0] // 3)
    deepest = np.array([lowest[max(0, i - reach) : i + reach + 1].max() for i in range(len(lowest))])
    return float(np.median(np.abs(deepest - np.median(deepest)))) / inked.shape[0]


def _palette(pixels: Pixels) -> float:
    flat = pixels.reshape(-1, 3)
    nearest = np.sqrt(((flat[:, None] - PALETTE) ** 2).sum(-1).min(axis=1)) if len(flat) < 2**14 else _nearest(flat)
    return 1.0 - min(1.0, float(nearest.mean()) / FAR)


def _nearest(flat: Pixels) -> Pixels:
    """Distances to the nearest named colour of every fourth pixel: the mean needs no more."""
    thin = flat[::4]
    squares: Pixels = (thin**2).sum(1)[:, None] - 2 * thin @ PALETTE.T + (PALETTE**2).sum(1)
    return np.sqrt(np.maximum(squares.min(axis=1), 0))


def _clean(pixels: Pixels, lines: Sequence[Line]) -> float:
    """Few cells that are neither empty nor show something: a little ink that belongs to no line."""
    height, width = (side // CELL * CELL for side in pixels.shape[:2])
    cells = rearrange(pixels[:height, :width], "(h a) (w b) c -> h w (a b) c", a=CELL, b=CELL)
    ground = np.median(cells, axis=2, keepdims=True)
    inked = (np.abs(cells - ground).sum(-1) > 90).mean(axis=2)
    speck = (inked > 0.01) & (inked < 0.06)
    for line in lines:
        left, top, right, bottom = line.box
        speck[int(top // CELL) : int(bottom // CELL) + 1, int(left // CELL) : int(right // CELL) + 1] = False
    return 1.0 - min(1.0, float(speck.sum()) / SPECKS)
