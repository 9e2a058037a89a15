"""Questions about cards: answers agree with what the scene holds, for every kind, in both languages and both splits."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest

from inkwash.core.errors import ConfigError
from inkwash.scenes.ask import thousandths
from inkwash.scenes.card import Card, CardText, CardThing
from inkwash.scenes.card_ask import (
    CARD_KINDS,
    NOTHING,
    NUMBER_WORDS,
    CardQuestion,
    around,
    ask_card,
    ask_nothing,
    card_forms,
    counted,
    describe_card,
    name_of,
    regions,
)
from inkwash.scenes.card_ask_forms import CHINESE, ENGLISH
from inkwash.scenes.card_layout import lay_out
from inkwash.scenes.card_lexicon_zh import CHINESE as LEXICON
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.nothing import NOTHING_PICTURES, sample_nothing
from inkwash.scenes.scene import Scene
from inkwash.scenes.things import THING_NAMES, thing_named
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import CARD_COLORS


def party() -> Scene:
    card = Card(
        genre="birthday",
        background="light blue",
        structure="ribbon",
        panel="red",
        texts=(
            CardText(text="Happy Birthday Mia", role="title", color="white", face="wide", size="small"),
            CardText(text="fun", role="line", color="yellow", face="wide", size="small"),
        ),
        things=(
            CardThing(thing="balloon", count=3, place="above", size="small"),
            CardThing(thing="star", count=2, place="below", size="small", color="blue"),
        ),
    )
    scene = lay_out(card, 384, 384)
    assert scene is not None and len(scene.texts) == 4  # the title wraps
    return scene


EXPECTED = {
    "read": {'"Happy Birthday Mia"\n"fun"', '"Happy Birthday Mia"'},  # both stand in the middle
    "things": {"three balloons and two blue stars"},
    "color": {"light blue", "red", "white", "yellow", "blue"},
    "exists": {"yes", "no"},
    "structure": {"a ribbon"},
    "style": {"plain"},
    "describe": {
        'A light blue picture with a red ribbon. It says "Happy Birthday Mia" in white and "fun" in yellow. '
        "I see three balloons and two blue stars."
    },
    "count": {"0", "2", "3", "5"},
}


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_answer_about_a_card_and_no_other(kind: str, split: str) -> None:
    rng, scene = random.Random(3), party()
    answers = {ask_card(scene, rng, split=split, kinds=(kind,)).answer for _ in range(150)}
    assert answers == EXPECTED[kind]


def test_boxes_are_those_of_whole_texts_and_single_things() -> None:
    rng, scene = random.Random(4), party()
    whole = around([line.box for line in scene.texts[:3]])
    boxes = {ask_card(scene, rng, kinds=("where",)).box for _ in range(40)}
    assert boxes == {thousandths(whole, scene), thousandths(scene.texts[3].box, scene)}  # no thing stands alone


def test_chinese_answers() -> None:
    rng, scene = random.Random(5), party()
    answers = {
        kind: {ask_card(scene, rng, kinds=(kind,), language="zh").answer for _ in range(80)} for kind in CARD_KINDS
    }
    assert answers["things"] == {"三个气球和两颗蓝色星星"}
    assert answers["color"] == {"浅蓝色", "红色", "白色", "黄色", "蓝色"}
    assert answers["exists"] == {"有", "没有"} and answers["structure"] == {"丝带"} and answers["style"] == {"纯色"}
    assert all(answer.startswith("没有") for answer in answers["absent"])
    assert "“Happy Birthday Mia”" in describe_card(scene, zh=True)


def _named(question: str) -> str | None:
    """The thing whose name, plural or synonym is the longest in a question."""
    words = re.findall(r"[\w'-]+", question.lower())
    spans = [" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    found = [thing for span in sorted(spans, key=len, reverse=True) if (thing := thing_named(span)) is not None]
    return found[0].name if found else None


def _check(asked: CardQuestion, scene: Scene) -> None:
    """Holds an answer against the scene by another way than the one it was made by."""
    names = Counter(name_of(item) for item in scene.pictures)
    card = scene.card
    assert card is not None and "{" not in asked.question.replace("{W}", "{")
    if asked.kind == "read":
        if not card.texts:
            assert asked.answer == "There is no text."
            return
        drawn = "".join(line.text for line in sorted(scene.texts, key=lambda line: line.box[1])).replace(" ", "")
        said = "".join(line[1:-1] for line in asked.answer.split("\n")).replace(" ", "")
        assert said in drawn and (said == drawn or asked.answer[1:-1] in [text.text for text in card.texts])
    elif asked.kind == "things":
        total = sum(
            {"a": 1, "an": 1}.get(first := part.split()[0], 0) or _NUMBERS.get(first, 1)
            for part in re.split(r", | and ", asked.answer)
        )
        assert total == len(scene.pictures) if scene.pictures else asked.answer == "none"
    elif asked.kind == "count":
        name = _named(asked.question)
        allowed = {len(scene.pictures), len(card.texts)} | ({names[name]} if name else set(names.values()))
        assert int(asked.answer) in allowed
    elif asked.kind == "color":
        assert asked.answer in {
            scene.background, scene.structure.color, *(t.color for t in card.texts), *(o.color for o in scene.objects)
        }  # fmt: skip
        for text in card.texts:
            if f'"{text.text}"' in asked.question and "round" not in asked.question:
                assert asked.answer == text.color
    elif asked.kind == "exists":
        name = _named(asked.question)
        if name in THING_NAMES and name not in ("star", "heart"):
            assert asked.answer == ("yes" if names[name] else "no")
    elif asked.kind == "absent":
        assert asked.answer.startswith(("There is no ", "There are no "))
        assert not any(f"no {name}." in asked.answer for name in names)
    elif asked.kind == "where":
        boxes = [item.box for item in scene.pictures if names[name_of(item)] == 1]
        assert asked.box in [thousandths(box, scene) for box in [*boxes, *(r.box for r in regions(scene))]]


_NUMBERS = {word: number for number, word in enumerate(NUMBER_WORDS)}


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_answers_agree_with_sampled_cards(split: str) -> None:
    for number in range(40):
        rng = random.Random(f"{split}/{number}")
        width, height = rng.choice(((256, 256), (384, 256), (256, 512)))
        scene = sample_card_scene(rng, width=width, height=height, split=split)
        for kind in CARD_KINDS:
            asked = ask_card(scene, rng, split=split, kinds=(kind, "count"))
            _check(asked, scene)


def test_held_out_forms_are_never_asked_in_training() -> None:
    for forms, language in ((ENGLISH, "en"), (CHINESE, "zh")):
        assert set(forms) == set(ENGLISH)
        for name, listed in forms.items():
            train, held = card_forms(name, "train", language), card_forms(name, "held_out", language)
            assert held and sorted((*train, *held)) == sorted(listed) and len(set(listed)) == len(listed)
            assert all(is_held_out(form, "question") for form in held)
    rng, scene = random.Random(6), party()
    asked = {ask_card(scene, rng).question for _ in range(800)}
    unseen = {ask_card(scene, rng, split="held_out").question for _ in range(300)}
    assert len(asked) > 200 and unseen and not asked & unseen


def test_absent_texts_are_many_not_on_the_card_and_of_the_split() -> None:
    rng, scene = random.Random(8), party()
    for split in ("train", "held_out"):
        answers = {ask_card(scene, rng, split=split, kinds=("absent",)).answer for _ in range(200)}
        texts = {answer.split('"')[1] for answer in answers if '"' in answer}
        words = {word for text in texts for word in re.findall(r"[^\W\d_]{3,}", text)}
        assert len(texts) > 20 and not any(text.casefold() in "happy birthday mia fun" for text in texts)
        assert {is_held_out(word) for word in words} == {split == "held_out"}


@pytest.mark.parametrize(("language", "sentence"), [("en", NOTHING[0]), ("zh", NOTHING[1])])
def test_a_picture_of_nothing_is_said_to_be_one(language: str, sentence: str) -> None:
    rng = random.Random(7)
    asked = [ask_nothing(rng, language=language) for _ in range(120)]
    assert {one.kind for one in asked} == {"nothing"}
    assert {one.answer for one in asked} == {sentence, "0", "no" if language == "en" else "没有"}
    assert ask_nothing(rng, kinds=("describe",)).answer == NOTHING[0]


def test_pictures_of_nothing_are_of_every_kind_and_repeat() -> None:
    for kind in NOTHING_PICTURES:
        pixels = sample_nothing(random.Random(kind), 96, 64, kind)
        assert pixels.shape == (64, 96, 3) and pixels.dtype == np.uint8
        assert np.array_equal(pixels, sample_nothing(random.Random(kind), 96, 64, kind))
        assert not np.array_equal(pixels, sample_nothing(random.Random("other"), 96, 64, kind))
        assert (pixels.std((0, 1)) == 0).all() == (kind == "flat")


def test_colours_have_chinese_names_and_unknown_kinds_are_refused() -> None:
    assert set(CARD_COLORS) <= set(LEXICON.colors)
    with pytest.raises(ConfigError, match="unknown question kind 'smell'"):
        ask_card(party(), random.Random(0), kinds=("smell",))


def test_words_without_an_article() -> None:
    scene = lay_out(
        Card(
            genre="menu",
            background="white",
            things=(CardThing(thing="fries", count=1), CardThing(thing="fish", place="below")),
        ),
        256,
        256,
    )
    assert scene is not None
    assert [counted([item], zh=False) for item in scene.things] == ["fries", "a fish"]
