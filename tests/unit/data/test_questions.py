"""Conversations about scenes: exact answers, thoughts that are true, and the same batch for the same step."""

from __future__ import annotations

import random

import numpy as np
import pytest

from inkwash.core.errors import ConfigError
from inkwash.data.questions import WEIGHTS, QuestionBatches, describe, label_sizes, question_lines, sample_turn
from inkwash.scenes.ask import thousandths
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import grid_text
from inkwash.scenes.scene import Scene, ShapeItem
from inkwash.scenes.words import is_held_out

SCENE = Scene(
    width=256,
    height=128,
    background="white",
    texts=(grid_text("HELLO", 1, 2, face="sans", color="red"),),
    objects=(ShapeItem(shape="star", color="blue", size=64, box=(192, 64, 256, 128)),),
)
EXPECTED = {
    "read": {"HELLO"},
    "where": {"[250, 250, 875, 500]", "[750, 500, 1000, 1000]"},
    "color": {"white", "red", "blue"},
    "count": {"1"},
    "exists": {"yes", "no"},
    "face": {"sans-serif"},
    "style": {"in a flat style"},
    "shapes": {"a star"},
    "describe": {describe(SCENE)},
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_answers_are_exact_and_thoughts_true(kind: str, split: str) -> None:
    rng = random.Random(1)
    turns = [sample_turn(SCENE, rng, split=split, kinds=(kind,)) for _ in range(60)]
    assert {turn.answer for turn in turns} == EXPECTED[kind] and {turn.kind for turn in turns} == {kind}
    for turn in turns:
        assert "{" not in turn.question and turn.thought
        if "HELLO" in turn.thought:
            assert "in row 2, columns 3 to 7" in turn.thought
        if kind == "exists" or (kind == "count" and "shape" in turn.question):
            assert turn.thought == "I see a star."
        if turn.box is not None:
            assert turn.box in [thousandths(item.box, SCENE) for item in SCENE.items]


def test_a_description_names_everything() -> None:
    text = describe(SCENE)
    assert text.startswith('A white picture. "HELLO" in red sans-serif letters in the ')
    assert "A blue star" in text and "bottom right" in text


def test_train_questions_are_none_of_the_held_out() -> None:
    rng = random.Random(2)
    asked = {sample_turn(SCENE, rng).question for _ in range(600)}
    held = {sample_turn(SCENE, rng, split="held_out").question for _ in range(300)}
    assert len(asked) > 80 and not asked & held


def test_a_batch_is_a_function_of_its_step() -> None:
    make = QuestionBatches(seed=3, batch=2, talk_from=1)
    first, again, later = make(1), make(1), make(2)
    assert np.array_equal(first["pixels"], again["pixels"]) and first["dialogues"] == again["dialogues"]
    assert first["dialogues"] != later["dialogues"]
    assert len(make(0)["pixels"]) == 4 and not any(make(0)["dialogues"])
    height, width = first["pixels"].shape[1:3]
    for name, classes in label_sizes().items():
        assert (
            first[name].shape == (2, height * width // 32**2) and 0 <= first[name].min() <= first[name].max() < classes
        )
    words = [text for row in first["dialogues"] for talk in row for turn in talk.turns for text in [turn.answer]]
    assert words and all(len(talk.turns) in (1, 2, 3) for row in first["dialogues"] for talk in row)


def test_labels_know_their_word_and_box() -> None:
    from inkwash.data.questions import _places

    labels = _places(SCENE)
    assert labels["previous"][1].tolist() == [0, 0, 1, 9, 6, 13, 13, 0]  # begins, then H E L L
    assert labels["index"][1].tolist() == [0, 0, 1, 2, 3, 4, 5, 0]
    assert labels["left"][1, 2:7].tolist() == [3] * 5 and labels["right"][1, 2:7].tolist() == [7] * 5
    assert labels["top"][2:, 6:].tolist() == [[3, 3], [3, 3]] and labels["bottom"][2:, 6:].tolist() == [[4, 4], [4, 4]]
    assert (labels["texts"] == 1).all() and (labels["shapes"] == 1).all() and labels["row"][3, 0] == 3


def test_lines_for_a_tokenizer_hold_no_held_out_word() -> None:
    lines = question_lines(random.Random(4), 60)
    words = {word for line in lines for word in line.replace('"', " ").split() if word.isupper() and len(word) > 2}
    assert len(lines) == 180 and words and not any(is_held_out(word) for word in words)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown question kind 'smell'"):
        sample_turn(sample_scene(random.Random(0)), random.Random(0), kinds=("smell",))
