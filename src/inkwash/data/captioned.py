"""A fixed pool of pictures with captions and letters, for experiments that see the same pictures again and again."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from inkwash.data.scenes import half_size
from inkwash.scenes.caption import caption
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.labels import cell_labels
from inkwash.scenes.render import render

LETTER = 1  # the kind of a cell that shows a letter


@dataclass(frozen=True, kw_only=True)
class CaptionedPictures:
    """`half` uint8 (P, H/2, W/2, 3), one prompt each, and the letter of every cell (P, N), 0 where there is none."""

    half: np.ndarray
    prompts: list[str]
    letters: np.ndarray


def captioned_pictures(seed: str, count: int, width: int, height: int) -> CaptionedPictures:
    """`count` scenes of one canvas, the same for the same seed."""
    rng = random.Random(seed)
    half, prompts, letters = [], [], []
    for _ in range(count):
        scene = sample_scene(rng, width=width, height=height, level="first", random_words=0.5)
        half.append(half_size(render(scene)))
        prompts.append(caption(scene, rng))
        labels = cell_labels(scene)
        letters.append(np.where(labels["kind"] == LETTER, labels["letter"] + 1, 0).ravel())
    return CaptionedPictures(half=np.stack(half), prompts=prompts, letters=np.stack(letters))
