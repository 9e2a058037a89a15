"""Crops that a decoder drew itself, from true plans: what a checker or a reader refused, and what is right.

A refused line or picture gives the crop where it differs most from what it was to be. Both kinds must also look like
what they are: a reader may refuse a sound letter and read a broken one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from inkwash.core.files import atomic_path
from inkwash.engine.readback import letters
from inkwash.eval.ocr import Line
from inkwash.rl.rewards.detail import SIDE, crop_at, spots_along
from inkwash.rl.rewards.text import SURE
from inkwash.scenes.card_check import check_card
from inkwash.scenes.check import check
from inkwash.scenes.scene import Box, Scene

BLUR = 4  # pixels around one over which a difference is averaged
SOUND_GAP = 24.0  # of 255: a crop that is right differs nowhere by more
BROKEN_GAP = 48.0  # and one that is refused differs somewhere by more
EMPTY = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class DrawnCrops:
    """uint8 (N, 64, 64, 3) each."""

    whole: NDArray[np.uint8]
    failed: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class JudgedCrop:
    """A drawn crop, whether what it belongs to was refused, and how far it is from the truth at its worst place."""

    crop: Image.Image
    failed: bool
    gap: float

    @property
    def label(self) -> bool | None:
        """Whether it is whole; None where verdict and looks disagree."""
        if self.failed:
            return False if self.gap > BROKEN_GAP else None
        return True if self.gap < SOUND_GAP else None


def judged_crops(image: Image.Image, target: Image.Image, scene: Scene, lines: Sequence[Line]) -> list[JudgedCrop]:
    """Crops of a picture; `target` is the true one through the same autoencoder, so that its blur does not count."""
    difference = ImageChops.difference(image, target).filter(ImageFilter.BoxBlur(BLUR))
    gaps: NDArray[np.float32] = np.asarray(difference, dtype=np.float32).mean(-1)
    found = []
    for box, right in verdicts(image, scene, lines):
        for x, y in spots_along(box) if right else [_worst(gaps, box)]:
            near: Box = (int(x) - 24, int(y) - 24, int(x) + 24, int(y) + 24)
            found.append(JudgedCrop(crop=crop_at(image, x, y), failed=not right, gap=float(_part(gaps, near).max())))
    return found


def verdicts(image: Image.Image, scene: Scene, lines: Sequence[Line]) -> Iterator[tuple[Box, bool]]:
    """Boxes of the texts and pictures of a scene, and whether each was read or found."""
    read = "".join(letters(line.text) for line in lines if line.score >= SURE)
    for text in scene.texts:
        yield text.box, letters(text.text) in read
    if scene.card is None:
        for shape, one in zip(scene.objects, check(image, scene).objects, strict=True):
            yield shape.box, one.shape_ok and one.place_ok
        return
    things = check_card(image, scene).things
    for picture in scene.pictures:
        found = things[picture.region]
        yield picture.box, found.there and found.count_ok


def _part(gaps: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    left, top, right, bottom = (max(0, side) for side in box)
    return gaps[top:bottom, left:right]


def _worst(gaps: NDArray[np.float32], box: Box) -> tuple[float, float]:
    """Where in a box the difference is largest."""
    part = _part(gaps, box)
    y, x = divmod(int(part.argmax()), part.shape[1])
    return max(0, box[0]) + x, max(0, box[1]) + y


def write_crops(crops: Sequence[JudgedCrop], path: Path) -> None:
    """Keep those with a label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole, failed = (
        np.stack([EMPTY, *(np.asarray(one.crop, dtype=np.uint8) for one in crops if one.label is label)])[1:]
        for label in (True, False)
    )
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, whole=whole, failed=failed)


def read_crops(paths: Sequence[Path]) -> DrawnCrops:
    """All crops of some files."""
    files = [np.load(path) for path in paths]
    return DrawnCrops(
        whole=np.concatenate([file["whole"] for file in files]),
        failed=np.concatenate([file["failed"] for file in files]),
    )
