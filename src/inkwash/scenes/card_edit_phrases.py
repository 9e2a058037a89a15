"""Editing instructions for cards as people write them: "swap the dog for a cat please, keep everything else".

`edit_instruction` words one edit. Its slots are plain values of `card`:

=================== ===================================================================================
kind                slots
=================== ===================================================================================
replace_thing       thing, new (a `CardThing` each)
add_thing           new; place (one of `PLACES`, or empty for the usual one)
remove_thing        thing
move_thing          thing, place
recolor_shape       thing (a shape), color
count_thing         thing, new (the same with the new count)
bigger, smaller     thing, or text (a str), or neither: all the text
words               text, words
words_only          words (for a card with one text)
add_text            words
remove_text         text
recolor_text        text, color
recolor_all         color
background          color
panel               structure, color
style               style
remove_style        style (the one that goes)
structure           structure (with `frame`: "put a frame around it")
remove_structure    structure (the one that goes)
face                face; text, where it is that of one text only
combine_thing       thing (of the second picture)
combine_text, combine_background (none)
=================== ===================================================================================
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import CardThing
from inkwash.scenes.card_edit_forms import (
    CHINESE_FORMS,
    CHINESE_PREFIXES,
    CHINESE_SUFFIXES,
    ENGLISH_FORMS,
    PREFIXES,
    SUFFIXES,
    VERBS,
)
from inkwash.scenes.card_lexicon import ENGLISH, Lexicon
from inkwash.scenes.card_lexicon_zh import CHINESE
from inkwash.scenes.card_manner import rewritten
from inkwash.scenes.card_nouns import PAIRS, number_of, thing_nouns, thing_words
from inkwash.scenes.card_parts import MARK
from inkwash.scenes.words import of_split

EDIT_KINDS = tuple(kind for kind in ENGLISH_FORMS if kind != "frame")  # a frame is a structure
PREFIX_RATE = 0.35
SUFFIX_RATE = 0.35
SIZED_RATE = 0.3  # of the things that are there: "the big cat"
STRUCTURE_NOUNS = {
    "frame": ("frame", "边框"),
    "band": ("band", "色带"), "paper": ("paper", "纸"), "bubble": ("speech bubble", "气泡"),
    "chalkboard": ("chalkboard", "黑板"), "ticket": ("ticket", "票"), "slide": ("title bar", "标题栏"),
    "menu": ("menu card", "菜单"), "post": ("sign", "牌子"), "label": ("label", "标签"), "ribbon": ("ribbon", "丝带"),
}  # fmt: skip
STYLE_NOUNS = {
    "gradient": ("gradient", "渐变"), "striped": ("stripes", "条纹"), "dotted": ("dots", "圆点"),
    "paper": ("paper texture", "纸纹"),
}  # fmt: skip

Slots = Mapping[str, str | CardThing]


@cache
def edit_forms(kind: str, split: str, language: str) -> tuple[str, ...]:
    """One side of the forms of a kind of edit."""
    return of_split((CHINESE_FORMS if language == "zh" else ENGLISH_FORMS)[kind], split, "edit")


@cache
def _fitting(kind: str, split: str, language: str, placed: bool) -> tuple[str, ...]:
    listed = edit_forms(kind, split, language)
    if kind == "add_thing":
        return tuple(form for form in listed if ("{P}" in form) == placed) or listed
    return listed


@cache
def _side(items: tuple[str, ...], split: str) -> tuple[str, ...]:
    return of_split(items, split, "edit")


def edit_instruction(kind: str, slots: Slots, rng: random.Random, split: str = "train", language: str = "en") -> str:
    """One instruction for an edit, in `en` or `zh`; see the module for the slots of each kind."""
    if kind not in EDIT_KINDS:
        raise ConfigError(f"unknown kind of edit {kind!r}: choose one of {', '.join(EDIT_KINDS)}")
    if kind == "structure" and slots["structure"] == "frame":
        kind = "frame"
    lexicon = CHINESE if language == "zh" else ENGLISH
    quotes = rng.choice(lexicon.quotes)
    if any(mark in str(slots.get(name, "")) for name in ("text", "words") for mark in quotes):
        quotes = '""'
    form = rng.choice(_fitting(kind, split, language, bool(slots.get("place"))))
    if _is_plural(slots):
        form = re.sub(r"\{X\} is ", "{X} are ", re.sub(r"\bit (is|should be) \{P\}", _they, form))
    drawn: list[str] = []

    def quoted(text: str) -> str:
        drawn.append(text)
        return f"{quotes[0]}{chr(MARK + len(drawn) - 1)}{quotes[-1]}"

    words = re.sub(r"\{([A-Z])\}", lambda slot: _word(slot[1], kind, slots, rng, lexicon, quoted), form)
    if kind == "face" and "text" in slots:
        words += (
            f"，只改{quoted(str(slots['text']))}" if language == "zh" else f", only for {quoted(str(slots['text']))}"
        )
    words = re.sub(r" +(?=[,.?]|$)", "", words.replace("  ", " "))
    sentence = _chinese_sentence(words, rng, split) if language == "zh" else _english_sentence(form, words, rng, split)
    sentence = rewritten(sentence, rng, english=language == "en", latin=language == "en")
    return sentence.translate({MARK + i: text for i, text in enumerate(drawn)})


def _is_plural(slots: Slots) -> bool:
    """Whether what the edit is about takes a plural verb."""
    thing = slots.get("thing")
    return isinstance(thing, CardThing) and (thing.count > 1 or thing.thing in PAIRS)


def _they(match: re.Match[str]) -> str:
    return "they are {P}" if match[1] == "is" else "they should be {P}"


def _english_sentence(form: str, words: str, rng: random.Random, split: str) -> str:
    question = words.endswith("?")
    if form.split()[0] in VERBS and rng.random() < PREFIX_RATE:
        prefix = rng.choice(_side(PREFIXES, split))
        words = f"{prefix} {words}"
        question = bool(re.match(r"(can|could|would) you", prefix))
    suffixes = _side(SUFFIXES, split)
    if suffixes and not words.endswith(("?", "please")) and rng.random() < SUFFIX_RATE:
        suffix = rng.choice(suffixes)
        words += suffix if suffix[0] in ",." else f" {suffix}"
    if question and not words.endswith("?") and ". " not in words:
        words += "?"
    elif rng.random() < 0.3 and not words.endswith("?"):
        words += "."
    return words


def _chinese_sentence(words: str, rng: random.Random, split: str) -> str:
    prefixes, suffixes = _side(CHINESE_PREFIXES, split), _side(CHINESE_SUFFIXES, split)
    if prefixes and words[0] in "把将用加再画" and rng.random() < PREFIX_RATE:
        words = rng.choice(prefixes) + words
    if suffixes and rng.random() < SUFFIX_RATE:
        words += rng.choice(suffixes)
    return words + ("。" if rng.random() < 0.4 else "")


def _word(
    slot: str, kind: str, slots: Slots, rng: random.Random, lexicon: Lexicon, quoted: Callable[[str], str]
) -> str:
    """What stands for a slot of a form."""
    zh = lexicon.code == "zh"
    if slot in "TW":
        return quoted(str(slots["text" if slot == "T" else "words"]))
    if slot == "C":
        return rng.choice(lexicon.colors[str(slots["color"])])
    if slot == "F":
        return rng.choice(lexicon.faces[str(slots["face"])])
    if slot == "P":
        place = slots.get("place")
        return rng.choice(lexicon.places[str(place)]) if place else ""
    if slot == "S":
        return _structure(kind, slots, rng, lexicon)
    if slot == "X" and "thing" not in slots:
        return quoted(str(slots["text"])) if "text" in slots else "文字" if zh else "the text"
    thing = slots["new" if slot in "NKY" else "thing"]
    assert isinstance(thing, CardThing)
    if slot == "N":
        return thing_words(thing, rng, lexicon)
    if slot == "K":
        return number_of(thing, rng, lexicon)
    if rng.random() >= SIZED_RATE:
        thing = replace(thing, size="medium")
    one, many = thing_nouns(thing, rng, lexicon)
    if slot in "YZ":
        return one if zh or (thing.count == 1 and slot == "Y") else many
    return _known(thing, one, many, rng, zh)


def _known(thing: CardThing, one: str, many: str, rng: random.Random, zh: bool) -> str:
    """Things that are there: `the cat`, `the three cats`."""
    if zh:
        return one
    if thing.count == 1:
        return f"the {one}"
    return rng.choice((f"the {many}", f"the {many}", f"all the {many}", f"the {ENGLISH.counts[thing.count][0]} {many}"))


def _structure(kind: str, slots: Slots, rng: random.Random, lexicon: Lexicon) -> str:
    """A style or structure as a phrase, or only its noun where it goes or gets a colour."""
    zh = lexicon.code == "zh"
    if "style" in slots:
        style = str(slots["style"])
        return STYLE_NOUNS[style][zh] if kind == "remove_style" else rng.choice(lexicon.styles[style])
    structure = str(slots["structure"])
    if kind in ("panel", "remove_structure"):
        return STRUCTURE_NOUNS[structure][zh]
    return rng.choice(lexicon.structures[structure])
