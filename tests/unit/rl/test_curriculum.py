"""Tiers, expansion and the state of curriculum sampling."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.rl.curriculum import (
    FLOOR,
    REWEIGHT_EVERY,
    TIERS,
    Curriculum,
    expansion,
    hardness,
    most_balanced,
    not_valid_share,
    pass_at_k,
    rollout_count,
    tier_of,
    tier_weights,
)


@pytest.mark.parametrize(("n", "c", "k"), [(8, 0, 4), (8, 8, 1), (8, 3, 2), (8, 7, 4), (5, 2, 5)])
def test_pass_at_k_counts_subsets(n: int, c: int, k: int) -> None:
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(subset) for subset in subsets) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 5), (4, 1, 0)])
def test_pass_at_k_refuses_nonsense(n: int, c: int, k: int) -> None:
    with pytest.raises(ConfigError):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("rate", "own", "tier"), [(1, None, 0), (0, None, 4), (0.5, None, 2), (1, 1, 2), (0.5, 0.9, 3)]
)
def test_a_tier_merges_what_was_measured_and_what_is_known(rate: float, own: float | None, tier: int) -> None:
    assert tier_of(hardness(rate, own)) == tier


def test_hardness_refuses_what_is_no_share() -> None:
    for arguments in ((1.2, None), (0.5, -0.1), (math.nan, None)):
        with pytest.raises(ConfigError):
            hardness(*arguments)


def test_the_middle_tier_is_drawn_most_and_none_is_forgotten() -> None:
    weights = tier_weights([1.0, 0.9, 0.5, 0.1, 0.0])
    assert math.fsum(weights) == pytest.approx(1)
    assert weights[0] == weights[4] == pytest.approx(FLOOR)
    assert weights[2] == max(weights) and weights[1] == pytest.approx(weights[3])
    assert weights[2] == pytest.approx(0.05 + 0.75 * 0.25 / 0.43)


def test_tiers_without_variance_are_drawn_evenly() -> None:
    assert tier_weights([1.0, 0.0]) == pytest.approx([0.5, 0.5])


def test_an_unmeasured_tier_is_drawn() -> None:
    assert tier_weights([None, 0.5]) == pytest.approx([0.5, 0.5])


def test_floors_must_fit() -> None:
    with pytest.raises(ConfigError):
        tier_weights([0.5] * 5, floor=0.3)


def test_expansion_follows_the_share_that_teaches_nothing() -> None:
    assert not_valid_share([0, 8, 4, 1], 8) == 0.5
    assert expansion(0.5) == 2.0
    assert expansion(0.5, 1.0) == pytest.approx(0.9 + 0.1 * 2)
    assert expansion(1.0) == 4.0 and expansion(0.9) == 4.0 and expansion(0.0) == 1.0


@pytest.mark.parametrize(("ratio", "batch", "count"), [(1.0, 16, 16), (1.1, 10, 11), (1.31, 16, 21), (4.0, 16, 64)])
def test_rollout_count(ratio: float, batch: int, count: int) -> None:
    assert rollout_count(ratio, batch) == count


def test_the_most_balanced_are_kept_in_their_order() -> None:
    assert most_balanced([0, 4, 8, 3, 5, 1], 8, 3) == (1, 3, 4)
    assert most_balanced([4, 4, 4], 8, 2) == (0, 1)
    assert most_balanced([8, 0], 8, 5) == (0, 1)


def test_the_state_learns_rates_and_reweights_when_due() -> None:
    state = Curriculum()
    first = state.observe(["q", "r"], [2, 4], [4, 0], 8)
    assert first.questions == {"q": 0.5, "r": 0.0} and first.tiers == (None, None, 0.5, None, 0.0)
    assert first.ratio == 2.0 and first.weights == state.weights
    second = first.observe(["q"], [2], [8], 8)
    assert second.questions["q"] == pytest.approx(0.7 * 0.5 + 0.3) and second.tiers[2] == pytest.approx(0.65)
    for _ in range(REWEIGHT_EVERY - 2):
        second = second.observe(["q"], [2], [8], 8)
    assert second.step == REWEIGHT_EVERY and second.weights == tier_weights(second.tiers)
    assert state == Curriculum(), "observing changes nothing behind the caller's back"


def test_a_question_moves_to_an_easier_tier_when_it_is_learnt() -> None:
    state = Curriculum()
    assert state.tier("q", 0.9) == 4
    for _ in range(20):
        state = state.observe(["q"], [4], [8], 8)
    assert state.tier("q", 0.9) == 2


def test_observe_refuses_what_does_not_fit() -> None:
    for arguments in ((["q"], [0, 1], [1], 8), (["q"], [0], [9], 8), (["q"], [0], [0], 0)):
        with pytest.raises(ConfigError):
            Curriculum().observe(*arguments)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, TIERS - 1), st.integers(0, 8)), max_size=6), max_size=25))
def test_any_history_keeps_the_state_sound_and_storable(history) -> None:  # type: ignore[no-untyped-def]
    state = Curriculum()
    for step in history:
        state = state.observe([f"q{t}" for t, _ in step], [t for t, _ in step], [n for _, n in step], 8)
        assert math.fsum(state.weights) == pytest.approx(1) and min(state.weights) >= FLOOR - 1e-12
        assert state.ratio is None or 1.0 <= state.ratio <= 4.0
    back = json.loads(json.dumps(asdict(state)))
    assert Curriculum(**{**back, "tiers": tuple(back["tiers"]), "weights": tuple(back["weights"])}) == state
