"""Scoring of scenes: what counts, what is asked, and a judge that must prove itself."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.tasks.scenes import Case, check_judge, held_out, score_images
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene
from inkwash.scenes.words import is_held_out
from tests.unit.eval.judges import KnowingJudge

CASES = held_out(9, seed=5)
SCENES = [case.scene for case in CASES]
TRUTH = [render(scene) for scene in SCENES]


def test_cases_are_held_out_and_a_prefix_of_larger_runs() -> None:
    assert held_out(12, seed=5)[:9] == CASES
    assert held_out(9, seed=6) != CASES
    assert all(is_held_out(text.text) for scene in SCENES for text in scene.texts)
    assert {len(scene.texts) for scene in SCENES} == {1, 2}
    assert all(f'"{text.text}"' in case.prompt for case in CASES for text in case.scene.texts)


def test_the_truth_is_perfect() -> None:
    numbers = score_images(TRUTH, CASES, KnowingJudge(SCENES)).to_dict()
    perfect = ("word_accuracy", "ned", "background_accuracy", "shape_accuracy", "shape_color_accuracy")
    assert {key: numbers[key] for key in perfect} == dict.fromkeys(perfect, 1.0)
    assert list(numbers)[:5] == ["word_accuracy", "ned", "background_accuracy", "per_regions", "n"]
    assert numbers["n"] == 9 == sum(part["n"] for part in numbers["per_regions"].values())
    json.dumps(numbers, allow_nan=False)


def test_parts_make_up_the_whole() -> None:
    victim = next(scene.texts[0].text for scene in SCENES if len(scene.texts) == 2)
    report = score_images(TRUTH, CASES, KnowingJudge(SCENES, {victim: "x"}))
    total = sum(picture.words.total for picture in report.pictures)
    lost = sum(text.text == victim for scene in SCENES for text in scene.texts)
    assert report.word_accuracy == pytest.approx(1 - lost / total)
    weights = {"1": 0, "2": 0}
    for picture in report.pictures:
        weights[str(picture.regions)] += picture.words.total
    mixed = sum(report.per_regions[key]["word_accuracy"] * weight for key, weight in weights.items()) / total
    assert mixed == pytest.approx(report.word_accuracy, abs=1e-6)
    assert report.interval[0] < report.word_accuracy < report.interval[1]


def test_the_misread_come_first() -> None:
    victim, other = SCENES[7].texts[0].text, SCENES[3].texts[0].text
    report = score_images(TRUTH, CASES, KnowingJudge(SCENES, {victim: "QQ", other: other[:-1]}))
    order = [picture.index for picture in report.worst_first()]
    assert order.index(7) < order.index(3) < order.index(next(i for i in order if i not in (3, 7)))
    assert sorted(order) == list(range(9))


def test_only_what_the_prompt_names_can_be_wrong() -> None:
    scene = next(scene for scene in SCENES if scene.background != "red")
    wrong = render(scene).point(lambda value: 255 - value)
    judge = KnowingJudge([scene])
    silent = score_images([wrong], [Case(scene=scene, prompt="a sign", named=frozenset())], judge)
    assert silent.to_dict()["background_accuracy"] is None
    told = score_images([wrong], [Case(scene=scene, prompt="a sign", named=frozenset({"background"}))], judge)
    assert told.background_accuracy == 0.0
    assert score_images([wrong], [scene], judge).background_accuracy == 0.0


def test_a_blank_picture_gets_nothing() -> None:
    blank = [Image.new("RGB", image.size, (1, 254, 3)) for image in TRUTH]
    numbers = score_images(blank, SCENES, KnowingJudge(SCENES)).to_dict()
    assert numbers["word_accuracy"] == 0.0 and numbers["ned"] < 1e-4
    assert numbers["shape_accuracy"] == numbers["shape_color_accuracy"] == numbers["text_color_accuracy"] == 0.0


def test_scenes_without_text_have_no_word_accuracy() -> None:
    bare = replace(SCENES[0], texts=())
    numbers = score_images([render(bare)], [bare], KnowingJudge([bare])).to_dict()
    assert numbers["word_accuracy"] is None and numbers["background_accuracy"] == 1.0


def test_a_judge_proves_itself() -> None:
    assert check_judge(SCENES, KnowingJudge(SCENES)) == 1.0
    with pytest.raises(ConfigError, match=r"reads only 0\.000 of the words"):
        check_judge(SCENES, KnowingJudge([]))
    nothing_to_read: list[Scene] = [replace(SCENES[0], texts=())]
    assert math.isnan(check_judge(nothing_to_read, KnowingJudge([])))


def test_counts_must_agree() -> None:
    with pytest.raises(ConfigError, match="2 pictures"):
        score_images(TRUTH[:2], SCENES[:3], KnowingJudge(SCENES))
    with pytest.raises(ConfigError, match="number of scenes is 0"):
        held_out(0)
