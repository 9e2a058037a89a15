"""Places in answers: every bracket, marked spans first, thousandths to pixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.boxes import Box, find_boxes

ONE = Box(left=10, top=20, right=300, bottom=400)
THOUSANDTHS = st.integers(0, 1000)


@pytest.mark.parametrize(
    "text",
    [
        "[10, 20, 300, 400]",
        "[[10,20,300,400]]",
        "(10 20 300 400)",
        "<10, 20, 300, 400>",
        "{10， 20， 300， 400}",
        "[[10, 20], [300, 400]]",
        "(10,20),(300,400)",
        "[300, 400, 10, 20]",
        "<|begin_of_box|>10, 20, 300, 400<|end_of_box|>",
        "<think>[1, 2, 3, 4]?</think><answer>Here: <|begin_of_box|>[[10, 20, 300, 400]]<|end_of_box|></answer>",
        "Not [5, 6, 7, 8] but <|begin_of_box|>[10,20,300,400]<|end_of_box|>",
        "<think>mark <|begin_of_box|>[1,2,3,4]<|end_of_box|></think>[10, 20, 300, 400]",
    ],
)
def test_one_box_in_any_writing(text: str) -> None:
    assert find_boxes(text) == [ONE]


def test_several_boxes_keep_their_order() -> None:
    assert find_boxes("a [1,2,3,4] b [[5,6,7,8],[9,10,11,12]]") == [
        Box(left=1, top=2, right=3, bottom=4),
        Box(left=5, top=6, right=7, bottom=8),
        Box(left=9, top=10, right=11, bottom=12),
    ]


@pytest.mark.parametrize(
    "text", ["", "no box", "[1, 2, 3]", "[2020, 2021, 2022, 2023]", "10, 20, 300, 400", "f(1, 2, 3, x)"]
)
def test_what_is_no_box(text: str) -> None:
    assert find_boxes(text) == []


def test_pixels_on_both_grids() -> None:
    box = Box(left=0, top=500, right=999, bottom=1000)
    assert box.pixels(2000, 100) == (0, 50, 1998, 100)
    assert box.pixels(2000, 100, grid=999) == (0, 50, 2000, 100)
    with pytest.raises(ConfigError, match="999 or 1000"):
        box.pixels(10, 10, grid=500)


@given(
    st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS, THOUSANDTHS, THOUSANDTHS), max_size=4),
    st.sampled_from(["[]", "()", "{}"]),
)
def test_boxes_written_are_boxes_read(quadruples: list[tuple[int, int, int, int]], brackets: str) -> None:
    text = " and ".join(brackets[0] + ", ".join(map(str, q)) + brackets[1] for q in quadruples)
    found = find_boxes(text)
    assert [(b.left, b.top, b.right, b.bottom) for b in found] == [
        (min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in quadruples
    ]


@given(st.text(max_size=80), st.integers(1, 5000), st.integers(1, 5000))
def test_pixels_stay_inside_the_picture(text: str, width: int, height: int) -> None:
    for box in find_boxes(text + "[[0, 1000, 999.9, 3]]"):
        left, top, right, bottom = box.pixels(width, height, grid=999)
        assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
