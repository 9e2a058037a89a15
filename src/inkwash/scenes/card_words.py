"""What stands on cards: texts by genre, and the things and colours that suit.

Half of the texts come from a genre's templates ("Happy Birthday {name}"), half are words of the split or made-up
strings, since a model must learn to copy what it was never shown. A template is held out by its hash, or when one of
its own words is a held-out word; names and towns are split like words.
"""

from __future__ import annotations

import random
import re
from functools import cache

from inkwash.scenes.card_genres import GENRES
from inkwash.scenes.card_genres_zh import ZH_PATTERNS, ZH_TEXTS
from inkwash.scenes.card_slots import FILLS, LATIN_TEXT, capitals
from inkwash.scenes.things import THING_NAMES
from inkwash.scenes.words import characters, is_held_out, of_split, random_word, word_list, words
from inkwash.scenes.world import CARD_COLORS

__all__ = ["GENRES", "LATIN_TEXT", "sample_content", "suiting_colors", "suits"]

LONGEST = 60
MOST_WORDS = 8
COPIED = 0.5  # share of the texts that are words and made-up strings only
BILINGUAL = 0.06  # share of the texts of Chinese cards in Latin letters
SUITING = 0.8  # share of the cards with things that suit their genre
NUMBERS = {
    "title": ((0, 1), (8, 92)),
    "line": ((0, 1, 2, 3, 4), (34, 30, 18, 11, 7)),
    "detail": ((0, 1, 2), (66, 26, 8)),
}  # how many texts of a role, and the weights

PATTERNS = {
    "title": ("{v}", "{v}", "{v}", "{v} {v}", "{v} {v}", "{v} {v} {v}", "{v}!", "{v} & {v}", "{v}?", "{v} {n}", "{L}",
              "{v}-{v}", "{v}: {v}", "{v}'s {v}", "{v} {v}!", "No. {n}", "{n}", "{v}…", "{v}/{v}", "#{v}"),
    "line": ("{v}", "{v} {v}", "{v} {v}", "{v} {v} {v}", "{v} {v} {v}", "{v}, {v} & {v}", "{v} {v} {v} {v}",
             "{v} {v} {v} {v} {v}", "{v} {v} {v} {v} {v} {v}", "{v} {v} {v} {v} {v} {v} {v}", "{v} {price}",
             "{v} {v} {price}", "{v}: {v}", "{v}? {v}!", "{n} {v}", "{v} + {v}", "{v} (no {v})", "{v}; {v}", "{v}*",
             "{pct}% {v}", "{v}, {v}, {v}.", "{v} {v} {v} {v}.", "{v} @ {v}", "{v} / {v}"),
    "detail": ("{v}", "{v} {n}", "{date}", "{time}", "{price}", "{url}", "{phone}", "{mail}", "({v})", "{v} {v}",
               "#{v}{n}", "{day} {time}", "{v} - {v}", "{n}/{n}", "*{v}", "@{v}"),
}  # fmt: skip


def _own_words(template: str) -> list[str]:
    """The fixed words of a template, of four letters and more."""
    return re.findall(r"[^\W\d_]{4,}", re.sub(r"\{\w+\}", " ", template))


@cache
def text_templates(genre: str, role: str, split: str) -> tuple[str, ...]:
    """One side of a genre's templates for a role; of all genres where that side has none."""
    wanted = GENRES[genre]
    mine = {"title": wanted.titles, "line": wanted.lines, "detail": wanted.details}[role]
    known = frozenset(word_list())
    held = {
        template
        for template in mine
        if is_held_out(template, "template")
        or any(word.lower() in known and is_held_out(word) for word in _own_words(template))
    }
    side = tuple(template for template in mine if (template in held) == (split == "held_out"))
    return side or of_split(PATTERNS[role], split) or PATTERNS[role]


def _latin(rng: random.Random, genre: str, role: str, split: str, random_words: float) -> str:
    style = rng.choices((0, 1, 2, 3), (40, 25, 30, 5))[0]
    while True:
        copied = rng.random() < COPIED
        template = rng.choice(_copied(role, split) if copied else text_templates(genre, role, split))
        text = re.sub(r"\{(\w+)\}", lambda slot: FILLS[slot[1]](rng, split, random_words, style), template)
        if not copied and rng.random() < 0.12:
            text = capitals(text) if rng.random() < 0.6 else text.lower()
        if len(text) <= LONGEST and len(text.split()) <= MOST_WORDS:
            return text


@cache
def _copied(role: str, split: str) -> tuple[str, ...]:
    return of_split(PATTERNS[role], split) or PATTERNS[role]


@cache
def chinese_templates(genre: str, split: str) -> tuple[str, ...]:
    """One side of a genre's Chinese templates: held out by hash, or with a held-out word of several characters."""
    held_words = words("held_out", 2, 8, "zh")
    held = {
        template
        for template in ZH_TEXTS[genre]
        if is_held_out(template, "template") or any(word in template for word in held_words)
    }
    side = tuple(template for template in ZH_TEXTS[genre] if (template in held) == (split == "held_out"))
    return side or _copied_chinese(split)


@cache
def _copied_chinese(split: str) -> tuple[str, ...]:
    return of_split(ZH_PATTERNS, split) or ZH_PATTERNS


def _chinese_slot(rng: random.Random, split: str, random_words: float, slot: str) -> str:
    if slot == "c" or (slot == "w" and rng.random() < random_words):
        return random_word(rng, rng.choice((2, 3, 4, 6)), 1, characters())
    if slot == "w":
        return rng.choice(words(split, 1, 8, "zh"))
    if slot == "x":
        return rng.choice(characters())
    if slot == "y":
        return str(rng.randint(1990, 2039))
    if slot == "t":
        return f"{rng.randint(6, 23)}:{rng.choice((0, 15, 30)):02d}"
    if slot == "p":
        return rng.choice(("{}元", "{}.5元", "${}")).format(rng.randint(1, 199))
    return str(rng.randint(1, rng.choice((9, 99))))


def _chinese(rng: random.Random, genre: str, split: str, random_words: float) -> str:
    while True:
        pool = _copied_chinese(split) if rng.random() < COPIED else chinese_templates(genre, split)
        text = re.sub(r"\{(\w)\}", lambda slot: _chinese_slot(rng, split, random_words, slot[1]), rng.choice(pool))
        if len(text) <= LONGEST:
            return text


def sample_content(
    rng: random.Random, genre: str, *, split: str, language: str, random_words: float
) -> list[tuple[str, str]]:
    """The texts of a card with their roles, from the top down; the first one is the title. Sometimes none.

    `random_words` is the share of the word slots that made-up strings fill.
    """
    counts = {role: rng.choices(*weights)[0] for role, weights in NUMBERS.items()}
    if GENRES[genre].structures and counts["title"]:
        counts["line"] = max(counts["line"], rng.choice((0, 1, 2)))
    if not counts["title"]:
        counts = dict.fromkeys(counts, 0)
    content: list[tuple[str, str]] = []
    for role, count in counts.items():
        for _ in range(count):
            if language == "zh" and rng.random() >= BILINGUAL:
                content.append((_chinese(rng, genre, split, random_words), role))
            else:
                content.append((_latin(rng, genre, role, split, random_words), role))
    seen: set[str] = set()
    return [(text, role) for text, role in content if not (text in seen or seen.add(text))]  # type: ignore[func-returns-value]


def suits(genre: str, rng: random.Random) -> list[str]:
    """All things in a random order, in most cards those that suit the genre first."""
    others = list(THING_NAMES)
    rng.shuffle(others)
    if rng.random() >= SUITING:
        return others
    mine = list(GENRES[genre].things)
    rng.shuffle(mine)
    return mine + [name for name in others if name not in mine]


def suiting_colors(genre: str) -> tuple[str, ...]:
    """The background colours that suit a genre."""
    return GENRES[genre].colors or tuple(CARD_COLORS)
