"""Pictures of noise that are the same in every process; Pillow's own depend on what has called C's `rand` before."""

from __future__ import annotations

import numpy as np
from PIL import Image


def noise_picture(size: tuple[int, int], sigma: float, seed: int = 0) -> Image.Image:
    """Colour noise around middle grey; other seeds, other pictures."""
    width, height = size
    values = np.random.default_rng(seed).normal(128.0, sigma, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8), "RGB")
