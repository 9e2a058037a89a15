"""How much is drawn in a picture: the share of its pixels that differ clearly from those a few pixels further on.

A plain fill or a soft gradient has no ink at all, whatever its colour; a single small letter has more than `EMPTY`.
Measured on 60 pictures of 384 px: plain fills have 0, the shortest line of letters 0.013.
"""

from __future__ import annotations

from PIL import Image

STEP = 4  # pixels between the two that are compared
CONTRAST = 40  # of 255: a difference that counts as drawn
EMPTY = 0.0003  # share of pixels below which a picture counts as empty


def ink_share(image: Image.Image) -> float:
    """The share of pixels beside an edge of something, 0 to 1."""
    import numpy as np

    pixels = np.asarray(image.convert("RGB"), dtype=np.int16)  # (H, W, 3)
    edges = np.zeros(pixels.shape[:2], dtype=bool)
    edges[:, STEP:] |= np.abs(pixels[:, STEP:] - pixels[:, :-STEP]).max(axis=-1) > CONTRAST
    edges[STEP:] |= np.abs(pixels[STEP:] - pixels[:-STEP]).max(axis=-1) > CONTRAST
    return float(edges.mean())
