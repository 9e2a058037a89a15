"""What may help a prompt, in the languages of the page: kinds of picture, things, styles, grounds.

All of it comes from what the checkpoint says about itself, so nothing is offered that the model does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypedDict

from inkwash.engine.prompt_reading import HAN
from inkwash.models.glm_image.folder import Abilities, Named

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
        "kinds": [
            _idea(one.name, chinese(one), _a(one.name, capital=True), f"一张{chinese(one)}") for one in limits.pictures
        ],
        "things": [
            _idea(one, chinese(named), f"with {_a(one)}", f"画着{chinese(named)}") for one, named in _things(limits)
        ],
        "styles": [_idea(words, chinese(one), words, chinese(one)) for one, words in _styles(limits.styles)],
        "grounds": [
            _idea(one.name, chinese(one), f"on {_a(one.name)} background", f"{chinese(one)}背景")
            for one in limits.colors
        ],
    }


def chinese(named: Named) -> str:
    """The first word for something in Chinese characters alone, its name where there is none."""
    return next((word for word in named.words if HAN.fullmatch(word)), plain(named.name))


def plain(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ")


def _idea(name: str, name_zh: str, words: str, words_zh: str) -> Idea:
    return {"name": {"en": plain(name), "zh": name_zh}, "words": {"en": words, "zh": words_zh}}


def _things(limits: Abilities) -> list[tuple[str, Named]]:
    return [(plain(one.name), one) for one in limits.things]


def _styles(styles: Iterable[Named]) -> list[tuple[Named, str]]:
    """Styles whose words can be put into a prompt without more."""
    whole = ((one, next((word for word in one.synonyms if _WHOLE.match(word)), None)) for one in styles)
    return [(one, words) for one, words in whole if words is not None]


def _a(name: str, *, capital: bool = False) -> str:
    """The name with its article."""
    name = plain(name)
    if not capital and _PLURAL.search(name):
        return name
    article = "an" if name[0].lower() in "aeio" or name.startswith("umb") else "a"
    return f"{article.capitalize() if capital else article} {name}"
