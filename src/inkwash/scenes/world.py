"""Constants of the world: colours, faces, shapes, styles, and the 32 px cell grid they stand on.

Every table's order is part of the label contract of `labels.py` (a label is an index into it), so append only.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from inkwash.core.errors import ConfigError

CELL = 32
MIN_SIDE, MAX_SIDE = 128, 1024

RGB = tuple[int, int, int]

COLORS: dict[str, RGB] = {
    "white": (255, 255, 255),
    "black": (20, 20, 20),
    "red": (220, 40, 40),
    "blue": (35, 80, 210),
    "green": (30, 150, 70),
    "yellow": (250, 215, 50),
    "orange": (245, 130, 25),
    "purple": (125, 55, 170),
    "pink": (248, 160, 200),
    "gray": (140, 140, 140),
}
CARD_COLORS: dict[str, RGB] = COLORS | {
    "cream": (250, 242, 222),
    "light blue": (178, 214, 244),
    "light green": (190, 230, 190),
    "navy": (28, 40, 92),
    "brown": (112, 70, 42),
    "teal": (18, 112, 118),
}
CARD_TEXT_COLORS = ("white", "black", "red", "blue", "green", "yellow", "orange", "purple", "pink")
COLOR_NAMES = tuple(COLORS)
COLOR_IDS = {name: i for i, name in enumerate(COLOR_NAMES)}
NO_COLOR = len(COLOR_NAMES)

POSTER_FACES = ("sans", "serif", "mono")
SECOND_FACES = ("wide", "serif")  # their i, l and 1 fill a cell
FREE_FACES = ("sans", "serif", "mono", "italic", "condensed", "light")
LABELLED_FACES = (*FREE_FACES, "cjk")
FACES = (*LABELLED_FACES, "wide", "slab", "round", "hand", "poster")  # wide: mono, stretched to fill a cell
CARD_FACES = ("wide", "serif", "slab", "round", "hand", "poster", "cjk")

SHAPES = ("circle", "square", "triangle", "star", "heart", "diamond")
NEW_SHAPES = ("cross", "arrow")  # never sampled, so that a model can be taught something it has not seen
SHAPE_SIZES = (64, 96)

STYLES = (
    "flat", "gradient", "striped", "outlined", "shadowed", "framed", "dotted", "paper", "pixelated", "sketch",
)  # fmt: skip
SHAPE_STYLES = ("outlined", "pixelated", "sketch")  # these change shapes only
STRUCTURES = (
    "plain", "frame", "band", "paper", "bubble", "chalkboard", "ticket", "slide", "menu", "post", "label", "ribbon",
)  # fmt: skip
SPLITS = ("train", "held_out")

TEXT_CONTRAST = 2.8


def luminance(rgb: RGB) -> float:
    """Relative luminance of sRGB (WCAG 2.2), 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def check_name(what: str, value: str, allowed: Collection[str]) -> None:
    """Raise ConfigError for a name that is none of the allowed ones."""
    if value not in allowed:
        raise ConfigError(f"unknown {what} {value!r}: choose one of {', '.join(allowed)}")


def contrast(a: str, b: str) -> float:
    """WCAG contrast ratio of two named colours, 1 (same) to 21."""
    high, low = sorted((luminance(CARD_COLORS[a]), luminance(CARD_COLORS[b])), reverse=True)
    return (high + 0.05) / (low + 0.05)


@cache
def text_colors(background: str) -> tuple[str, ...]:
    """Names of the colours in which text is readable on this background; never empty."""
    return tuple(name for name in COLORS if contrast(name, background) >= TEXT_CONTRAST)


@cache
def shape_colors(background: str) -> tuple[str, ...]:
    """Names of the colours in which a shape can be told from this background."""
    far = [n for n in COLORS if sum((x - y) ** 2 for x, y in zip(COLORS[n], COLORS[background], strict=True)) > 90**2]
    return tuple(far)
