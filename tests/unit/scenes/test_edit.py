"""Edits change what they say and nothing else."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.scenes.caption import zone
from inkwash.scenes.check import check
from inkwash.scenes.edit import KINDS, sample_edit
from inkwash.scenes.render import render
from inkwash.scenes.scene import Edit, Scene, TextItem, intersect
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import CELL

SIDES = st.sampled_from([(256, 256), (128, 128), (256, 128), (192, 320)])


def _lost(edit: Edit) -> list[object]:
    return [item for item in edit.sources[0].items if item not in edit.target.items]


def _new(edit: Edit) -> list[object]:
    return [item for item in edit.target.items if item not in edit.sources[0].items]


def _same_but(edit: Edit, *fields: str) -> None:
    source, target = edit.sources[0], edit.target
    for field in ("width", "height", "background", "style"):
        if field not in fields:
            assert getattr(source, field) == getattr(target, field), field


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    level=st.sampled_from(["first", "free", "full"]),
    size=SIDES,
    split=st.sampled_from(["train", "held_out"]),
)
@pytest.mark.slow
def test_edits_change_only_what_they_say(seed: int, kind: str, level: str, size: tuple[int, int], split: str) -> None:
    if kind == "style":
        level = "full"
    width, height = size
    edit = sample_edit(random.Random(seed), width=width, height=height, split=split, level=level, kinds=(kind,))
    again = sample_edit(random.Random(seed), width=width, height=height, split=split, level=level, kinds=(kind,))
    assert edit == again
    assert edit.kind == kind and edit.target != edit.sources[0]
    assert len(edit.sources) == (2 if kind == "combine" else 1)
    assert "  " not in edit.instruction and not re.search(r"\{[A-Z]\}", edit.instruction)
    items = edit.target.items
    assert not any(intersect(a.box, b.box) for i, a in enumerate(items) for b in items[:i])
    _CHECKS[kind](edit)


def _background(edit: Edit) -> None:
    _same_but(edit, "background")
    assert edit.target.items == edit.sources[0].items
    assert edit.target.background in edit.instruction.lower()


def _recolor(edit: Edit) -> None:
    _same_but(edit)
    (old,), (new,) = _lost(edit), _new(edit)
    assert {k for k in vars(old) if vars(old)[k] != vars(new)[k]} == {"color"}
    assert vars(new)["color"] in edit.instruction


def _words(edit: Edit) -> None:
    _same_but(edit)
    (old,), (new,) = _lost(edit), _new(edit)
    assert isinstance(old, TextItem) and isinstance(new, TextItem)
    assert (old.face, old.color, old.lettering, old.box[1]) == (new.face, new.color, new.lettering, new.box[1])
    assert f'"{new.text}"' in edit.instruction


def _add(edit: Edit) -> None:
    _same_but(edit)
    assert not _lost(edit)
    (new,) = _new(edit)
    assert vars(new)["color"] in edit.instruction
    if isinstance(new, TextItem):
        assert f'"{new.text}"' in edit.instruction


def _remove(edit: Edit) -> None:
    _same_but(edit)
    assert not _new(edit) and len(_lost(edit)) == 1


def _move(edit: Edit) -> None:
    _same_but(edit)
    (old,), (new,) = _lost(edit), _new(edit)
    assert {k for k in vars(old) if vars(old)[k] != vars(new)[k]} <= {"box", "cells"}
    here, there = zone(vars(old)["box"], edit.target), zone(vars(new)["box"], edit.target)
    assert here != there


def _combine(edit: Edit) -> None:
    _same_but(edit, "background")
    first, second = edit.sources
    assert not _lost(edit)
    assert all(item in second.items for item in _new(edit))
    assert edit.target.background in (first.background, second.background)
    assert "second" in edit.instruction


def _style(edit: Edit) -> None:
    _same_but(edit, "style")
    assert edit.target.items == edit.sources[0].items
    assert render(edit.target).tobytes() != render(edit.sources[0]).tobytes()


_CHECKS = {
    "background": _background,
    "recolor": _recolor,
    "words": _words,
    "add": _add,
    "remove": _remove,
    "move": _move,
    "combine": _combine,
    "style": _style,
}


def test_pixels_outside_the_change_are_untouched() -> None:
    for seed in range(60):
        edit = sample_edit(random.Random(seed), kinds=("recolor", "words", "add", "remove", "move"))
        before, after = (np.asarray(render(scene)) for scene in (edit.sources[0], edit.target))
        changed = (before != after).any(axis=2)
        for item in (*_lost(edit), *_new(edit)):
            left, top, right, bottom = vars(item)["box"]
            changed[top:bottom, left:right] = False
        assert not changed.any()


def test_words_stay_on_the_grid() -> None:
    for seed in range(60):
        edit = sample_edit(random.Random(seed), kinds=("words",))
        assert all(text.box[0] % CELL == 0 and text.box[2] <= edit.target.width for text in edit.target.texts)


def test_held_out_edits_hold_held_out_words() -> None:
    for seed in range(60):
        edit = sample_edit(random.Random(seed), split="held_out")
        assert all(is_held_out(text.text) for scene in (*edit.sources, edit.target) for text in scene.texts)


def test_the_unedited_picture_fails_the_check() -> None:
    kinds = ("background", "recolor", "add", "remove", "combine")
    for seed in range(30):
        edit = sample_edit(random.Random(seed), kinds=kinds)
        assert check(render(edit.target), edit.target).ok
        assert not check(render(edit.sources[0]), edit.target).ok, edit.instruction


def test_default_kinds_depend_on_the_level() -> None:
    first = {sample_edit(random.Random(i)).kind for i in range(150)}
    full = {sample_edit(random.Random(i), level="full").kind for i in range(150)}
    assert first == set(KINDS) - {"style"} and full == set(KINDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": ("style",)}, "unknown edit kind 'style' at level 'first'"),
        ({"kinds": ("melt",), "level": "full"}, "unknown edit kind 'melt'"),
        ({"level": "last"}, "unknown level 'last'"),
        ({"split": "dev"}, "unknown split 'dev'"),
    ],
)
def test_bad_requests_are_one_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sample_edit(random.Random(0), **arguments)  # type: ignore[arg-type]


def test_scene_equality_is_by_value() -> None:
    assert Scene(width=128, height=128, background="red") == Scene(width=128, height=128, background="red")
