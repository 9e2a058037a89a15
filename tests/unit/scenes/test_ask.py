"""Questions have exact answers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.scenes.ask import KINDS, ask, thousandths
from inkwash.scenes.caption import FACE_WORDS, STYLE_WORDS
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import grid_text
from inkwash.scenes.scene import Scene, ShapeItem

WORD = grid_text("HELLO", 1, 1, face="serif", color="blue")
SCENE = Scene(
    width=256,
    height=512,
    background="white",
    objects=(ShapeItem(shape="star", color="red", size=64, box=(64, 256, 128, 320)),),
    texts=(WORD,),
)


def _answers(kind: str) -> set[str]:
    return {ask(SCENE, random.Random(i), kinds=(kind,)).answer for i in range(80)}


def test_answers_are_exact() -> None:
    assert _answers("read") == {"HELLO"}
    assert _answers("color") == {"white", "blue", "red"}
    assert _answers("count") == {"1"}
    assert _answers("exists") == {"yes", "no"}
    assert _answers("where") == {"[125, 62, 750, 125]", "[250, 500, 500, 625]"}
    assert _answers("face") == {FACE_WORDS["serif"][0]}
    assert _answers("style") == {STYLE_WORDS["flat"]}


def test_existence_is_answered_truly() -> None:
    for seed in range(60):
        found = ask(SCENE, random.Random(seed), kinds=("exists",))
        assert (found.answer == "yes") == ("star" in found.question)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), split=st.sampled_from(["train", "held_out"]), kind=st.sampled_from(KINDS))
def test_any_scene_can_be_asked_about(seed: int, split: str, kind: str) -> None:
    scene = sample_scene(random.Random(seed), level="full", regions=(1, 3), split=split)
    found = ask(scene, random.Random(seed), split=split, kinds=(kind,))
    assert found == ask(scene, random.Random(seed), split=split, kinds=(kind,))
    assert found.kind == kind and found.question and found.answer
    assert "{" not in found.question
    if found.box is not None:
        left, top, right, bottom = found.box
        assert 0 <= left < right <= 1000 and 0 <= top < bottom <= 1000
        assert found.answer == str(list(found.box))


def test_a_scene_without_texts() -> None:
    empty = Scene(width=128, height=128, background="red")
    assert ask(empty, random.Random(0), kinds=("read", "count")).kind == "count"
    with pytest.raises(ConfigError, match="answers no question"):
        ask(empty, random.Random(0), kinds=("read", "where", "face"))
    with pytest.raises(ConfigError, match="unknown question kind 'why'"):
        ask(empty, random.Random(0), kinds=("why",))


def test_thousandths() -> None:
    assert thousandths((0, 0, 256, 512), SCENE) == (0, 0, 1000, 1000)
