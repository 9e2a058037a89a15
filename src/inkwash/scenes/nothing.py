"""Pictures that show nothing known: noise, gradients, random textures, soft spots of colour, flat colour.

A model that sees must be able to say so. They look like photographs out of focus, walls, skies and broken files.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]
OCTAVES = 5


def sample_nothing(rng: random.Random, width: int, height: int, kind: str | None = None) -> Pixels:
    """uint8 (H, W, 3) without text, shape or thing; one of `NOTHING_PICTURES` where no kind is given."""
    draw = NOTHING_PICTURES[kind or rng.choice(tuple(NOTHING_PICTURES))]
    values = draw(rng, np.random.default_rng(rng.getrandbits(32)), width, height)
    return np.clip(values, 0, 255).astype(np.uint8)


def _color(rng: random.Random) -> _Floats:
    return np.array([rng.randrange(256) for _ in range(3)], dtype=np.float32)


def _flat(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    return np.broadcast_to(_color(rng), (height, width, 3)).copy()


def _noise(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    channels = rng.choice((1, 3))
    values = noise.standard_normal((height, width, channels), dtype=np.float32) * rng.uniform(15, 90)
    return _color(rng) + values


def _gradient(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    """Between two or three colours in any direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = np.cos(angle) * x / width + np.sin(angle) * y / height
    along = (along - along.min()) / max(float(np.ptp(along)), 1e-6)
    stops = [_color(rng) for _ in range(rng.choice((2, 2, 3)))]
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(along, places, [stop[c] for stop in stops]) for c in range(3)], -1).astype(np.float32)


def _field(noise: np.random.Generator, width: int, height: int, cells: int) -> _Floats:
    """A smooth random field of about `cells` hills a side, standard normal in its corners."""
    coarse = noise.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _texture(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    """Fractal noise between two colours: clouds, stone, grass."""
    first, decay = rng.choice((2, 3, 5, 8)), rng.uniform(0.4, 0.8)
    field = sum(_field(noise, width, height, first * 2**i) * decay**i for i in range(OCTAVES))
    share = 1 / (1 + np.exp(-np.asarray(field, dtype=np.float32) * rng.uniform(1, 3)))
    return _color(rng) * share[..., None] + _color(rng) * (1 - share[..., None])


def _spots(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    """Soft overlapping spots of light on a gradient, as a photograph out of focus."""
    values = _gradient(rng, noise, width, height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(rng.randint(4, 14)):
        radius = rng.uniform(0.06, 0.4) * min(width, height)
        far = ((x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2) / radius**2
        share = np.exp(-far)[..., None] * rng.uniform(0.3, 0.95)
        values = values * (1 - share) + _color(rng) * share
    return values


def _layers(rng: random.Random, noise: np.random.Generator, width: int, height: int) -> _Floats:
    """Hills, sea and sky: a few rough horizons with grain."""
    values = _gradient(rng, noise, width, height)
    y = np.arange(height, dtype=np.float32)[:, None]
    for i in range(rng.randint(1, 4)):
        line = _field(noise, width, 1, rng.choice((3, 6, 12)))[0] * rng.uniform(0.02, 0.12) * height
        edge = height * rng.uniform(0.25, 0.4) + i * height * 0.18 + line[None, :]
        share = np.clip((y - edge) / rng.uniform(1, 12), 0, 1)[..., None]
        values = values * (1 - share) + _color(rng) * share
    return values + noise.standard_normal(values.shape, dtype=np.float32) * rng.uniform(0, 14)


NOTHING_PICTURES: dict[str, Callable[[random.Random, np.random.Generator, int, int], _Floats]] = {
    "flat": _flat,
    "noise": _noise,
    "gradient": _gradient,
    "texture": _texture,
    "spots": _spots,
    "layers": _layers,
}
