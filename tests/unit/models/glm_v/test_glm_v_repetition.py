"""The repetition detector finds loops of any period, soon, and leaves other texts alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.repetition import RepetitionDetector

TOKENS = st.lists(st.integers(0, 5), max_size=40)


def naive(ids: list[int], *, longest: int, times: int, least: int) -> int | None:
    """The definition, span by span."""
    for period in range(1, longest + 1):
        size = max(period * times, least)
        tail = ids[-size:]
        if len(ids) >= size and all(tail[i] == tail[i - period] for i in range(period, size)):
            return period
    return None


@given(TOKENS, st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 30))
def test_it_is_the_definition(start: list[int], span: list[int], more: int) -> None:
    ids = start + (span * 30)[:more]
    detector = RepetitionDetector(longest=8, times=3, least=12)
    for number, token in enumerate(ids, 1):
        expected = naive(ids[:number], longest=8, times=3, least=12)
        assert detector.add(token) == (expected is not None)
        assert detector.period == expected


def test_a_loop_stops_and_ordinary_text_does_not() -> None:
    detector = RepetitionDetector()
    assert not any(detector.add(token) for token in [7] * 95)
    assert detector.add(7), "96 times the same token"
    detector = RepetitionDetector()
    assert not any(detector.add(token) for token in [*range(1000), *range(1000), *[1, 2] * 40])


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="times at least 2"):
        RepetitionDetector(times=1)
