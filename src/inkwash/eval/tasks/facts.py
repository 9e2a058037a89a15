"""Facts of a scene other than its words: background, shapes and colours, as far as the prompt states them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inkwash.scenes.grammar import Scene
from inkwash.scenes.world import COLOR_NAMES, COLORS


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was checked in one picture; None or empty where the prompt asked for nothing."""

    background: bool | None = None
    shapes: tuple[bool, ...] = ()
    shape_colors: tuple[bool, ...] = ()
    text_colors: tuple[bool, ...] = ()


def unquoted(prompt: str) -> str:
    """The prompt without the texts to be drawn, in lower case."""
    return re.sub(r'"[^"]*"|“[^”]*”|「[^」]*」', " ", prompt).lower().replace("grey", "gray")


def states(prompt: str | None, *words: str) -> bool:
    """Whether the prompt says these words next to each other, outside of quotation marks; no prompt says everything."""
    if prompt is None:
        return True
    return re.search(r"\b" + r"\s+".join(map(re.escape, words)) + r"\b", unquoted(prompt)) is not None


def check_facts(image: Image.Image, scene: Scene, prompt: str | None = None) -> Facts:
    """Hold the stated facts of a scene against a picture."""
    return Facts(background=(main_color(image) == scene.background) if states(prompt, scene.background) else None)


def main_color(image: Image.Image) -> str:
    """The named colour that most pixels are nearest to."""
    pixels = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.NEAREST), dtype=np.int64).reshape(-1, 3)
    palette = np.asarray(list(COLORS.values()), dtype=np.int64)
    nearest = ((pixels[:, None, :] - palette[None]) ** 2).sum(-1).argmin(1)
    return COLOR_NAMES[int(np.bincount(nearest, minlength=len(COLOR_NAMES)).argmax())]
