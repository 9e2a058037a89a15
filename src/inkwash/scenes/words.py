"""The word list and the one split of words and templates into train and held-out.

A stable hash decides, so that no run, machine or Python version ever moves a word across the line. The lists are in
`inkwash/assets/words` with their notices.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.scenes.world import SPLITS

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "words"
HELD_OUT_WORDS = 0.10
HELD_OUT_TEMPLATES = 0.15
SALTS = {
    "word": "word",
    "template": "template932",
    "edit": "edit28",
    "question": "question240",
}  # so that short lists, too, have both sides
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _fraction(salt: str, text: str) -> float:
    digest = hashlib.sha256(f"{salt}:{text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def is_held_out(text: str, kind: str = "word") -> bool:
    """Whether a word (in any case) or a template (of captions, `edit` or `question`) is on the held-out side."""
    if kind == "word":
        return _fraction(SALTS[kind], text.lower()) < HELD_OUT_WORDS
    return _fraction(SALTS[kind], text) < HELD_OUT_TEMPLATES


def check_split(split: str) -> None:
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")


def of_split(items: Sequence[str], split: str, kind: str = "template") -> tuple[str, ...]:
    """The items of one side of the split, in their order."""
    check_split(split)
    return tuple(item for item in items if is_held_out(item, kind) == (split == "held_out"))


@cache
def word_list(language: str = "en") -> tuple[str, ...]:
    """All words of a language, lower case, in the order of their file, on which sampled scenes depend."""
    path = FOLDER / f"{language}.txt"
    if not path.is_file():
        raise ConfigError(f"no word list for language {language!r}: choose one of en, zh")
    return tuple(path.read_text(encoding="utf-8").split())


@cache
def words(split: str, shortest: int = 3, longest: int = 8, language: str = "en") -> tuple[str, ...]:
    """The words of one side of the split with a length in the given range."""
    return tuple(w for w in of_split(word_list(language), split, "word") if shortest <= len(w) <= longest)


def random_word(rng: random.Random, longest: int, shortest: int = 3, letters: str = LETTERS) -> str:
    """A made-up string of `letters`, upper case by default; never a held-out word (the caller trains on it)."""
    while True:
        made = "".join(rng.choices(letters, k=rng.randint(shortest, longest)))
        if not is_held_out(made):
            return made


@cache
def characters() -> str:
    """Every character of the Chinese words, once each. Training shows them all: words are held out, characters are
    not, and one that only held-out words have could not be known from the other words.
    """
    return "".join(sorted(set("".join(word_list("zh")))))


def sample_word(rng: random.Random, split: str, longest: int = 8, random_words: float = 0.0) -> str:
    """An upper-case word of the split of 3 to `longest` letters; lengths are balanced, not as in the list."""
    if random_words and rng.random() < random_words:
        return random_word(rng, longest)
    length = rng.randint(3, longest)
    return rng.choice(words(split, length, length)).upper()


PATTERNS = (
    "{w}", "{w} {w}", "{w} {w} {w}", "{w} & {w}", "{w}!", "{w}?", "{w}, {w}", "{w}-{w}", "{w}: {n}", "{n} {w}",
    "{w} {n}%", "{n}% {w}", "{w} {n}:{m}", "${n}.{m}", "No. {n} {w}", "{w} {w}!", "{w} #{n}", "{w} {n}",
    "{w} {w} {n}",
)  # fmt: skip
ZH_PATTERNS = ("{w}", "{w}", "{w}", "{w}{n}", "{w}！", "{w}，{w}", "{n}%{w}")


def _cased(word: str, style: int) -> str:
    return (word.upper(), word.capitalize(), word.lower())[style]


def sample_cased(rng: random.Random, split: str, longest: int, style: int, random_words: float = 0.0) -> str:
    """A word of the split of 3 to `longest` letters: in capitals (style 0), capitalised (1) or in small letters."""
    return _cased(sample_word(rng, split, longest, random_words), style)


def sample_phrase(rng: random.Random, split: str, *, language: str = "en", random_words: float = 0.0) -> str:
    """A line of one to three words of the split, maybe with digits and punctuation, in one style of case."""
    if language == "zh":
        pattern = rng.choice(ZH_PATTERNS)
        fill = [rng.choice(words(split, 1, 8, "zh")) for _ in range(pattern.count("{w}"))]
    else:
        pattern, style = rng.choice(PATTERNS), rng.randrange(3)
        fill = [_cased(sample_word(rng, split, 8, random_words), style) for _ in range(pattern.count("{w}"))]
    for word in fill:
        pattern = pattern.replace("{w}", word, 1)
    return pattern.replace("{n}", str(rng.randint(1, 99))).replace("{m}", f"{rng.randint(0, 59):02d}")
