"""The ten drawing styles: what they do to the background, to each item, and to the whole picture.

`flat` is the plain one. The named background colour stays the dominant colour in every style, the words stay
readable, and nothing depends on a random state.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from inkwash.scenes.scene import Scene, ShapeItem, TextItem
from inkwash.scenes.world import CARD_COLORS, COLORS, RGB, luminance

SHADE = 0.12
FAINT = 0.06  # stronger dots are read as letters
SHADOW_OFFSET = 3
FRAME = 5
STRIPE = 16
PIXEL = 8


def shade(color: RGB, amount: float = SHADE) -> RGB:
    """A tint of a colour that is still called by its name: lighter when it is dark, darker when it is light."""
    goal = 255 if luminance(color) < 0.1 else 0
    red, green, blue = (round(c + (goal - c) * amount) for c in color)
    return red, green, blue


def ink(background: str) -> RGB:
    """Near-black or white, whichever stands out from the background."""
    return COLORS["black"] if luminance(COLORS[background]) > 0.18 else COLORS["white"]


@lru_cache(maxsize=64)
def _pattern(style: str, width: int, height: int) -> Image.Image:
    """How far each pixel is shaded, 0 to 255 ("L")."""
    y, x = np.mgrid[0:height, 0:width]
    value: NDArray[np.float64]
    if style == "gradient":
        value = y / max(1, height - 1)
    elif style == "striped":
        value = ((x + y) // STRIPE % 2).astype(float)
    elif style == "dotted":
        value = (((x % STRIPE) - STRIPE / 2) ** 2 + ((y % STRIPE) - STRIPE / 2) ** 2 < 12).astype(float)
    else:  # paper: smooth fixed noise
        noise = np.random.default_rng(0).random((height // 2, width // 2)) * 255
        image = Image.fromarray(noise.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        return image.filter(ImageFilter.BoxBlur(1))
    return Image.fromarray((value * 255).astype(np.uint8))


def background(scene: Scene) -> Image.Image:
    """The empty canvas in its colour and style."""
    color = CARD_COLORS[scene.background]
    image = Image.new("RGB", (scene.width, scene.height), color)
    if scene.style in ("gradient", "striped", "dotted", "paper"):
        pattern = _pattern(scene.style, scene.width, scene.height)
        lines = [text.box for text in scene.texts if text.lettering == "grid"]
        if scene.style == "dotted" and lines:  # dots between widely set letters read as colons
            pattern = pattern.copy()
            for box in lines:
                pattern.paste(0, box)
        image.paste(shade(color, FAINT if scene.style == "dotted" else SHADE), (0, 0), pattern)
    return image


def _padded(mask: Image.Image, pad: int) -> Image.Image:
    canvas = Image.new("L", (mask.width + 2 * pad, mask.height + 2 * pad), 0)
    canvas.paste(mask, (pad, pad))
    return canvas


@lru_cache(maxsize=64)
def _hatching(size: int) -> Image.Image:
    y, x = np.mgrid[0:size, 0:size]
    return Image.fromarray((((x + y) % 10 < 4) * 255).astype(np.uint8))


def _sketched(mask: Image.Image) -> Image.Image:
    """Contour plus diagonal hatching of a filled shape."""
    core = _padded(mask, 2).filter(ImageFilter.MinFilter(5)).crop((2, 2, 2 + mask.width, 2 + mask.height))
    hatched = ImageChops.multiply(core, _hatching(mask.width))
    return ImageChops.lighter(ImageChops.subtract(mask, core), hatched)


def pixelated(mask: Image.Image) -> Image.Image:
    small = mask.resize((max(1, mask.width // PIXEL), max(1, mask.height // PIXEL)), Image.Resampling.BOX)
    return small.point([255 * (v > 127) for v in range(256)]).resize(mask.size, Image.Resampling.NEAREST)


def paint(image: Image.Image, mask: Image.Image, item: TextItem | ShapeItem, scene: Scene) -> None:
    """Draw one item through its mask, in place."""
    left, top = item.box[:2]
    if scene.style == "shadowed":
        dark = shade(COLORS[scene.background], 0.45)
        image.paste(dark, (left + SHADOW_OFFSET, top + SHADOW_OFFSET), mask)
    elif scene.style == "outlined" and isinstance(item, ShapeItem):
        image.paste(ink(scene.background), (left - 3, top - 3), _padded(mask, 3).filter(ImageFilter.MaxFilter(5)))
    elif scene.style == "sketch" and isinstance(item, ShapeItem):
        mask = _sketched(mask)
    elif scene.style == "pixelated" and isinstance(item, ShapeItem):
        mask = pixelated(mask)
    image.paste(COLORS[item.color], (left, top), mask)


def finish(image: Image.Image, scene: Scene) -> Image.Image:
    """What comes over the whole picture."""
    if scene.style == "framed":
        ImageDraw.Draw(image).rectangle(
            (0, 0, image.width - 1, image.height - 1), outline=ink(scene.background), width=FRAME
        )
    return image
