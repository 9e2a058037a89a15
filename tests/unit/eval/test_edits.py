"""Scoring of edits: the target is right, the untouched source is not, and damage elsewhere is reported apart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from inkwash.core.errors import ConfigError
from inkwash.eval.tasks.edits import KINDS, held_out_edits, score_edits
from inkwash.scenes.render import render
from tests.unit.eval.judges import KnowingJudge

CASES = held_out_edits(len(KINDS), seed=3, kinds=KINDS)
TARGETS = [case.edit.target for case in CASES]
SOURCES = [case.edit.sources[0] for case in CASES]
JUDGE = KnowingJudge([*TARGETS, *SOURCES])


def test_kinds_take_turns() -> None:
    assert [case.edit.kind for case in CASES] == list(KINDS)
    assert held_out_edits(9, seed=3, kinds=KINDS)[: len(CASES)] == CASES


def test_the_target_is_right_for_every_kind() -> None:
    numbers = score_edits([render(scene) for scene in TARGETS], CASES, JUDGE).to_dict()
    assert numbers["edit_accuracy"] == numbers["kept_accuracy"] == numbers["both"] == 1.0
    assert set(numbers["per_kind"]) == set(KINDS) and numbers["n"] == len(CASES)
    json.dumps(numbers, allow_nan=False)


def test_an_untouched_source_is_no_edit() -> None:
    report = score_edits([render(scene) for scene in SOURCES], CASES, JUDGE)
    assert report.edit_accuracy == 0.0
    assert report.kept_accuracy > 0.9


def test_damage_elsewhere_is_reported_apart() -> None:
    cases = held_out_edits(30, seed=4, kinds=("background",))
    case = next(case for case in cases if len(case.edit.target.texts) == 2)
    damaged = replace(case.edit.target, texts=case.edit.target.texts[:1])
    report = score_edits([render(damaged)], [case], KnowingJudge([damaged]))
    assert report.edit_accuracy == 1.0 and report.kept_accuracy == 0.0
    assert report.to_dict()["both"] == 0.0


def test_old_words_must_be_gone() -> None:
    case = next(c for c in CASES if c.edit.kind == "words")
    old, new = ({t.text for t in scene.texts} for scene in (case.edit.sources[0], case.edit.target))
    picture = render(case.edit.target)

    class Both(KnowingJudge):
        def texts(self, image: object) -> list[str]:
            return sorted(old | new)

    assert score_edits([picture], [case], Both([])).edit_accuracy == 0.0


def test_failed_edits_come_first() -> None:
    images = [render(scene) for scene in TARGETS]
    images[4] = render(SOURCES[4])
    report = score_edits(images, CASES, JUDGE)
    assert report.worst_first()[0].index == 4


def test_bad_requests() -> None:
    with pytest.raises(ConfigError):
        held_out_edits(0)
    with pytest.raises(ConfigError, match="1 pictures"):
        score_edits([render(TARGETS[0])], CASES, JUDGE)
