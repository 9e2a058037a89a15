"""Two runs compared: differences, paired intervals, and what may not be compared."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.eval.paired import PairedItem, Scores, compare, read_scores, value

JUDGES = {"word_accuracy": "reader[v1]"}


def run(name: str, shares: list[tuple[float, float]], **more: Any) -> Scores:
    items = tuple(PairedItem(key=f"{i:03d}", sums={"word_accuracy": pair}) for i, pair in enumerate(shares))
    return Scores(**{"name": name, "task": "cvtg2k", "judges": JUDGES, "items": items, **more})


def test_the_difference_is_that_of_the_pooled_shares() -> None:
    [found] = compare(run("a", [(1, 2), (4, 8)]), run("b", [(2, 2), (4, 8)])).differences
    assert (found.a, found.b) == (0.5, 0.6) and found.difference == pytest.approx(0.1)
    assert found.low <= found.difference <= found.high and found.prompts == 2
    assert found.to_dict()["judge"] == "reader[v1]"


def test_a_run_against_itself_has_no_difference() -> None:
    same = run("a", [(i % 3, 3) for i in range(30)])
    [found] = compare(same, same).differences
    assert (found.low, found.difference, found.high, found.p) == (0.0, 0.0, 0.0, 1.0) and not found.clear


def test_pairing_sees_what_the_spread_of_prompts_would_hide() -> None:
    """Every prompt a little better, prompts very different: clear when paired."""
    rng = random.Random(1)
    hard = [(rng.randrange(0, 80), 100.0) for _ in range(60)]
    [found] = compare(run("a", hard), run("b", [(top + 3, bottom) for top, bottom in hard])).differences
    assert found.clear and found.p < 0.01 and found.low == pytest.approx(0.03)


def test_the_interval_covers_a_known_difference() -> None:
    """Sixty coin-flip experiments with a true difference of 0.2: the 90 % interval holds it in most of them."""
    rng, covered = random.Random(3), 0
    for seed in range(60):
        a = [(float(rng.random() < 0.5), 1.0) for _ in range(80)]
        b = [(float(rng.random() < 0.7), 1.0) for _ in range(80)]
        [found] = compare(run("a", a), run("b", b), resamples=200, confidence=0.9, seed=seed).differences
        covered += found.low <= 0.2 <= found.high
    assert 47 <= covered <= 60


def test_means_of_strata_within_groups() -> None:
    items = [
        PairedItem(key="1", sums={"short": (1, 2)}, group="A", stratum="x"),
        PairedItem(key="2", sums={"short": (2, 2)}, group="A", stratum="x"),
        PairedItem(key="3", sums={"short": (0, 9)}, group="A", stratum="y"),
        PairedItem(key="4", sums={"short": (9, 9)}, group="B", stratum="z"),
    ]
    assert value(items, "short") == pytest.approx(((3 / 4 + 0) / 2 + 1) / 2)


def test_the_seed_decides() -> None:
    a, b = run("a", [(i % 5, 5) for i in range(40)]), run("b", [(i % 4, 5) for i in range(40)])
    assert compare(a, b, seed=4).to_dict() == compare(a, b, seed=4).to_dict()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_turning_the_pair_round_turns_the_sign(tops: list[tuple[int, int]]) -> None:
    a, b = run("a", [(x, 5) for x, _ in tops]), run("b", [(y, 5) for _, y in tops])
    [there], [back] = compare(a, b, resamples=200).differences, compare(b, a, resamples=200).differences
    assert there.difference == pytest.approx(-back.difference) and 0 <= there.p <= 1
    assert there.low == pytest.approx(-back.high) and there.low <= there.high


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"task": "dpg"}, "compare runs of one task"),
        ({"judges": {"word_accuracy": "reader[v2]"}}, "same judge"),
        ({"items": (PairedItem(key="000", sums={}), PairedItem(key="777", sums={}))}, "same prompts: 2 of 3"),
        ({"items": ()}, "same prompts"),
    ],
)
def test_what_may_not_be_compared(other: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        compare(run("a", [(1, 2), (1, 2)]), run("b", [(1, 2), (1, 2)], **other))


@pytest.mark.parametrize("numbers", [{"resamples": 1}, {"confidence": 1.0}, {"confidence": float("nan")}])
def test_settings_are_checked(numbers: dict[str, Any]) -> None:
    same = run("a", [(1, 2)])
    with pytest.raises(InkwashError, match=next(iter(numbers))):
        compare(same, same, **numbers)


def test_scores_come_from_a_file_or_its_folder(tmp_path: Path) -> None:
    item = PairedItem(key="1", sums={"word_accuracy": (1.0, 2.0)}, group="g", stratum="s")
    content = {"task": "cvtg2k", "judges": JUDGES, "per_prompt": [item.to_dict()]}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert read_scores(tmp_path).items == read_scores(tmp_path / "scores.json").items == (item,)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": 1, "judges": [], "per_prompt": []}', '{"per_prompt": [1]}'])
def test_other_files_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match="holds no scores"):
        read_scores(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="cannot read the scores"):
        read_scores(tmp_path / "b.json")
