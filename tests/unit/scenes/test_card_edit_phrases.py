"""Editing instructions for cards: every form can be worded, says its slots, and stays on its side of the split."""

from __future__ import annotations

import random
import re

import pytest

from inkwash.core.errors import ConfigError
from inkwash.scenes import card_edit_phrases
from inkwash.scenes.card import CardThing
from inkwash.scenes.card_edit_forms import CHINESE_FORMS, ENGLISH_FORMS
from inkwash.scenes.card_edit_phrases import EDIT_KINDS, Slots, edit_forms, edit_instruction
from inkwash.scenes.words import is_held_out

CATS, DOG = CardThing(thing="cat", count=3), CardThing(thing="dog")
SLOTS: dict[str, Slots] = {
    "replace_thing": {"thing": CATS, "new": DOG},
    "add_thing": {"new": CardThing(thing="balloon", count=2, size="large"), "place": "corners"},
    "remove_thing": {"thing": DOG},
    "move_thing": {"thing": DOG, "place": "below"},
    "recolor_shape": {"thing": CardThing(thing="star", color="red"), "color": "navy"},
    "count_thing": {"thing": DOG, "new": CardThing(thing="dog", count=4)},
    "bigger": {"thing": DOG},
    "smaller": {"text": "HELLO"},
    "words": {"text": "OPEN", "words": "it's shut"},
    "words_only": {"words": "Closed"},
    "add_text": {"words": "since 1999"},
    "remove_text": {"text": "A/B"},
    "recolor_text": {"text": "SALE", "color": "pink"},
    "recolor_all": {"color": "teal"},
    "background": {"color": "light blue"},
    "panel": {"structure": "band", "color": "red"},
    "style": {"style": "dotted"},
    "remove_style": {"style": "striped"},
    "structure": {"structure": "chalkboard"},
    "remove_structure": {"structure": "bubble"},
    "face": {"face": "hand", "text": "SALE"},
    "combine_thing": {"thing": DOG},
    "combine_text": {},
    "combine_background": {},
}
SAYS = {
    "replace_thing": "cat|kitt.*(dog|pup)|dog|pup", "add_thing": "balloon.*corner", "move_thing": "dog|pup",
    "recolor_shape": "star.*(navy|blue)|(navy|blue).*star", "count_thing": r"\b(four|4)\b", "bigger": "dog|pup",
    "background": "blue", "panel": "band", "style": "dot", "remove_style": "stripes", "structure": "board",
    "remove_structure": "bubble", "recolor_all": "teal|petrol|turquoise", "combine_thing": "dog|pup",
}  # fmt: skip


def test_there_are_many_forms_for_every_kind_in_both_languages() -> None:
    assert sum(map(len, ENGLISH_FORMS.values())) + sum(map(len, CHINESE_FORMS.values())) >= 120
    assert set(ENGLISH_FORMS) == set(CHINESE_FORMS) == {*EDIT_KINDS, "frame"} == {*SLOTS, "frame"}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", [*EDIT_KINDS, "frame"])
def test_both_sides_have_forms_and_share_none(kind: str, language: str) -> None:
    train, held_out = edit_forms(kind, "train", language), edit_forms(kind, "held_out", language)
    assert len(train) >= 5
    assert held_out
    assert all(is_held_out(form, "edit") for form in held_out)
    assert not any(is_held_out(form, "edit") for form in train)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_every_form_is_worded_with_its_slots(kind: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in edit_forms(kind, "train", language) + edit_forms(kind, "held_out", language):
        monkeypatch.setattr(card_edit_phrases, "_fitting", lambda *_, form=form: (form,))
        for seed in range(3):
            said = edit_instruction(kind, SLOTS[kind], random.Random(seed), language=language)
            assert not re.search(r"[{}\ue000-\ue0ff]|  | [,.?]", said), said
            for slot, name in (("T", "text"), ("W", "words")):
                assert f"{{{slot}}}" not in form or str(SLOTS[kind][name]) in said


@pytest.mark.parametrize("kind", sorted(SAYS))
def test_an_instruction_says_what_is_asked(kind: str) -> None:
    found = [
        bool(re.search(SAYS[kind], edit_instruction(kind, SLOTS[kind], random.Random(seed)).lower()))
        for seed in range(60)
    ]
    assert sum(found) >= (30 if kind == "add_thing" else 54)  # an addition names its place most of the time; typos


def test_a_place_is_said_where_it_is_given() -> None:
    for seed in range(60):
        said = edit_instruction("add_thing", {"new": DOG, "place": "left"}, random.Random(seed), language="zh")
        assert "左" in said
        assert "左" not in edit_instruction("add_thing", {"new": DOG, "place": ""}, random.Random(seed), language="zh")


def test_verbs_agree_with_several_things() -> None:
    for kind, slots in (
        ("bigger", {"thing": CATS}),
        ("smaller", {"thing": CATS}),
        ("move_thing", {"thing": CATS, "place": "left"}),
    ):
        said = [edit_instruction(kind, slots, random.Random(seed)) for seed in range(150)]
        assert not [
            text
            for text in said
            if re.search(r"\b(cats|kitt\w+|pussycats) is\b|\bit (is|should be) (on|to|at|left)\b", text)
        ]
        assert [text for text in said if re.search(r"\b(are|they)\b", text)]
    assert any(
        "the cat is too small"
        in edit_instruction("bigger", {"thing": CardThing(thing="cat")}, random.Random(seed)).lower()
        for seed in range(200)
    )


def test_a_frame_is_put_around() -> None:
    said = [edit_instruction("structure", {"structure": "frame"}, random.Random(seed)).lower() for seed in range(100)]
    assert sum(bool(re.search("frame|border", text)) for text in said) >= 90  # the others have a typo there


def test_the_same_chance_gives_the_same_words_and_an_unknown_kind_is_refused() -> None:
    first, second = (edit_instruction("words", SLOTS["words"], random.Random(5)) for _ in "ab")
    assert first == second
    with pytest.raises(ConfigError, match="unknown kind of edit 'paint'"):
        edit_instruction("paint", {}, random.Random(0))
