"""Benchmarks that ask questions or judge edits: aggregation to the published digits, and their surprising rules."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import dpg, gedit, geneval, imgedit, oneig_score, tiif
from inkwash.eval.benchmarks.oneig_data import DIMENSIONS, OneigQuestions
from tests.unit.eval.benchmarks import official

# --- OneIG ---

ASKED = OneigQuestions(set="anime", id="000", questions={1: "a", 2: "b", 3: "c"}, parents={1: (0,), 2: (1,), 3: (2,)})


def test_alignment_looks_at_raw_parents_only() -> None:
    """Question 3 stands although its parent 2 fell with question 1: no cascade."""
    assert oneig_score.alignment_cell(ASKED, {1: "No", 2: "Yes", 3: "Yes"}) == pytest.approx(1 / 3)
    assert oneig_score.alignment_cell(ASKED, {1: "Yes", 2: "No", 3: "Yes"}) == pytest.approx(1 / 3)
    assert oneig_score.alignment_cell(ASKED, {1: "Yes", 2: "Yes", 3: "Yes"}) == 1.0


@pytest.mark.parametrize("answer", ["Yes.", "yes", " Yes", "YES", "No", ""])
def test_only_the_exact_yes_counts(answer: str) -> None:
    assert oneig_score.alignment_cell(ASKED, {1: answer, 2: answer, 3: answer}) == 0.0


def test_alignment_needs_every_answer() -> None:
    with pytest.raises(ConfigError, match=r"\[3\]"):
        oneig_score.alignment_cell(ASKED, {1: "Yes", 2: "Yes"})
    with pytest.raises(ConfigError, match="not black"):
        oneig_score.prompt_score([])


PUBLISHED_ONEIG = [  # alignment, text, reasoning, style, diversity; overall
    ((0.882, 0.891, 0.306, 0.418, 0.197), 0.539),  # Qwen-Image
    ((0.851, 0.857, 0.345, 0.462, 0.151), 0.533),  # GPT Image 1 [High]
    ((0.688, 0.029, 0.237, 0.332, 0.296), 0.316),  # SDXL
]


@pytest.mark.parametrize(("parts", "whole"), PUBLISHED_ONEIG)
def test_overall_is_the_mean_of_five(parts: tuple[float, ...], whole: float) -> None:
    assert round(oneig_score.overall(dict(zip(DIMENSIONS, parts, strict=True))), 3) == whole


def test_overall_needs_all_five() -> None:
    with pytest.raises(ConfigError, match="diversity is missing"):
        oneig_score.overall(dict.fromkeys(DIMENSIONS[:-1], 0.5) | {"diversity": math.nan})


def test_style_and_diversity() -> None:
    assert oneig_score.style_cell([0.2, 0.6], [-0.4, -0.1]) == pytest.approx(0.3)
    assert oneig_score.diversity_prompt([0.2, 0.4]) == pytest.approx(0.3)
    assert oneig_score.dimension([1.0, 0.0]) == 0.5


# --- TIIF ---


def test_the_nine_groups_hold_39_types_once() -> None:
    assert len(tiif.GROUPS) == 9 and len(tiif.TYPES) == len(set(tiif.TYPES)) == 39


def test_groups_weigh_alike_whatever_their_size() -> None:
    accuracies = dict.fromkeys(tiif.TYPES, 0.0) | {"text": 1.0, "shape+color": 1.0}
    scored = tiif.from_types(accuracies)
    assert scored.overall == pytest.approx((100 + 25) / 9)
    assert scored.groups["Text"] == 100.0 and scored.groups["Attribute"] == 25.0


def checked(
    kind: str, length: str, answers: tuple[str, ...], expected: tuple[str, ...] = ("Yes", "no", "yes")
) -> tiif.TiifAnswers:
    return tiif.TiifAnswers(type=kind, length=length, expected=expected, answers=answers)


def test_types_are_rounded_before_they_are_averaged() -> None:
    pictures = [checked(kind, "short", ("yes", "no", "no")) for kind in tiif.TYPES]
    scored = tiif.score(pictures, "short")
    assert scored.types["text"] == pytest.approx(66.67) and scored.overall == pytest.approx(66.67, abs=1e-9)
    assert tiif.type_accuracy(pictures[:1]) == 0.6667
    with pytest.raises(ConfigError, match="39 are missing"):
        tiif.score(pictures, "long")
    with pytest.raises(ConfigError, match="1 are unknown"):
        tiif.from_types(dict.fromkeys((*tiif.TYPES, "smell"), 1.0))


def test_a_type_is_the_mean_of_questions_not_of_pictures() -> None:
    pictures = [checked("text", "short", ("yes",), ("yes",)), checked("text", "short", ("no",) * 3, ("yes",) * 3)]
    assert tiif.type_accuracy(pictures) == 0.25


@pytest.mark.parametrize(
    ("answer", "count", "parsed"),
    [
        ("Yes, it is.\nNO\nyes", 3, ("yes", "no", "yes")),
        ("The answers:\n  yes\nNo - none", 2, ("yes", "no")),
        ("yes\nnot at all\nyesterday", 1, ("yes",)),
        ("yes", 2, None),
        ("yes\nno\nno", 2, None),
        ("", 1, None),
    ],
)
def test_answers_are_lines_that_begin_with_yes_or_no(answer: str, count: int, parsed: tuple[str, ...] | None) -> None:
    assert tiif.parse_answers(answer, count) == parsed


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(tiif.TYPES), st.floats(0, 1), min_size=39, max_size=39))
def test_tiif_lies_between_its_worst_and_best_type(accuracies: dict[str, float]) -> None:
    overall = tiif.from_types(accuracies).overall
    assert 100 * min(accuracies.values()) - 1e-9 <= overall <= 100 * max(accuracies.values()) + 1e-9


# --- DPG ---

QUESTIONS = {
    "partiprompts97": [(1, "0", "entity - whole"), (2, "1", "attribute - color"), (3, "0", "entity - whole")],
    "whoops6": [(1, "0", "entity - whole"), (2, "1", "attribute - color"), (3, "2", "relation - spatial")],
    "plain": [(1, "0", "global"), (2, "0", "other - count")],
}
YES = {1: True, 2: True, 3: True}


def answers(**changed: list[dict[int, bool]]) -> dict[str, list[dict[int, bool]]]:
    return {key: changed.get(key, [dict(YES)] * 4) for key in QUESTIONS}


def test_zeros_cascade_down_the_generations(tmp_path: Path) -> None:
    items = {item.id: item for item in dpg.read_items(official.dpg(tmp_path, QUESTIONS), dpg.DpgMode.FIXED)}
    standing = dpg.cascade(items["whoops6"], {1: False, 2: True, 3: True})
    assert standing == {1: False, 2: False, 3: False}
    assert dpg.cascade(items["whoops6"], {1: True, 2: False, 3: True}) == {1: True, 2: False, 3: False}


def test_a_parent_that_comes_later_is_seen_as_it_is_at_that_moment(tmp_path: Path) -> None:
    asked = {"x": [(2, "3", "entity - whole"), (3, "1", "entity - whole"), (1, "0", "entity - whole")]}
    (item,) = dpg.read_items(official.dpg(tmp_path, asked), dpg.DpgMode.FIXED)
    assert dpg.cascade(item, {1: False, 2: True, 3: True}) == {1: False, 2: True, 3: False}


def test_fixed_counts_every_row_and_every_cell(tmp_path: Path) -> None:
    items = dpg.read_items(official.dpg(tmp_path, QUESTIONS), dpg.DpgMode.FIXED)
    cells = [{1: False, 2: True, 3: True}, dict(YES), dict(YES), dict(YES)]
    scored = dpg.score(items, answers(whoops6=cells), dpg.DpgMode.FIXED)
    assert scored.prompts == {"partiprompts97": 100.0, "whoops6": 75.0, "plain": 100.0} and scored.dropped == ()
    assert scored.overall == pytest.approx((100 + 75 + 100) / 3)
    assert scored.broad["entity"] == pytest.approx(100 * 11 / 12)  # 3 questions x 4 cells, one raw no
    assert scored.detailed["attribute - color"] == 100.0, "categories are taken before dependency"


def test_official_keeps_both_faults(tmp_path: Path) -> None:
    items = dpg.read_items(official.dpg(tmp_path, QUESTIONS), dpg.DpgMode.OFFICIAL)
    assert [len(item.questions) for item in items] == [2, 3, 2], "the first row is lost"
    cells = [{1: False, 2: True, 3: True}, dict(YES), dict(YES), dict(YES)]
    scored = dpg.score(items, answers(whoops6=cells), dpg.DpgMode.OFFICIAL)
    assert scored.dropped == ("partiprompts97",), "its second question depends on the lost one"
    assert scored.prompts == {"whoops6": 75.0, "plain": 100.0}
    assert scored.overall == 87.5
    assert scored.broad["entity"] == 100.0, "only the last cell counts for categories"


def test_an_orphan_without_children_only_loses_its_question(tmp_path: Path) -> None:
    asked = {"first": [(1, "0", "global"), (2, "0", "global")]}
    items = dpg.read_items(official.dpg(tmp_path, asked), dpg.DpgMode.OFFICIAL)
    scored = dpg.score(items, {"first": [{2: True}] * 4}, dpg.DpgMode.OFFICIAL)
    assert scored.overall == 100.0 and scored.dropped == ()


def test_dpg_needs_every_answer_and_known_parents(tmp_path: Path) -> None:
    items = dpg.read_items(official.dpg(tmp_path, QUESTIONS), dpg.DpgMode.FIXED)
    with pytest.raises(ConfigError, match="plain"):
        dpg.score(items, {**answers(), "plain": [{1: True}]}, dpg.DpgMode.FIXED)
    official.dpg(tmp_path, {"x": [(1, "9", "global")]})
    with pytest.raises(ConfigError, match=r"depend on \[9\]"):
        dpg.read_items(tmp_path, dpg.DpgMode.FIXED)
    official.dpg(tmp_path, {"x": [(1, "none", "global")]})
    with pytest.raises(ConfigError, match="'none'"):
        dpg.read_items(tmp_path, dpg.DpgMode.FIXED)


@pytest.mark.parametrize(("answer", "counts"), [("yes", True), ("Yes", False), ("yes.", False), ("no", False)])
def test_dpg_counts_the_exact_yes(answer: str, counts: bool) -> None:
    assert dpg.is_yes(answer) is counts


@settings(deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 5), min_size=1), st.booleans()), min_size=1, max_size=6))
def test_the_cascade_only_takes_away_and_settles(rows: list[tuple[set[int], bool]]) -> None:
    """With parents before children, nothing stands whose parent fell, and a second pass changes nothing."""
    questions = tuple(
        dpg.DpgQuestion(number=i, question="", parents=tuple(p for p in parents if p < i), category="global")
        for i, (parents, _) in enumerate(rows, start=1)
    )
    item = dpg.DpgItem(id="x", prompt="", questions=questions)
    raw = {i: yes for i, (_, yes) in enumerate(rows, start=1)}
    standing = dpg.cascade(item, raw)
    assert all(raw[i] for i, stands in standing.items() if stands)
    for question in questions:
        if standing[question.number]:
            assert all(standing[parent] for parent in question.parents if parent)
    assert dpg.cascade(item, standing) == standing


# --- GenEval, GEdit, ImgEdit ---

PUBLISHED_GENEVAL = [  # in the order of TASKS
    ((0.97, 0.38, 0.35, 0.76, 0.04, 0.06), 0.43),  # SD 1.5
    ((0.98, 0.51, 0.44, 0.85, 0.07, 0.17), 0.50),  # SD 2.1
]


@pytest.mark.parametrize(("tasks", "whole"), PUBLISHED_GENEVAL)
def test_geneval_is_the_mean_of_six_tasks(tasks: tuple[float, ...], whole: float) -> None:
    assert round(geneval.from_tasks(dict(zip(geneval.TASKS, tasks, strict=True))).overall, 2) == whole


def test_geneval_tasks_weigh_alike() -> None:
    pictures = [(task, True) for task in geneval.TASKS] + [("counting", False)] * 9
    scored = geneval.score(pictures)
    assert scored.tasks["counting"] == 0.1 and scored.overall == pytest.approx(5.1 / 6)
    with pytest.raises(ConfigError, match="counting"):
        geneval.score([row for row in pictures if row[0] != "counting"])
    with pytest.raises(ConfigError, match="'smell'"):
        geneval.score([("smell", True)])


def judged(kind: str, obedience: tuple[float, ...], quality: tuple[float, ...], **more: bool) -> gedit.VieScores:
    return gedit.VieScores(kind=kind, obedience=obedience, quality=quality, **more)


def test_viescore_takes_minima_and_the_root_per_picture() -> None:
    picture = judged("color_alter", (9, 4), (9, 10))
    assert (picture.sc, picture.pq, picture.overall) == (4, 9, 6.0)
    zero = judged("color_alter", (0, 10), (10, 10))
    scored = gedit.by_picture([picture, zero])
    assert (scored.sc, scored.pq, scored.overall) == (2.0, 9.5, 3.0)


def test_gedit_averages_in_two_ways() -> None:
    pictures = [judged("a", (10,), (10,)), judged("a", (10,), (10,)), judged("b", (0,), (5,), intersection=False)]
    assert gedit.by_kind(pictures).overall == 5.0
    assert gedit.by_picture(pictures).overall == pytest.approx(20 / 3)
    assert gedit.by_kind(gedit.intersection(pictures)).overall == 10.0
    with pytest.raises(ConfigError, match=r"0\.\.10"):
        judged("a", (11,), (1,))
    with pytest.raises(ConfigError, match="none missing"):
        judged("a", (), (1,))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=5))
def test_gedit_overall_never_beats_both_parts(rows: list[tuple[float, float]]) -> None:
    pictures = [judged(f"k{i}", (sc,), (pq,)) for i, (sc, pq) in enumerate(rows)]
    for picture in pictures:
        assert min(picture.sc, picture.pq) - 1e-9 <= picture.overall <= max(picture.sc, picture.pq) + 1e-9
    assert gedit.by_kind(pictures).overall == pytest.approx(gedit.by_picture(pictures).overall)


PUBLISHED_IMGEDIT = [  # add, adjust, extract, replace, remove, background, style, compose, action; plain mean
    ((4.25, 4.15, 2.35, 4.56, 3.57, 4.26, 4.57, 3.68, 4.63), 4.00),  # FLUX.1 Kontext [Pro]
    ((3.56, 3.31, 1.70, 3.30, 2.62, 3.24, 4.49, 2.38, 4.17), 3.20),  # BAGEL
    ((4.38, 4.16, 3.43, 4.66, 4.14, 4.38, 4.81, 3.82, 4.69), 4.27),  # Qwen-Image
    ((4.61, 4.33, 2.90, 4.35, 3.66, 4.57, 4.93, 3.96, 4.89), 4.24),  # GPT-4o; its table says 4.20
]
IMGEDIT_COLUMNS = ("add", "adjust", "extract", "replace", "remove", "background", "style", "compose", "action")


@pytest.mark.parametrize(("columns", "whole"), PUBLISHED_IMGEDIT)
def test_imgedit_is_the_mean_of_nine_kinds(columns: tuple[float, ...], whole: float) -> None:
    assert round(imgedit.from_kinds(dict(zip(IMGEDIT_COLUMNS, columns, strict=True))).overall, 2) == whole


def test_imgedit_rounds_cases_and_kinds() -> None:
    cases = {kind: (kind, (5, 5, 5)) for kind in imgedit.KINDS}
    cases |= {"x": ("add", (4, 4, 5)), "y": ("add", (1, 1, 2))}
    scored = imgedit.score(cases)
    assert imgedit.case_score((4, 4, 5)) == 4.33
    assert scored.kinds["add"] == round((5 + 4.33 + 1.33) / 3, 2)
    assert scored.overall == pytest.approx((8 * 5 + scored.kinds["add"]) / 9)
    with pytest.raises(ConfigError, match="compose"):
        imgedit.score({key: value for key, value in cases.items() if key != "compose"})


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ("Brief reasoning: fine\nPrompt Compliance: 4\nVisual Naturalness: 5\n Physical: 3 ", (4, 5, 3)),
        ("A: 4\nB: 5", None),
        ("A: 4\nB: 5\nC: six", None),
        ("A: 4\nB: 5\nC: 7", None),
        ("A:4\nB: 5\nC: 4", None),
        ("", None),
    ],
)
def test_imgedit_answers(answer: str, points: tuple[int, ...] | None) -> None:
    assert imgedit.parse_scores(answer) == points
