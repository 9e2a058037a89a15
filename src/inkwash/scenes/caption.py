"""Scene -> a prompt as a person would write it, in English or Chinese.

Every text that the picture shows stands in double quotation marks exactly as drawn. Shapes are always named;
colours, places and faces are named most of the time (what is left out is free). Templates come from one side of the
split (``words.of_split``); held-out captions use held-out templates only.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache

from inkwash.core.errors import ConfigError
from inkwash.scenes import phrases
from inkwash.scenes.grammar import Box, Scene, ShapeItem, TextItem
from inkwash.scenes.words import of_split

COLOR_RATE = 0.65
BACKGROUND_RATE = 0.8
PLACE_RATE = 0.35
FACE_RATE = 0.3

FACE_WORDS = {
    "sans": ("sans-serif", "sans serif"),
    "serif": ("serif",),
    "mono": ("monospace", "typewriter"),
    "italic": ("italic",),
    "condensed": ("narrow", "condensed"),
    "light": ("thin", "light"),
    "cjk": ("Chinese",),
}


@lru_cache(maxsize=None)
def _templates(name: str, split: str) -> tuple[str, ...]:
    everything: tuple[str, ...] = getattr(phrases, name)
    return of_split(everything, split) or everything


def vertical(box: Box, height: int) -> str:
    """``top``, ``middle`` or ``bottom``, by the middle of the box."""
    middle = (box[1] + box[3]) / 2 / height
    return "top" if middle < 0.36 else "bottom" if middle > 0.64 else "middle"


def horizontal(box: Box, width: int) -> str:
    """``left``, ``center`` or ``right``, by the middle of the box."""
    middle = (box[0] + box[2]) / 2 / width
    return "left" if middle < 0.36 else "right" if middle > 0.64 else "center"


def article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def place(box: Box, scene: Scene, rng: random.Random) -> str:
    """Where a box is: ``at the top``, ``in the bottom left corner``, ..."""
    v, h = vertical(box, scene.height), horizontal(box, scene.width)
    if h == "center":
        if v == "middle":
            return rng.choice(("in the middle", "in the center"))
        return rng.choice((f"at the {v}", f"on the {v}" if v == "top" else f"at the {v}"))
    if v == "middle":
        return rng.choice((f"on the {h}", f"on the {h} side"))
    return rng.choice((f"at the {v} {h}", f"in the {v} {h} corner"))


def describe_text(item: TextItem, scene: Scene, rng: random.Random) -> str:
    """``"HELLO" in white serif letters at the top``, with parts left out at random."""
    phrase = f'"{item.text}"'
    color = item.color if rng.random() < COLOR_RATE else ""
    face = rng.choice(FACE_WORDS[item.face]) if rng.random() < FACE_RATE else ""
    if color and face:
        phrase += f" in {color} {face} {rng.choice(('letters', 'type'))}"
    elif color:
        phrase += rng.choice((f" in {color}", f" in {color} letters", f" in {color}"))
    elif face:
        phrase += f" in {face} {rng.choice(('letters', 'type'))}"
    if rng.random() < PLACE_RATE:
        phrase += " " + place(item.box, scene, rng)
    return phrase


def describe_shape(item: ShapeItem, scene: Scene, rng: random.Random) -> str:
    """``a big red star at the bottom left``, with parts left out at random."""
    size = rng.choice(("big ", "large ")) if item.size > 64 else rng.choice(("small ", "little "))
    color = f"{item.color} " if rng.random() < 0.9 else ""
    phrase = article(f"{size if rng.random() < 0.3 else ''}{color}{item.shape}")
    if rng.random() < PLACE_RATE + 0.15:
        phrase += " " + place(item.box, scene, rng)
    return phrase


def _join(parts: list[str], word: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + f" {word} " + parts[-1]


def _english(scene: Scene, rng: random.Random, split: str) -> str:
    texts = _join([describe_text(t, scene, rng) for t in scene.texts], "and")
    shapes = _join([describe_shape(o, scene, rng) for o in scene.objects], "and")
    slots = {"N": rng.choice(phrases.NOUNS), "B": scene.background, "T": texts, "O": shapes}
    if not texts:
        return rng.choice(_templates("NO_TEXT" if shapes else "BARE", split)).format(**slots)
    kind = "COLORED" if rng.random() < BACKGROUND_RATE else "PLAIN"
    sentence = rng.choice(_templates(kind, split)).format(**slots)
    if shapes:
        sentence = rng.choice(_templates("TAILS", split)).format(S=sentence.rstrip(".?"), O=shapes)
    return _tidy(sentence)


def _tidy(sentence: str) -> str:
    """Mend the articles that the slots break: "a orange sign" -> "an orange sign"."""
    return re.sub(r"\b([Aa]) (?=orange|image)", r"\1n ", sentence)


def caption(scene: Scene, rng: random.Random, *, split: str = "train", language: str = "en") -> str:
    """One prompt for a scene, in ``en`` or ``zh``."""
    if language == "en":
        return _english(scene, rng, split)
    raise ConfigError(f"unknown caption language {language!r}: choose en or zh")
