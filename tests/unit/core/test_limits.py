"""Each check accepts its range, and refuses the rest with the value, what is allowed and how to fix it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.core.types import Size


@pytest.mark.parametrize("prompt", ["", " ", "\n\t ", "\u3000"])
def test_an_empty_prompt(prompt: str) -> None:
    with pytest.raises(RequestError, match="empty") as caught:
        limits.check_prompt(prompt)
    assert caught.value.param == "prompt"


def test_a_broken_character_is_named_by_its_place() -> None:
    with pytest.raises(RequestError, match="position 3"):
        limits.check_prompt("ab\ud800")
    assert limits.check_prompt("海报“你好”") == "海报“你好”"


@given(st.integers(-10, 5000), st.integers(-10, 5000))
def test_sizes_by_the_rule(width: int, height: int) -> None:
    fine = all(32 <= side <= 2048 and side % 32 == 0 for side in (width, height))
    fine = fine and max(width, height) <= 4 * min(width, height)
    if fine:
        assert limits.check_size(Size(width, height)) == (width, height)
    else:
        with pytest.raises(RequestError) as caught:
            limits.check_size(Size(width, height))
        assert f"{width}x{height}" in caught.value.message


def test_the_nearest_size_is_offered_and_is_itself_allowed() -> None:
    for side, nearest in ((100, 96), (30, 32), (5000, 2048), (2047, 2048)):
        with pytest.raises(RequestError, match=f"the nearest is {nearest}"):
            limits.check_size(Size(side, 512))
        assert nearest % 32 == 0


def test_an_aspect_beyond_four_to_one() -> None:
    assert limits.check_size(Size(512, 128))
    with pytest.raises(RequestError, match="4:1"):
        limits.check_size(Size(128, 544))


Check = Callable[[float], float]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (limits.check_steps, [1, 20, 1000], [0, -3, 1001]),
        (limits.check_seed, [0, 2**63 - 1], [-1, 2**63]),
        (limits.check_count, [1, 64], [0, -1, 65]),
        (limits.check_guidance, [0.0, 1.0, 1.5, 100.0], [math.nan, math.inf, -math.inf, -0.1, 101.0]),
        (limits.check_temperature, [0.0, 0.9], [math.nan, -1.0, math.inf]),
        (partial(limits.check_nucleus, "top_p"), [0.01, 0.75, 1.0], [0.0, -0.5, 1.01, math.nan, math.inf]),
    ],
)
def test_numbers(check: Check, good: list[float], bad: list[float]) -> None:
    for value in good:
        assert check(value) == value
    for value in bad:
        with pytest.raises(RequestError) as caught:
            check(value)
        assert str(value) in caught.value.message and caught.value.param
