"""Advantages against the written formulas, with what is dropped and what is clipped."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.rl.advantage import CLIP, EPSILON, group_advantages

GROUPS = ["a", "a", "a", "b", "b", "b"]
REWARDS = [0.0, 0.5, 1.0, 0.2, 0.4, 0.9]


def test_batch_divides_by_the_deviation_of_all_rewards() -> None:
    got = group_advantages(REWARDS, GROUPS)
    means = {"a": 0.5, "b": 0.5}
    scale = statistics.stdev(REWARDS) + EPSILON
    assert got.values == pytest.approx([(r - means[g]) / scale for r, g in zip(REWARDS, GROUPS, strict=True)])
    assert got.kept.all() and got.dropped_groups == 0


def test_none_only_centres() -> None:
    assert group_advantages(REWARDS, GROUPS, scheme="none").values == pytest.approx([-0.5, 0, 0.5, -0.3, -0.1, 0.4])


def test_gdpo_by_hand() -> None:
    table = np.array([[0, 10], [1, 30], [0, 20], [1, 0], [1, 90], [0, 30]], dtype=float)
    sums = []
    for rows in (table[:3], table[3:]):
        scaled = [
            [(value - statistics.mean(column)) / (statistics.stdev(column) + EPSILON) for value in column]
            for column in rows.T.tolist()
        ]
        sums += [1.0 * a + 0.5 * b for a, b in zip(*scaled, strict=True)]
    wanted = [value / (statistics.stdev(sums) + EPSILON) for value in sums]
    got = group_advantages(table, GROUPS, scheme="gdpo", weights=[1.0, 0.5])
    assert got.values == pytest.approx(wanted)


def test_gdpo_is_blind_to_the_scale_of_a_reward() -> None:
    table = np.array([[0, 0.3], [1, 0.1], [0, 0.2], [1, 0.9], [0, 0.8], [0, 0.1]])
    other = table * [1.0, 1000.0]
    small, large = (group_advantages(t, GROUPS, scheme="gdpo").values for t in (table, other))
    assert np.abs(small - large).max() < 5e-3  # the deviation's epsilon is all that differs


def test_a_group_without_variance_is_dropped_and_counted() -> None:
    got = group_advantages([1, 1, 1, 0, 0, 1], GROUPS)
    assert got.kept.tolist() == [False] * 3 + [True] * 3
    assert got.values[:3].tolist() == [0, 0, 0] and got.dropped_groups == 1 and got.zero_variance_share == 0.5
    scale = statistics.stdev([0, 0, 1]) + EPSILON  # of what is kept
    assert got.values[3:] == pytest.approx([-1 / 3 / scale, -1 / 3 / scale, 2 / 3 / scale])


def test_rewards_that_cancel_have_no_variance() -> None:
    assert group_advantages([[0, 1], [1, 0]], ["a", "a"], scheme="gdpo").dropped_groups == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_unusable_reward_leaves_its_group_alone(bad: float) -> None:
    got = group_advantages([0.0, bad, 1.0, 0.2, 0.4, 0.9], GROUPS, scheme="none")
    assert got.unusable == 1 and not got.kept[1] and got.values[1] == 0
    assert got.values[[0, 2]] == pytest.approx([-0.5, 0.5])


def test_a_group_below_two_is_dropped() -> None:
    got = group_advantages([0.0, math.nan, 1.0, 0.0], ["a", "a", "b", "b"])
    assert got.kept.tolist() == [False, False, True, True] and got.dropped_groups == 1


def test_outliers_are_clipped_and_counted() -> None:
    rewards = [0.0] * 99 + [1.0]
    got = group_advantages(rewards, ["a"] * 100)
    assert got.values.max() == CLIP and got.clipped == 1


@pytest.mark.parametrize(
    ("rewards", "groups", "kwargs"),
    [
        ([1.0], ["a", "b"], {}),
        ([[1.0, 2.0]] * 2, ["a", "a"], {"scheme": "batch"}),
        ([1.0, 2.0], ["a", "a"], {"scheme": "other"}),
        ([1.0, 2.0], ["a", "a"], {"weights": [1.0, 2.0]}),
        ([1.0, 2.0], ["a", "a"], {"weights": [math.nan]}),
        ([[], []], ["a", "a"], {}),
    ],
)
def test_what_does_not_fit_is_refused(rewards, groups, kwargs) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        group_advantages(rewards, groups, **kwargs)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.floats(0, 1), st.just(math.nan))),
        max_size=40,
    ),
    st.sampled_from(["batch", "gdpo", "none"]),
)
def test_advantages_are_finite_and_centred(rows, scheme) -> None:  # type: ignore[no-untyped-def]
    groups = [group for group, _ in rows]
    got = group_advantages(np.array([reward for _, reward in rows]).reshape(-1, 1), groups, scheme=scheme)
    assert np.isfinite(got.values).all() and np.abs(got.values).max(initial=0) <= CLIP
    assert (got.values[~got.kept] == 0).all()
    if not got.clipped:
        for group in set(groups):
            assert abs(got.values[[g == group for g in groups]].sum()) < 1e-6
