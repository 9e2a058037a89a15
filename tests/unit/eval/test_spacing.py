"""Tracking is not a word space: measured lines, and laws for any line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.eval.spacing import join_letterspaced, plain_width

# Letter centres and line heights as the reader measured them on rendered pictures.
TRACKED = [
    ("BOILE D", [14.5, 49.5, 78.5, 107.5, 142.5, 177.0], 35.0, "BOILED"),
    ("A D D E D", [51.0, 80.5, 109.5, 144.5, 173.5], 35.0, "ADDED"),
    ("T R Y", [106.5, 139.5, 180.0], 51.0, "TRY"),
    ("BIG C AT", [20, 52, 84, 148, 180, 212], 36.0, "BIG CAT"),  # one empty cell between the words, tracking inside
]
ORDINARY = [
    ("Grand Opening", [21, 39, 54.5, 72.5, 91.5, 117, 136, 155, 172.5, 186, 199.5, 217], 37.0),
    ("I AM A KING", [17, 33.5, 54.5, 81.5, 106, 118.5, 132.5, 153.5], 27.0),
    ("50 percent off", [16.5, 29.5, 46, 55.5, 64, 73, 85, 94.5, 103.5, 118.5, 126, 136], 26.0),
]


@pytest.mark.parametrize(("text", "centres", "height", "joined"), TRACKED)
def test_tracking_is_joined(text: str, centres: list[float], height: float, joined: str) -> None:
    assert join_letterspaced(text, centres, height) == joined


@pytest.mark.parametrize(("text", "centres", "height"), ORDINARY)
def test_ordinary_lines_are_left_alone(text: str, centres: list[float], height: float) -> None:
    assert join_letterspaced(text, centres, height) == text


@pytest.mark.parametrize("read", ["P & R", "P&R", "P &R"])
def test_letters_of_a_grid_with_empty_cells_between_are_words(read: str) -> None:
    assert join_letterspaced(read, [32.0, 96.0, 160.0], 38.0) == "P & R"


def test_a_word_of_low_letters_is_no_row_of_words() -> None:
    assert join_letterspaced("comma", [32.0, 96.0, 160.0, 224.0, 288.0], 48.0) == "comma"


def test_without_geometry_nothing_is_guessed() -> None:
    assert join_letterspaced("A D D", [1.0, 2.0], 1.0) == "A D D"
    assert join_letterspaced("A B", [10.0, 40.0], 20.0) == "A B"


LINE = st.lists(st.text("ABCDE", min_size=1, max_size=4), min_size=1, max_size=4).map(" ".join)


@given(LINE, st.data())
def test_letters_never_change(text: str, data: st.DataObject) -> None:
    letters = text.replace(" ", "")
    steps = data.draw(st.lists(st.floats(1, 100), min_size=len(letters), max_size=len(letters)))
    centres = [sum(steps[: i + 1]) for i in range(len(letters))]
    joined = join_letterspaced(text, centres, data.draw(st.floats(1, 100)))
    assert joined.replace(" ", "") == letters


@given(LINE, st.floats(1, 1000))
def test_scale_does_not_matter(text: str, scale: float) -> None:
    centres = [30.0 * i for i in range(len(text.replace(" ", "")))]
    assert join_letterspaced(text, centres, 32.0) == join_letterspaced(text, [x * scale for x in centres], 32.0 * scale)


def test_full_width_forms_become_plain() -> None:
    assert plain_width("BＩG　１００％") == "BIG 100%"
    assert plain_width("新鲜 Café") == "新鲜 Café"
