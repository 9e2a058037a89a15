"""What may help a prompt, in the languages of the page: kinds of picture, things, styles, grounds.

All of it comes from what the checkpoint says about itself, so nothing is offered that the model does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypedDict

from inkwash.engine.notes import Abilities
from inkwash.engine.prompt_reading import HAN

_PLURAL = re.compile(r"(?:cherries|grapes|fries|noodles|headphones|scissors|glasses|dice)$")
_WHOLE = re.compile(r"(?:in|on|as|with)\b")  # synonyms of styles that can stand in a prompt as they are


class Said(TypedDict):
    """The same in both languages."""

    en: str
    zh: str


class Idea(TypedDict):
    """A name to choose by, and what it adds to a prompt."""

    name: Said
    words: Said


class Ideas(TypedDict):
    """The ideas of each group, in the order of the checkpoint."""

    kinds: list[Idea]
    things: list[Idea]
    styles: list[Idea]
    grounds: list[Idea]


def ideas(limits: Abilities) -> Ideas:
    """Every idea that a model's limits give."""
    return {
        "kinds": [_kind(one.name, chinese(one.words)) for one in limits.pictures],
        "things": [_thing(plain(one.name), chinese(one.words)) for one in limits.things],
        "styles": [
            _idea(words, chinese(one.words), words, chinese(one.words))
            for one in limits.styles
            if (words := next((word for word in one.synonyms if _WHOLE.match(word)), None)) is not None
        ],
        "grounds": [_ground(one.name, chinese(one.words)) for one in limits.colors],
    }


def chinese(words: Sequence[str]) -> str:
    """The first word for something in Chinese characters alone, its name where there is none."""
    return next((word for word in words if HAN.fullmatch(word)), plain(words[0]))


def plain(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ")


def _kind(name: str, name_zh: str) -> Idea:
    return _idea(name, name_zh, _a(name, capital=True), f"一张{name_zh}")


def _thing(name: str, name_zh: str) -> Idea:
    return _idea(name, name_zh, f"with {_a(name)}", f"画着{name_zh}")


def _ground(name: str, name_zh: str) -> Idea:
    return _idea(name, name_zh, f"on {_a(name)} background", f"{name_zh}背景")


def _idea(name: str, name_zh: str, words: str, words_zh: str) -> Idea:
    return {"name": {"en": plain(name), "zh": name_zh}, "words": {"en": words, "zh": words_zh}}


def _a(name: str, *, capital: bool = False) -> str:
    """The name with its article."""
    name = plain(name)
    if not capital and _PLURAL.search(name):
        return name
    article = "an" if name[0].lower() in "aeio" or name.startswith("umb") else "a"
    return f"{article.capitalize() if capital else article} {name}"
