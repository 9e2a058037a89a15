"""The real reader on rendered pictures: words, order, tracking, small pictures; and what is said when it is missing."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkwash.core.errors import ConfigError, MissingExtraError
from inkwash.eval.metrics import score_words, word_accuracy
from inkwash.eval.ocr import Line, Reader, ReaderConfig, reading_order
from inkwash.eval.tasks.scenes import check_judge, held_out, score_images
from inkwash.scenes.render import render


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_truth_is_read(reader: Reader) -> None:
    cases = held_out(6, seed=1)
    report = score_images([render(case.scene) for case in cases], cases, reader)
    assert report.word_accuracy == 1.0 and report.background_accuracy == 1.0
    assert "ppocrv6" in report.judge and "rapidocr" in report.judge


@pytest.mark.slow
@pytest.mark.parametrize("side", [128, 256])
def test_many_truths_are_read(reader: Reader, side: int) -> None:
    assert check_judge([case.scene for case in held_out(50, seed=2, width=side, height=side)], reader) >= 0.98


def test_joining_tracked_letters_is_what_reads_grid_lettering(reader: Reader) -> None:
    scenes = [case.scene for case in held_out(30, seed=3)]
    joined = next(scene for scene in scenes if any(t.face == "mono" and len(t.text) <= 4 for t in scene.texts))
    wanted = [text.text for text in joined.texts]
    assert score_words(wanted, reader.texts(render(joined))).correct == len(wanted)


def test_lines_come_in_reading_order_with_their_places(reader: Reader) -> None:
    scene = next(case.scene for case in held_out(30, seed=4) if len(case.scene.texts) == 2)
    lines = [line for line in reader.read(render(scene)) if line.text.isalpha()]
    assert [line.text for line in lines] == [text.text for text in scene.texts]
    for line, text in zip(lines, scene.texts, strict=True):
        middle = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
        assert text.box[0] < middle[0] < text.box[2] and text.box[1] < middle[1] < text.box[3]


def test_a_blank_picture_has_no_lines(reader: Reader) -> None:
    assert reader.read(Image.new("RGB", (256, 256), "white")) == []
    assert word_accuracy([score_words(["HELLO"], reader.texts(Image.new("RGB", (32, 32))))]) == 0.0


def test_the_name_tells_the_settings(reader: Reader) -> None:
    other = Reader(ReaderConfig(detect_side=512))
    assert other.name != reader.name and "512" in other.name
    assert "squeeze=0.4" in reader.name and "squeeze" not in Reader(ReaderConfig(squeeze=1.0)).name


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'inkwash\[ocr\]'"):
        Reader()


@pytest.mark.parametrize(
    "bad", [{"detect_side": 8}, {"min_score": 1.0}, {"threads": 0}, {"enlarge_to": -1}, {"squeeze": 0.1}]
)
def test_settings_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        ReaderConfig(**bad)  # type: ignore[arg-type]


def test_rows_then_columns() -> None:
    def line(text: str, left: float, top: float) -> Line:
        return Line(text=text, score=1.0, box=(left, top, left + 50, top + 20))

    lines = [line("d", 100, 41), line("b", 100, 2), line("c", 0, 45), line("a", 0, 5), line("e", 0, 80)]
    assert "".join(one.text for one in reading_order(lines)) == "abcde"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(1, 60)), max_size=8))
def test_order_is_a_permutation(places: list[tuple[int, int, int]]) -> None:
    lines = [Line(text=str(i), score=1.0, box=(x, y, x + 40, y + h)) for i, (x, y, h) in enumerate(places)]
    assert sorted(line.text for line in reading_order(lines)) == sorted(line.text for line in lines)
