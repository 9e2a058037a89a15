"""The bundled faces: eleven small open-licence fonts, so that pictures come out the same on every machine.

Each face is a Latin (or Chinese) subset that lives in `inkwash/assets/fonts` beside its licence text. Faces are
named plainly by how a person would describe them, because captions use the same words.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from inkwash.core.errors import MediaError

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "fonts"

FONTS: dict[str, str] = {
    "sans": "sans.ttf",
    "serif": "serif.ttf",
    "mono": "mono.ttf",
    "italic": "italic.ttf",
    "condensed": "condensed.ttf",
    "light": "light.ttf",
    "cjk": "cjk.otf",
    "slab": "slab.ttf",
    "round": "round.ttf",
    "hand": "hand.ttf",
    "poster": "poster.ttf",
}


def font_path(name: str) -> Path:
    """The file of a bundled face; an unknown name raises `MediaError`."""
    if name not in FONTS:
        raise MediaError(f"unknown font face {name!r}: choose one of {', '.join(FONTS)}")
    return FOLDER / FONTS[name]


@lru_cache(maxsize=256)
def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A bundled face at `size` pixels per em, cached. Basic layout, so that results do not depend on Raqm."""
    if size < 1:
        raise MediaError(f"font size {size} is too small: use 1 or more pixels")
    return ImageFont.truetype(str(font_path(name)), size, layout_engine=ImageFont.Layout.BASIC)
