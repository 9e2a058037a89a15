"""Editing pairs of cards: the change is there, and what it leaves alone stays."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from inkwash.core.errors import ConfigError
from inkwash.scenes.card import visible_colors
from inkwash.scenes.card_edit import KINDS, sample_card_edit
from inkwash.scenes.edit import sample_edit
from inkwash.scenes.render import render
from inkwash.scenes.scene import Edit, Scene, intersect

IN_PLACE = (
    "replace_thing",
    "remove_thing",
    "recolor_shape",
    "recolor_text",
    "remove_text",
    "background",
    "style",
    "panel",
)


def edits(kind: str, count: int = 12, language: str = "en") -> list[Edit]:
    rng = random.Random(f"{kind} {language}")
    return [
        sample_card_edit(rng, width=384, height=384, kinds=(kind,), language=language, random_words=0.4)
        for _ in range(count)
    ]


def boxes(scene: Scene) -> dict[object, object]:
    return {(type(item).__name__, item.box) for item in (*scene.texts, *scene.things, *scene.objects)}  # type: ignore


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_the_picture_and_gives_a_valid_scene(kind: str) -> None:
    for edit in edits(kind):
        source, target = edit.sources[0], edit.target
        assert edit.kind == kind and edit.instruction.strip()
        assert (np.asarray(render(source)) != np.asarray(render(target))).any(), edit.instruction
        items: tuple[Any, ...] = (*target.texts, *target.things, *target.objects)
        placed = [item.box for item in items]
        for i, a in enumerate(placed):
            assert not any(intersect(a, b) for b in placed[i + 1 :]), edit.instruction
        assert target.card is not None
        for text in target.card.texts:
            assert text.color in visible_colors(target.card.ground_of(text)), edit.instruction


@pytest.mark.parametrize("kind", IN_PLACE)
def test_what_an_edit_leaves_alone_stays_in_its_place(kind: str) -> None:
    for edit in edits(kind):
        gone = boxes(edit.sources[0]) - boxes(edit.target)
        new = boxes(edit.target) - boxes(edit.sources[0])
        if kind.startswith("remove"):
            assert gone and not new
        elif kind == "replace_thing":
            assert {box for _, box in gone} == {box for _, box in new}
        else:
            assert not gone and not new


def test_lines_and_pictures_belong_to_the_texts_and_things_of_the_card() -> None:
    for kind in KINDS:
        for edit in edits(kind, 4):
            target = edit.target
            assert target.card is not None
            for i, text in enumerate(target.card.texts):
                lines = [item.text for item in target.texts if item.region == i]
                assert "".join(lines).replace(" ", "") == text.text.replace(" ", ""), (kind, edit.instruction)
            names = {(item.region, item.thing) for item in target.things}
            names |= {(item.region, item.shape) for item in target.objects}
            assert names == {(i, thing.thing) for i, thing in enumerate(target.card.things)}, (kind, edit.instruction)


def test_new_words_stand_in_the_instruction_and_in_the_target() -> None:
    for edit in edits("words", 30):
        old, new = set(edit.sources[0].quotes), set(edit.target.quotes)
        (fresh,) = new - old
        assert fresh in edit.instruction


def test_the_level_has_its_own_kinds_and_both_languages() -> None:
    edit = sample_edit(random.Random(0), level="card", width=384, height=384, language="zh", kinds=("background",))
    assert edit.kind == "background"
    with pytest.raises(ConfigError, match="unknown edit kind 'recolor'"):
        sample_edit(random.Random(0), level="card", width=384, height=384, kinds=("recolor",))
