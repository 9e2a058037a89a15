"""Small screenshots for a small model: twice as large, since letters of a page are half as large as those it can read.

Training (`data/panel_pages.py`) and the agent's short prompt (`agent/prompt.py`) enlarge in this one way.
"""

from __future__ import annotations

from PIL import Image

SMALL_AREA = 100_000  # pixels up to which a screenshot counts as small: 384x256 does, 400x300 does not


def is_small(width: int, height: int) -> bool:
    """Whether a screenshot of this size is enlarged."""
    return width * height <= SMALL_AREA


def enlarged(picture: Image.Image) -> Image.Image:
    """A small picture twice as large, any other one as it is."""
    if not is_small(*picture.size):
        return picture
    return picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.BICUBIC)
