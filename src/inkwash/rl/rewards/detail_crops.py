"""Crops for the evaluator of details: each place whole and damaged, sharp or through an autoencoder, some drawn.

A place stands in a batch twice, so what it shows does not tell its label. Damage is done to the picture before it goes
through the autoencoder: done afterwards it would be told by its sharpness, which no decoder's faults have.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkwash.data.loader import Batch
from inkwash.data.scenes import step_rng, training_scene
from inkwash.rl.rewards.detail import SIDE, corner_at, crop_at, spots_of
from inkwash.rl.rewards.detail_drawn import DrawnCrops
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene

RoundTrip = Callable[[Image.Image], Image.Image]
Pixels = NDArray[np.float32]
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # whole, damaged
KINDS = {"point": 3, "double": 3, "edge": 3, "slip": 3, "blank": 2}  # of damage, by how often
INK = 90  # distance from the ground, over the three channels, from which a pixel is ink
LEAST_CHANGED = 20  # pixels, for a damage that can be seen
CHANGED = 60  # of a pixel, over the three channels
TRIES = 4
DRAWN_SHARE = 0.25  # of a batch, where there are drawn crops
MOVES = ((4, 0), (0, 4), (-4, 0), (0, -4), (3, 3), (-3, 3), (5, 1), (1, -5))


@dataclass(frozen=True, kw_only=True)
class CropWorld:
    """Scenes of one level on square canvases, and the autoencoder of a checkpoint that draws them."""

    level: str
    side: int
    round_trip: RoundTrip | None = field(default=None, repr=False)

    def scene(self, rng: random.Random) -> Scene:
        """A training scene."""
        return training_scene(rng, self.side, self.side, self.level)


@dataclass(frozen=True, kw_only=True)
class DetailCrops:
    """{"crops": uint8 (B, 64, 64, 3), "whole": float (B,)}, half of them damaged, half of the made ones through VAEs.

    There are `scenes` scenes, each made when it is first needed and kept; with `turned`, the colour channels of each
    pair are exchanged and inverted at random, so that few scenes have many colours.
    """

    seed: int
    worlds: tuple[CropWorld, ...]
    batch: int = 64
    scenes: int = 200
    turned: bool = True
    drawn: DrawnCrops | None = field(default=None, repr=False)
    _made: dict[int, list[Pair]] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        chosen: list[Pair] = []
        if self.drawn is not None:
            chosen = [
                (rng.choice(self.drawn.whole), rng.choice(self.drawn.failed))
                for _ in range(int(DRAWN_SHARE * self.batch) // 2)
            ]
        while 2 * len(chosen) < self.batch:
            chosen += self._pairs(rng.randrange(self.scenes))
        crops = np.stack([turned(pair, rng) if self.turned else np.stack(pair) for pair in chosen[: self.batch // 2]])
        return {
            "crops": crops.reshape(-1, SIDE, SIDE, 3),
            "whole": np.tile(np.array([1.0, 0.0], dtype=np.float32), len(crops)),
            "prompts": [""],
        }

    def _pairs(self, number: int) -> list[Pair]:
        if number not in self._made:
            rng = random.Random(f"crops/{self.seed}/{number}")
            world = self.worlds[number % len(self.worlds)]
            through = world.round_trip if number // len(self.worlds) % 2 else None
            self._made[number] = pairs(world.scene(rng), rng, through)
        return self._made[number]


def turned(pair: Pair, rng: random.Random) -> NDArray[np.uint8]:
    """A pair (2, 64, 64, 3) with its colour channels in another order, each inverted or not."""
    order = rng.sample(range(3), 3)
    inverted = np.array([rng.choice((0, 255)) for _ in range(3)], dtype=np.uint8)
    found: NDArray[np.uint8] = np.stack(pair)[..., order] ^ inverted
    return found


def pairs(scene: Scene, rng: random.Random, through: RoundTrip | None) -> list[Pair]:
    """Every place of a scene that could be damaged, whole and damaged."""
    image = render(scene)
    spoilt = image.copy()
    spots = []
    for x, y in spots_of(scene):
        bad = damaged(crop_at(spoilt, x, y), rng)
        if bad is not None:
            spoilt.paste(bad, corner_at(spoilt, x, y))
            spots.append((x, y))
    if through is not None and spots:
        image, spoilt = through(image), through(spoilt)
    return [(np.asarray(crop_at(image, *middle)), np.asarray(crop_at(spoilt, *middle))) for middle in spots]


def damaged(crop: Image.Image, rng: random.Random) -> Image.Image | None:
    """A crop with one fault that can be seen; None where there is no ink to spoil.

    A missing point, a doubled stroke, a broken edge, a part that has slipped, or nothing left at all.
    """
    before: Pixels = np.asarray(crop, dtype=np.float32)
    ground = np.median(before.reshape(-1, 3), axis=0)
    ys, xs = np.nonzero(_ink(before, ground))
    if not len(ys):
        return None
    for _ in range(TRIES):
        place = rng.randrange(len(ys))
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        after = _spoil(before, ground, int(ys[place]), int(xs[place]), kind, rng)
        if (np.abs(after - before).sum(-1) > CHANGED).sum() >= LEAST_CHANGED:
            return Image.fromarray(after.round().astype(np.uint8))
    return None


def _spoil(before: Pixels, ground: Pixels, y: int, x: int, kind: str, rng: random.Random) -> Pixels:
    """One fault of a kind around a place."""
    if kind == "blank":
        return np.broadcast_to(ground, before.shape)
    if kind == "point":
        return np.where(_near(y, x, rng.randint(3, 6)), ground, before)
    if kind == "edge":
        return np.where(_stroke(y, x, rng), ground, before)
    dx, dy = rng.choice(MOVES)
    moved = np.roll(before, (dy, dx), axis=(0, 1))
    near = _near(y, x, rng.randint(10, 16))
    if kind == "slip":
        return np.where(near, moved, before)
    return np.where(near & _ink(moved, ground)[..., None], 0.6 * moved + 0.4 * before, before)


def _ink(pixels: Pixels, ground: Pixels) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.abs(pixels - ground).sum(-1) > INK
    return found


def _near(y: int, x: int, radius: int) -> NDArray[np.bool_]:
    """A disc (64, 64, 1)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    near: NDArray[np.bool_] = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)[..., None]
    return near


def _stroke(y: int, x: int, rng: random.Random) -> NDArray[np.bool_]:
    """A straight stroke through a place (64, 64, 1)."""
    length, width = rng.randint(8, 16), rng.randint(3, 4)
    across = rng.choice(((1, 0), (0, 1), (0.7, 0.7), (0.7, -0.7)))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    along = (columns - x) * across[0] + (rows - y) * across[1]
    aside = (columns - x) * across[1] - (rows - y) * across[0]
    found: NDArray[np.bool_] = ((np.abs(along) <= length) & (np.abs(aside) <= width / 2))[..., None]
    return found
