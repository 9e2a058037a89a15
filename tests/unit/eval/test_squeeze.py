"""Wide letters read twice: which pictures, which reading stays; measured lines, laws, real cards, broken letters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from inkwash.eval.bench import reader_config
from inkwash.eval.metrics import score_words, words
from inkwash.eval.ocr import Reader
from inkwash.eval.squeeze import Recognised, better_readings, letters_are_wide, rows_apart
from inkwash.eval.tasks.scenes import CaseKind, held_out
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene


def line(text: str, score: float = 1.0, *, at: tuple[float, float] = (0, 0), pitch: float = 60.0) -> Recognised:
    """A line 64 pixels high whose letters stand `pitch` pixels apart."""
    left, top = at
    places = [left + pitch * (i + 0.5) for i, letter in enumerate(text) if letter != " "]
    box = (left, top, left + pitch * len(text), top + 64)
    return Recognised(text=text, score=score, box=box, centres=tuple(places))


def texts(lines: list[Recognised]) -> list[str]:
    return [one.text for one in lines]


def test_letters_in_square_cells_are_wide() -> None:
    assert letters_are_wide([line("Snacks"), line("music")])


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line("Grand Opening", pitch=30)],
        [line("Free entry", pitch=26)],
        [line("每日新鲜", pitch=60)],
        [line("A")],
        [line("Grand Opening", pitch=30), line("TRY")],  # one short line among many letters
    ],
)
def test_ordinary_type_is_not(lines: list[Recognised]) -> None:
    assert not letters_are_wide(lines)


def test_latin_words_beside_chinese_are_seen() -> None:
    assert letters_are_wide([line("每日新鲜烘焙每日新鲜"), line("Snacks", at=(0, 100))])


@pytest.mark.parametrize(
    ("plain", "squeezed", "kept"),
    [  # as measured on rendered cards
        ([line("Snacks")], [line("Snacks,")], ["Snacks,"]),
        ([replace(line("level 44", 0.94), text="level44")], [line("level 44", 0.99)], ["level 44"]),
        ([line("Vote_goal", 0.99)], [line("Vote goal", 0.99)], ["Vote goal"]),
        ([line("wNice", 0.88)], [line("Nice")], ["Nice"]),
        ([line("Go,", 0.96)], [line("Go", 0.86)], ["Go,"]),
        ([line("Who? Two!", 0.93)], [line("Who?Two!")], ["Who? Two!"]),  # the same letters, better placed
        ([line("cycling")], [line("cycl ing")], ["cycling"]),
        ([line("Omelette")], [line("0melette", 0.94)], ["Omelette"]),
        ([line("Feel Better Soon", 0.999)], [line("Feel etter Soon", 0.994)], ["Feel Better Soon"]),  # ordinary type
        ([line("Hand"), line("dmade", 0.97, at=(200, 0))], [line("Hand made", 0.98)], ["Hand made"]),
    ],
)
def test_more_and_surer_letters_stay(plain: list[Recognised], squeezed: list[Recognised], kept: list[str]) -> None:
    assert texts(better_readings(plain, squeezed)) == kept


def test_the_places_of_letters_decide_about_a_disputed_space() -> None:
    joined = replace(line("train hard,"), text="trainhard,")
    assert texts(better_readings([joined], [line("train hard,", 0.99)])) == ["train hard,"]
    assert texts(better_readings([line("suddenly")], [line("suddenl y")])) == ["suddenly"]
    halves = [line("Lane"), line("Coach", at=(300, 0))]
    assert texts(better_readings(halves, [line("LaneCoach")])) == ["Lane Coach"]
    assert texts(better_readings([replace(joined, centres=())], [line("train hard,")])) == ["trainhard,"]


def test_what_one_reading_missed_is_taken_from_the_other() -> None:
    plain, squeezed = [line("never"), line("I", 0.75, at=(0, 200))], [line("never"), line("or", at=(0, 100))]
    assert sorted(texts(better_readings(plain, squeezed))) == ["I", "never", "or"]


LINES = st.lists(
    st.builds(
        line,
        st.text("ab ", min_size=1, max_size=5).filter(str.strip),
        st.floats(0, 1),
        at=st.tuples(st.integers(0, 400), st.integers(0, 400)),
    ),
    max_size=6,
)


@given(LINES, LINES)
def test_a_place_is_read_once_and_none_is_lost(plain: list[Recognised], squeezed: list[Recognised]) -> None:
    kept = better_readings(plain, squeezed)
    read = "".join(one.text for one in [*plain, *squeezed])
    assert all(set(one.text) <= {*read, " "} for one in kept)
    assert len("".join("".join(one.text.split()) for one in kept)) <= len(read)
    for one in [*plain, *squeezed]:
        assert one in kept or any(_same_place(one, other) for other in [*plain, *squeezed] if other is not one)


def _same_place(a: Recognised, b: Recognised) -> bool:
    across = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    return across > 0 and min(a.box[3], b.box[3]) - max(a.box[1], b.box[1]) > 32


@given(LINES)
def test_alone_a_reading_stays_as_it_is(lines: list[Recognised]) -> None:
    assert sorted(texts(better_readings(lines, []))) == sorted(texts(lines))
    assert sorted(texts(better_readings([], lines))) == sorted(texts(lines))


def quads(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    return np.array([[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in boxes], np.float32)


def test_rows_share_no_pixels() -> None:
    tight = quads((0, 0, 100, 77), (10, 64, 90, 141), (0, 200, 100, 270))
    assert rows_apart(tight).tolist() == quads((0, 0, 100, 70.5), (10, 70.5, 90, 141), (0, 200, 100, 270)).tolist()  # type: ignore[arg-type]


def test_boxes_beside_each_other_or_of_one_row_stay() -> None:
    for boxes in (quads((0, 0, 100, 77), (100, 64, 190, 141)), quads((0, 0, 100, 77), (80, 10, 190, 80))):
        assert rows_apart(boxes).tolist() == boxes.tolist()
    assert rows_apart(np.zeros((0, 4, 2), np.float32)).shape == (0, 4, 2)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(reader_config("card"))


def cards(*numbers: int) -> list[Scene]:
    cases = held_out(max(numbers) + 1, seed=7, regions=(1, 5), width=384, height=384, kind=CaseKind(level="card"))
    return [cases[number].scene for number in numbers]


def test_wide_letters_are_read(reader: Reader) -> None:
    """A card with commas in square cells, which one reading loses."""
    (scene,) = cards(59)
    assert {"snacks,", "music,"} <= set(words(scene.quotes))
    assert score_words(scene.quotes, reader.texts(render(scene))).correct == len(words(scene.quotes))


@pytest.mark.slow  # six cards, 0.6 s each
def test_what_one_reading_loses(reader: Reader) -> None:
    """Spaces read as `_`, words not found or joined, letters lost."""
    scores = [score_words(scene.quotes, reader.texts(render(scene))) for scene in cards(11, 42, 69, 76, 88, 109)]
    assert sum(score.correct for score in scores) == sum(score.total for score in scores)


LIKE = dict(zip("aceilnmourthbgqvy", "oecliruaunfkdqgyv", strict=True))


def broken(scene: Scene, way: str) -> tuple[Image.Image, list[str]]:
    """The scene with the middle letter of each longer word gone wrong, and these words."""
    items, spoiled, asked = [], [], []
    for item in scene.texts:
        word = max((word for word in item.text.split() if word.isalpha()), key=len, default="")
        if len(word) < 4:
            items.append(item)
            continue
        at = item.text.index(word) + len(word) // 2
        asked.append(word.lower())
        other = LIKE.get(item.text[at].lower(), "x")
        if way == "replaced":
            item = replace(item, text=item.text[:at] + other + item.text[at + 1 :])
        else:
            side = item.box[3] - item.box[1]
            spoiled.append((item.box[0] + at * side, item.box[1], item.box[0] + (at + 1) * side, item.box[3]))
        items.append(item)
    picture = render(replace(scene, texts=tuple(items))).convert("RGB")
    for cell in spoiled:
        picture.paste(picture.crop(cell).filter(ImageFilter.GaussianBlur(7)), cell[:2])
    return picture, asked


@pytest.mark.slow  # each of eight cards is read twice
@pytest.mark.parametrize("way", ["replaced", "blurred"])
def test_broken_letters_are_not_repaired(reader: Reader, way: str) -> None:
    """A word with a wrong letter is not read as the right word more often than in one reading."""
    once = Reader(replace(reader.config, squeeze=1.0))
    before = after = total = 0
    for scene in cards(0, 11, 59, 109):
        picture, asked = broken(scene, way)
        before += score_words(asked, once.texts(picture)).correct
        after += score_words(asked, reader.texts(picture)).correct
        total += len(asked)
    assert total >= 10 and after <= before
