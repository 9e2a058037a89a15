"""Exact vectors of the benchmark's definitions, and the laws the functions must keep for any strings."""

from __future__ import annotations

import difflib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.eval.metrics import (
    closeness,
    edit_distance,
    interval,
    mean,
    mean_closeness,
    score_words,
    word_accuracy,
    words,
)

VECTORS = [
    (["Grand Opening", "50 percent"], ["GRAND OPENlNG", "50 percent off"], 4, 3, [1, 0.857143, 1, 1]),
    (["Café"], ["Cafe"], 1, 0, [0.750001]),
    (["Summer Sale"], ["SummerSale"], 2, 0, [0.600000, 0.400001]),
    (["A A"], ["a"], 2, 2, [1, 1]),
    (["Hello"], [], 1, 0, [2e-6]),
]


@pytest.mark.parametrize(("wanted", "read", "total", "correct", "ned"), VECTORS)
def test_benchmark_vectors(wanted: list[str], read: list[str], total: int, correct: int, ned: list[float]) -> None:
    score = score_words(wanted, read)
    assert (score.total, score.correct) == (total, correct)
    assert score.closeness == pytest.approx(ned, abs=6e-7)


def test_averages_run_over_words_not_pictures() -> None:
    scores = [score_words(["one two three"], ["one two three"]), score_words(["four"], ["nothing"])]
    assert word_accuracy(scores) == 0.75
    assert mean_closeness(scores) == pytest.approx((3 + scores[1].closeness[0]) / 4)


def test_published_results_file_agrees() -> None:
    """12292 of 16206 words is what a published CVTG-2K results file calls .75848."""
    found = (True,) * 12292 + (False,) * (16206 - 12292)
    score = score_words(["x"], ["x"]).__class__(found=found, closeness=(0.0,) * 16206)
    assert word_accuracy([score]) == pytest.approx(0.75848, abs=5e-6)


def test_nothing_measured_is_not_zero() -> None:
    assert math.isnan(word_accuracy([])) and math.isnan(mean_closeness([])) and math.isnan(mean([]))


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=12)
WORDS = st.lists(TEXT, max_size=5)


@given(TEXT, TEXT, TEXT)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_edit_distance_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == 3
    assert edit_distance("abc", "acb") == 2


@given(TEXT, TEXT)
def test_closeness_stays_in_its_range(a: str, b: str) -> None:
    assert 0.0 <= closeness(a, b) <= 1.0
    assert (closeness(a, b) == 1.0) == (a == b)


@given(WORDS, WORDS)
def test_reading_order_and_extra_words_cost_nothing(wanted: list[str], extra: list[str]) -> None:
    score = score_words(wanted, extra + wanted[::-1])
    assert score.correct == score.total == len(words(wanted))
    assert all(value == 1.0 for value in score.closeness)


@given(WORDS, WORDS)
def test_found_words_are_exactly_the_closest_ones(wanted: list[str], read: list[str]) -> None:
    score = score_words(wanted, read)
    assert [value == 1.0 for value in score.closeness] == list(score.found)


@settings(deadline=None)
@given(TEXT, st.lists(TEXT, min_size=1, max_size=6))
def test_the_nearest_word_is_the_one_that_difflib_names(wanted: str, read: list[str]) -> None:
    seen, targets = words(read) or [""], words([wanted])
    expected = [closeness(word, difflib.get_close_matches(word, seen, n=1, cutoff=0.0)[0]) for word in targets]
    assert list(score_words([wanted], read).closeness) == expected


@given(st.integers(0, 300), st.integers(0, 300))
def test_interval_holds_its_share(correct: int, more: int) -> None:
    total = correct + more
    low, high = interval(correct, total)
    assert 0.0 <= low <= high <= 1.0
    if total:
        assert low - 1e-12 <= correct / total <= high + 1e-12
