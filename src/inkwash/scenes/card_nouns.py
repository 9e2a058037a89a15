"""What a prompt calls the things on a card: `three big red hearts`, `两只猫`, in the words of a lexicon."""

from __future__ import annotations

import random

from inkwash.scenes.card import CardThing
from inkwash.scenes.card_genre import parts as listed
from inkwash.scenes.card_lexicon import Lexicon
from inkwash.scenes.things import Thing, thing_named

SYNONYM_RATE = 0.22
NOT_NOUNS = frozenset(
    listed(
        "mail | idea | snow | ribbon | bags | confetti | toast | world | home | smile | karaoke | chess"
        " | soccer | coach | cycle | die"
        " | palm | maize | mobile | berry | grape | headphone | chips | earth | old phone | bolt | cart | stew"
        " | soup | video game | squid | rooster | jet | crescent"
    )
)  # synonyms that are good for finding a thing and misleading for asking for it
PORTIONS = {
    "bread": "loaf of bread",
    "cheese": "piece of cheese",
    "lightning": "lightning bolt",
    "wine": "glass of wine",
    "tea": "cup of tea",
}  # nobody says "a bread"
PAIRS = frozenset({"scissors", "glasses", "headphones"})


def thing_words(thing: CardThing, rng: random.Random, lexicon: Lexicon, *, counted: bool = True) -> str:
    """A card's things with their number (an article for one), size and, for a shape, colour; without their place.

    Several that are not `counted` are a plural without a number.
    """
    one, many = thing_nouns(thing, rng, lexicon)
    if lexicon.code == "zh":
        return _number_zh(thing, rng, lexicon, counted=counted) + one
    if lexicon.code != "en":
        return _number(thing, rng, lexicon, many, counted=counted) if thing.count > 1 else one
    if thing.count == 1:
        return f"a {one}" if _takes_article(thing) else one
    return _number(thing, rng, lexicon, many, counted=counted)


def number_of(thing: CardThing, rng: random.Random, lexicon: Lexicon) -> str:
    """The word for a count of two and more, in Chinese with its measure word."""
    if lexicon.code == "zh":
        return rng.choice(lexicon.counts[thing.count]) + _measure(thing) if thing.count > 1 else "一" + _measure(thing)
    return rng.choice(lexicon.counts[thing.count]) if thing.count > 1 else rng.choice(("one", "just one", "a single"))


def _number(thing: CardThing, rng: random.Random, lexicon: Lexicon, many: str, *, counted: bool) -> str:
    return f"{number_of(thing, rng, lexicon)} {many}" if counted else rng.choice(lexicon.several) + many


def _number_zh(thing: CardThing, rng: random.Random, lexicon: Lexicon, *, counted: bool) -> str:
    measure = _measure(thing)
    if thing.count == 1:
        return rng.choice((f"一{measure}", f"一{measure}", "", f"1{measure}"))
    if counted:
        return number_of(thing, rng, lexicon)
    return rng.choice(lexicon.several).replace("{m}", measure)


def _known(name: str) -> Thing:
    thing = thing_named(name)
    assert thing is not None, name
    return thing


def _takes_article(thing: CardThing) -> bool:
    """Whether one of it is "a ...": not "fries" or "popcorn", which are the same in the plural."""
    if thing.is_shape or thing.thing == "fish":
        return True
    known = _known(thing.thing)
    return known.name != known.plural


def _measure(thing: CardThing) -> str:
    return "个" if thing.is_shape else _known(thing.thing).measure


def thing_nouns(thing: CardThing, rng: random.Random, lexicon: Lexicon) -> tuple[str, str]:
    """Singular and plural with size and colour: an article is part of the singular in German, French and Spanish."""
    size = rng.choice(lexicon.thing_sizes[thing.size]) if thing.size != "medium" else ""
    color = rng.choice(lexicon.colors[thing.color]) if thing.is_shape else ""
    one, many = _bare(thing, rng, lexicon)
    if lexicon.code == "zh":
        return size + color + one, size + color + one
    if lexicon.code == "en":
        before = "".join(f"{word} " for word in (size, color) if word)
        pair = "pairs of " if many in PAIRS else ""
        return before + one, before + pair + many
    after = [word for word in (color, size) if word]
    tail = f" ({', '.join(after)})" if after else ""
    return one + tail, many + tail


def _bare(thing: CardThing, rng: random.Random, lexicon: Lexicon) -> tuple[str, str]:
    if thing.is_shape:
        return lexicon.shapes[thing.thing]
    if lexicon.things:
        return lexicon.things[thing.thing]
    known = _known(thing.thing)
    if lexicon.code == "zh":
        name = known.zh[0] if rng.random() < 0.7 else rng.choice(known.zh)
        return name, name
    synonyms = [word for word in known.synonyms if word not in NOT_NOUNS]
    word = PORTIONS.get(known.name) or known.name
    if synonyms and known.name not in PORTIONS and known.name != known.plural and rng.random() < SYNONYM_RATE:
        word = rng.choice(synonyms)
    if word == known.name:
        return known.name, known.plural
    head, of, rest = word.partition(" of ")
    return word, plural(head) + of + rest


def plural(noun: str) -> str:
    """The regular plural of an English noun."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("af"):
        return noun[:-1] + "ves"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
