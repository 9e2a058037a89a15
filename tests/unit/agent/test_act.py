"""Places in units of models, and the pixels that they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkwash.agent.act import Grid, Place, read_keys, write_keys
from tests.unit.agent.acts import boxes, keys, unit

SIZES = [(1280, 720), (1080, 2400), (161, 97), (3840, 2160)]
CELLS, MARKS = Grid(last=999), Grid(last=1000)


@given(boxes, st.sampled_from(SIZES))
def test_the_middle_of_a_box_is_met_within_a_pixel(box: Place, size: tuple[int, int]) -> None:
    for grid, half in ((CELLS, 0.5), (MARKS, 0.0)):
        for at, n, side in zip(grid.pixel(box, size), box.middle, size, strict=True):
            assert abs(at - (n + half) / 1000 * side) <= 1 and 0 <= at < side


@pytest.mark.parametrize("size", SIZES)
def test_the_first_and_the_last_unit_stay_on_the_screen(size: tuple[int, int]) -> None:
    assert CELLS.pixel(Place.at(999, 999), size) == (
        min(round(0.9995 * size[0]), size[0] - 1),
        min(round(0.9995 * size[1]), size[1] - 1),
    )
    assert MARKS.pixel(Place.at(1000, 1000), size) == (size[0] - 1, size[1] - 1)
    assert MARKS.pixel(Place.at(0, 0), size) == (0, 0)


def test_known_pixels() -> None:
    """(n + 0.5) / 1000 of a side on cells; n / 1000 where the last unit is 1000."""
    assert CELLS.pixel(Place(left=100, top=200, right=300, bottom=400), (1080, 2400)) == (217, 721)
    assert CELLS.pixel(Place.at(500, 250), (1920, 1080)) == (961, 271)
    assert MARKS.pixel(Place.at(500, 250), (1920, 1080)) == (960, 270)
    assert CELLS.pixel(Place.at(0, 999), (1000, 1000)) == (0, 999)


@given(st.integers(0, 1279), st.integers(0, 719))
def test_a_pixel_comes_back_as_itself_within_a_unit(x: int, y: int) -> None:
    size = (1280, 720)
    for grid in (CELLS, MARKS):
        back = grid.pixel(grid.point(x, y, size), size)
        assert abs(back[0] - x) <= 1 and abs(back[1] - y) <= 1


@given(unit, unit, st.integers(1, 300), st.integers(1, 300))
def test_boxes_of_pixels_keep_their_middle(left: int, top: int, width: int, height: int) -> None:
    size = (1400, 1400)
    place = CELLS.place((left, top, left + width, top + height), size)
    x, y = CELLS.pixel(place, size)
    assert abs(x - (left + width / 2)) <= 1.5 and abs(y - (top + height / 2)) <= 1.5


@given(keys)
def test_keys_come_back(pressed: tuple[str, ...]) -> None:
    assert read_keys(write_keys(pressed)) == pressed


@pytest.mark.parametrize(
    ("said", "pressed"),
    [
        ("Ctrl + C", ("ctrl", "c")), ("Return", ("enter",)), ("ctrl++", ("ctrl", "+")), ("+", ("+",)),
        ("cmd+shift+Esc", ("meta", "shift", "esc")), ("page_down", ("pagedown",)), ("F5", ("f5",)),
    ],
)  # fmt: skip
def test_names_of_keys(said: str, pressed: tuple[str, ...]) -> None:
    assert read_keys(said) == pressed


@pytest.mark.parametrize("said", ["", "   ", "press it", "ctrl+foo", "a+b+c+d+e+f"])
def test_unknown_keys(said: str) -> None:
    assert read_keys(said) is None
