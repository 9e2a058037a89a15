"""The word list and the one split of words and templates into train and held-out.

A stable hash decides, so that no run, machine or Python version ever moves a word across the line. The lists are in
``inkwash/assets/words`` with their notices.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from inkwash.core.errors import ConfigError
from inkwash.scenes.world import SPLITS

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "words"
HELD_OUT_WORDS = 0.10
HELD_OUT_TEMPLATES = 0.15
TEMPLATE_SALT = "932"  # chosen so that each list of templates, short ones too, has both sides
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

T = TypeVar("T")


def _fraction(kind: str, text: str) -> float:
    digest = hashlib.sha256(f"{kind}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def is_held_out(text: str, kind: str = "word") -> bool:
    """Whether a word (any case) or a template belongs to the held-out side."""
    if kind == "word":
        return _fraction("word", text.lower()) < HELD_OUT_WORDS
    return _fraction(kind + TEMPLATE_SALT, text) < HELD_OUT_TEMPLATES


def check_split(split: str) -> None:
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")


def of_split(items: Sequence[str], split: str, kind: str = "template") -> tuple[str, ...]:
    """The items of one side of the split, in their order."""
    check_split(split)
    return tuple(item for item in items if is_held_out(item, kind) == (split == "held_out"))


@lru_cache(maxsize=None)
def word_list(language: str = "en") -> tuple[str, ...]:
    """All words of a language, lower case, sorted."""
    path = FOLDER / f"{language}.txt"
    if not path.is_file():
        raise ConfigError(f"no word list for language {language!r}: choose one of en, zh")
    return tuple(path.read_text(encoding="utf-8").split())


@lru_cache(maxsize=None)
def words(split: str, shortest: int = 3, longest: int = 8, language: str = "en") -> tuple[str, ...]:
    """The words of one side of the split with a length in the given range."""
    return tuple(w for w in of_split(word_list(language), split, "word") if shortest <= len(w) <= longest)


def random_word(rng: random.Random, longest: int, shortest: int = 3) -> str:
    """A made-up letter string, upper case; never a held-out word (the caller trains on it)."""
    while True:
        made = "".join(rng.choices(LETTERS, k=rng.randint(shortest, longest)))
        if not is_held_out(made):
            return made


def sample_word(rng: random.Random, split: str, longest: int = 8, random_words: float = 0.0) -> str:
    """An upper-case word of the split of 3 to ``longest`` letters; lengths are balanced, not as in the list."""
    if random_words and rng.random() < random_words:
        return random_word(rng, longest)
    length = rng.randint(3, longest)
    return rng.choice(words(split, length, length)).upper()
