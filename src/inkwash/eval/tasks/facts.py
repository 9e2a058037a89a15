"""Facts that a picture can be held against: background, texts, shapes and colours, as far as the prompt states them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inkwash.eval.metrics import score_words
from inkwash.scenes.scene import Scene
from inkwash.scenes.world import COLOR_NAMES, COLORS


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was checked in one picture; None or empty where the prompt asked for nothing."""

    background: bool | None = None
    shapes: tuple[bool, ...] = ()
    shape_colors: tuple[bool, ...] = ()
    text_colors: tuple[bool, ...] = ()


@dataclass(frozen=True, order=True)
class Fact:
    """One statement about a scene."""

    kind: str  # background, text
    value: str

    def __str__(self) -> str:
        return self.value if self.kind == "text" else f"{self.kind} {self.value}"


class Witness:
    """Says of one picture, and the lines read from it, whether it shows a fact."""

    def __init__(self, image: Image.Image, read: tuple[str, ...]) -> None:
        self._background = main_color(image)
        self._read = read

    def shows(self, fact: Fact) -> bool:
        if fact.kind == "background":
            return fact.value == self._background
        score = score_words([fact.value], self._read)
        return score.correct == score.total


def scene_facts(scene: Scene) -> frozenset[Fact]:
    """Everything about a scene that a witness can confirm."""
    return frozenset({Fact("background", scene.background), *(Fact("text", item.text) for item in scene.texts)})


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
