"""The phrases of a prompt for a card: its texts in quotation marks, its things, background, structure and style.

A quoted text is written as one private character (`MARK`) until the prompt is finished, so that nothing done to the
sentence, such as lower case or typos, ever touches what is drawn.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from inkwash.scenes.card import Card, CardText, readable_colors
from inkwash.scenes.card_lexicon import Lexicon
from inkwash.scenes.card_nouns import thing_words

MARK = 0xE000
FACE_RATE = 0.12
SIZE_RATE = 0.08
PLACE_RATE = 0.2
BARE_PLURAL = {"corners": 4, "sides": 2}  # how many a plural without a number means; elsewhere three
USUAL_PLURAL = 3
USUAL_PLACES = ("above", "below")  # of the first and the second thing


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one prompt says with: its card, language, quotation marks and chance; `said` collects what it names."""

    card: Card
    rng: random.Random
    lexicon: Lexicon
    quotes: str
    color_rate: float
    facts: set[str] = field(default_factory=set)

    def pick(self, words: Sequence[str]) -> str:
        return self.rng.choice(words)

    def color(self, name: str) -> str:
        """What people call a colour."""
        return self.pick(self.lexicon.colors[name])


def usual_size(text: CardText) -> str:
    """The size of a text whose size nobody asked for."""
    return "large" if text.role == "title" else "small"


def usual_place(index: int) -> str:
    """The place of a thing whose place nobody asked for; the third and later ones have none."""
    return USUAL_PLACES[index] if index < len(USUAL_PLACES) else ""


def quoted(parts: Parts, index: int) -> str:
    """A text in quotation marks, as its mark."""
    opening, closing = parts.quotes[0], parts.quotes[-1]
    if parts.lexicon.code == "fr" and opening == "«":
        opening, closing = "« ", " »"
    return f"{opening}{chr(MARK + index)}{closing}"


LABELS = (
    (re.compile(r"[\w.-]+@[\w.-]+\.\w+"), ("email", "e-mail address", "the email")),
    (
        re.compile(r"(www\.)?\w+\.(com|org|net|de|shop|io)(/\w+)?"),
        ("the website", "website", "the URL", "URL", "web address"),
    ),
    (re.compile(r"[+(\d][\d ()-]{6,}"), ("phone number", "the phone number", "phone", "tel.")),
    (re.compile(r"[$€£]\d+([.,]\d\d)?|\d+([.,]\d\d)? €"), ("price", "the price", "price tag")),
    (re.compile(r"\d{1,2}([:.]\d\d)?( [ap]m)|\d{1,2}:\d\d"), ("time", "the time")),
)  # what people call a text of a certain form: "with the URL ..."
LABEL_RATE = 0.4


def labelled(parts: Parts, index: int) -> str:
    """A text in quotation marks, in English sometimes with what it is: `the website "www.old.mill.org"`."""
    text = parts.card.texts[index].text
    if parts.lexicon.code == "en" and index and parts.rng.random() < LABEL_RATE:
        for form, names in LABELS:
            if form.fullmatch(text):
                return f"{parts.pick(names)} {quoted(parts, index)}"
    return quoted(parts, index)


def must_name_color(card: Card, text: CardText) -> bool:
    """Whether a text has a colour that nobody would choose on its ground."""
    return text.color not in readable_colors(card.ground_of(text))


def text_phrase(parts: Parts, index: int, *, named: bool) -> str:
    """`"OPEN" in big red letters`; without `named` only what is not usual."""
    text, lexicon, rng = parts.card.texts[index], parts.lexicon, parts.rng
    color = must_name_color(parts.card, text) or (named and rng.random() < parts.color_rate)
    size = text.size != usual_size(text) or (named and rng.random() < SIZE_RATE)
    face = named and rng.random() < (FACE_RATE if text.face != "cjk" else FACE_RATE / 5)  # it is the only Chinese one
    name = f"text{index}"
    parts.facts.update(
        f"{name}.{what}" for what, is_named in (("color", color), ("size", size), ("face", face)) if is_named
    )
    if not (size or face):
        if not color:
            return labelled(parts, index)
        return (
            parts.pick(lexicon.text_color).replace("{q}", quoted(parts, index)).replace("{c}", parts.color(text.color))
        )
    looks = []
    if size:
        looks.append(parts.pick(lexicon.sizes[text.size]))
    if color:
        looks.append(parts.color(text.color))
    if face:
        looks.append(parts.pick(lexicon.faces[text.face]))
    how = lexicon.glue.join(looks)
    return parts.pick(lexicon.text_how).replace("{q}", quoted(parts, index)).replace("{how}", how)


def join(parts: Parts, phrases: Sequence[str]) -> str:
    """The phrases as a list, joined in one of the ways of the language."""
    between, last = parts.rng.choice(parts.lexicon.joins)
    return join_with(phrases, between, last)


def join_with(phrases: Sequence[str], between: str, last: str) -> str:
    if len(phrases) < 2:
        return "".join(phrases)
    return between.join(phrases[:-1]) + last + phrases[-1]


def things_phrase(parts: Parts) -> str:
    """All things in their order; neighbours at one place that is named share its name."""
    card, rng, zh = parts.card, parts.rng, parts.lexicon.code == "zh"
    named = [i for i, thing in enumerate(card.things) if thing.place != usual_place(i) or rng.random() < PLACE_RATE]
    named_until = max(named, default=-1) + 1  # "a cat and a dog below": a later place would hold for the earlier ones
    parts.facts.update(f"thing{i}.place" for i in range(named_until))
    placed = [(thing.place if i < named_until else "", thing_phrase(parts, i)) for i, thing in enumerate(card.things)]
    groups = []
    for place, members in groupby(placed, key=lambda pair: pair[0]):
        nouns = [noun for _, noun in members]
        groups.append(_at(parts, place, nouns))
    between, last = (
        ("、", "和") if zh else rng.choice(((", ", f" {_and(parts)} "), (", ", f" {_and(parts)} "), (", ", ", ")))
    )
    return join_with(groups, between, last)


def _at(parts: Parts, place: str, nouns: list[str]) -> str:
    zh = parts.lexicon.code == "zh"
    together = join_with(nouns, "、" if zh else ", ", "和" if zh else f" {_and(parts)} ")
    if not place:
        return together
    places = parts.lexicon.places if parts.card.texts else parts.lexicon.bare_places
    where = parts.pick(places[place])
    if zh:
        return f"{where}的{together}"
    return f"{together} {where}"


def _and(parts: Parts) -> str:
    return {"en": "and", "de": "und", "fr": "et", "es": "y"}.get(parts.lexicon.code, "和")


def thing_phrase(parts: Parts, index: int) -> str:
    """`three big red hearts`, without a place."""
    thing, rng = parts.card.things[index], parts.rng
    parts.facts.add(f"thing{index}")
    if thing.is_shape:
        parts.facts.add(f"thing{index}.color")
    size = thing.size != "medium"
    if size:
        parts.facts.add(f"thing{index}.size")
    counted = thing.count > 1 and not (thing.count == BARE_PLURAL.get(thing.place, USUAL_PLURAL) and rng.random() < 0.5)
    if counted:
        parts.facts.add(f"thing{index}.count")
    return thing_words(thing, rng, parts.lexicon, counted=counted)


def background_phrase(parts: Parts, *, sentence: bool) -> str:
    """`blue background`, or a sentence for it."""
    parts.facts.add("background")
    patterns = parts.lexicon.background_sentences if sentence else parts.lexicon.backgrounds
    return parts.pick(patterns).replace("{c}", parts.color(parts.card.background))


def structure_phrase(parts: Parts, *, sentence: bool) -> str:
    """`on a chalkboard`, with the panel's colour most of the time."""
    card, lexicon = parts.card, parts.lexicon
    parts.facts.add("structure")
    phrase = parts.pick(lexicon.structures[card.structure])
    if card.panel and card.structure in lexicon.panels and parts.rng.random() < 0.6:
        parts.facts.add("panel")
        phrase = parts.pick(lexicon.panels[card.structure]).replace("{c}", parts.color(card.panel))
    if sentence and card.structure != "plain":
        return parts.pick(lexicon.structure_sentences).replace("{s}", phrase)
    return phrase


def style_phrase(parts: Parts) -> str:
    parts.facts.add("style")
    return parts.pick(parts.lexicon.styles[parts.card.style])
