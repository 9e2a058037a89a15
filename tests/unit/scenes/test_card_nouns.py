"""What a prompt calls the things on a card."""

from __future__ import annotations

import random

import pytest

from inkwash.scenes.card import CardThing
from inkwash.scenes.card_lexicon import ENGLISH, Lexicon
from inkwash.scenes.card_lexicon_eu import FRENCH, GERMAN, SPANISH
from inkwash.scenes.card_lexicon_zh import CHINESE
from inkwash.scenes.card_nouns import plural, thing_words
from inkwash.scenes.things import THINGS, thing_named


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (CardThing(thing="bread"), {"a loaf of bread"}),
        (CardThing(thing="fries"), {"fries"}),
        (CardThing(thing="fish"), {"a fish"}),
        (CardThing(thing="scissors", count=4), {"four pairs of scissors", "4 pairs of scissors"}),
        (CardThing(thing="bread", count=5), {"five loaves of bread", "5 loaves of bread"}),
        (CardThing(thing="wine", count=2), {f"{n} glasses of wine" for n in ("two", "2", "a couple of", "a pair of")}),
    ],
)
def test_one_and_several_are_said_as_people_say_them(thing: CardThing, words: set[str]) -> None:
    assert {thing_words(thing, random.Random(seed), ENGLISH) for seed in range(200)} == words


def test_a_shape_is_said_with_its_color_and_a_picture_of_a_heart_without() -> None:
    shape, picture = CardThing(thing="heart", color="white", count=2), CardThing(thing="heart")
    for seed in range(50):
        assert "white" in thing_words(shape, random.Random(seed), ENGLISH)
        assert thing_words(picture, random.Random(seed), ENGLISH) in ("a heart", "a red heart")
        assert "白" in thing_words(shape, random.Random(seed), CHINESE)


def test_every_english_name_is_known_again() -> None:
    """What a prompt calls a thing is what `things.thing_named` finds it by, but for what portions add."""
    for thing in THINGS:
        for seed in range(8):
            said = thing_words(CardThing(thing=thing.name), random.Random(seed), ENGLISH).removeprefix("a ")
            found = thing_named(said) or thing_named(said.split(" of ")[-1])
            assert found == thing, said


@pytest.mark.parametrize(
    ("lexicon", "one", "many"),
    [(GERMAN, "eine Katze", "Katzen"), (FRENCH, "un chat", "chats"), (SPANISH, "un gato", "gatos")],
)
def test_other_languages_have_their_own_words(lexicon: Lexicon, one: str, many: str) -> None:
    assert thing_words(CardThing(thing="cat"), random.Random(1), lexicon) == one
    assert thing_words(CardThing(thing="cat", count=3), random.Random(1), lexicon).endswith(many)


def test_chinese_counts_with_measure_words() -> None:
    dogs = CardThing(thing="dog", count=2)
    assert {thing_words(dogs, random.Random(seed), CHINESE)[:2] for seed in range(40)} == {"两只", "2只"}


@pytest.mark.parametrize(
    ("one", "many"), [("box", "boxes"), ("kitty", "kitties"), ("monkey", "monkeys"), ("loaf", "loaves")]
)
def test_regular_plurals(one: str, many: str) -> None:
    assert plural(one) == many
