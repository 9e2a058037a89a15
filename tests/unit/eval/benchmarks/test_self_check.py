"""A judge that drops spaces, answers nothing or misreads is turned away before it scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.judges import CachedAnswers
from inkwash.eval.benchmarks.self_check import CASES, check_answers, check_reader, has_glyphs, render_texts, square
from inkwash.eval.metrics import words
from inkwash.eval.predictions import Predictions, picture_hash

COLORS = ("red", "green", "blue", "black")
TEXTS = [[f"Grand Opening {i}", "50 percent off"] for i in range(12)]


class Knowing:
    """Reads rendered texts, after `spoil` has had its way with each line."""

    name = "knowing"

    def __init__(self, texts: Sequence[Sequence[str]], spoil: str = "") -> None:
        self.spoil = spoil
        self.count = 0
        rendered = [(render_texts(each), each) for each in texts]
        self.known = {picture_hash(picture): each for picture, each in rendered if picture}

    def texts(self, image: Image.Image) -> list[str]:
        self.count += 1
        lines = list(self.known[picture_hash(image)])
        if self.spoil == "spaces":
            return [line.replace(" ", "") for line in lines]
        return [] if self.spoil == "blank" else lines


def share(wanted: Sequence[str], read: Sequence[str]) -> tuple[int, int]:
    seen = words(read)
    return sum(word in seen for word in words(wanted)), len(words(wanted))


def test_a_good_judge_reads_a_few_pictures() -> None:
    judge = Knowing(TEXTS)
    assert check_reader(Predictions(judge), TEXTS, share) == 1.0
    assert judge.count == CASES


@pytest.mark.parametrize("spoil", ["spaces", "blank"])
def test_a_bad_judge_is_named_and_turned_away(spoil: str) -> None:
    with pytest.raises(ConfigError, match=r"the judge knowing reads only 0\.000 .* 0\.98 is needed"):
        check_reader(Predictions(Knowing(TEXTS, spoil)), TEXTS, share)


def test_a_judge_that_was_mended_is_asked_again(tmp_path: Path) -> None:
    """What it answered while it was broken is in the cache, and must not hold against it for ever."""
    cache = tmp_path / "predictions.jsonl"
    with pytest.raises(ConfigError):
        check_reader(Predictions(Knowing(TEXTS, "blank"), cache), TEXTS, share)
    mended = Knowing(TEXTS)
    assert check_reader(Predictions(mended, cache), TEXTS, share) == 1.0
    assert mended.count == CASES
    assert check_reader(Predictions(mended, cache), TEXTS, share) == 1.0 and mended.count == CASES, "remembered now"
    broken = Knowing(TEXTS, "spaces")
    with pytest.raises(ConfigError):
        check_reader(Predictions(broken, tmp_path / "other.jsonl"), TEXTS, share)
    assert broken.count == CASES, "fresh answers are not asked for twice"


def test_answers_about_squares_are_asked_for_again_too(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(always: str | None) -> float:
        judge = CachedAnswers(Squares(asked, always), tmp_path / "predictions.jsonl")
        return check_answers(judge.cache, judge.answer, "yes")

    with pytest.raises(ConfigError, match=r"the judge squares answers only 0\.500"):
        ask("yes")
    assert ask(None) == 1.0 and len(asked) == 16
    assert ask(None) == 1.0 and len(asked) == 16


class Squares:
    """Sees the colour in the middle of a picture, or always says the same."""

    name = "squares"

    def __init__(self, asked: list[str], always: str | None) -> None:
        self.asked, self.always = asked, always

    def answer(self, image: Image.Image, question: str) -> str:
        self.asked.append(question)
        if self.always is not None:
            return self.always
        seen = image.getpixel((256, 256))
        named = next(color for color in COLORS if f" {color} " in question)
        return "yes" if square(named).getpixel((256, 256)) == seen else "no"


def test_without_a_renderable_text_nothing_is_proven() -> None:
    with pytest.raises(ConfigError, match="can be rendered"):
        check_reader(Predictions(Knowing([])), [["\u0e01\u0e02"], []], share)


def test_texts_without_glyphs_are_left_out_and_the_rest_is_used() -> None:
    mixed = [["\u0e01\u0e02", "Hello there"]]
    assert check_reader(Predictions(Knowing([["Hello there"]])), mixed, share) == 1.0
    assert has_glyphs("Grand Opening, 50 %") and has_glyphs("Café") and has_glyphs("公里 2")
    assert not has_glyphs("\u0e01")


def test_texts_stand_within_the_picture() -> None:
    long = ["one two three four five six seven eight nine ten eleven twelve"] * 5
    picture = render_texts([*long, "中国公里"])
    assert picture is not None and picture.size == (512, 512)
    left, top, right, bottom = Image.eval(picture.convert("L"), lambda value: 255 - value).getbbox() or (0, 0, 512, 512)
    assert left >= 20 and top >= 20 and right <= 490 and bottom <= 500
    assert render_texts([*long] * 20) is None
    assert render_texts(["x" * 400]) is None
    assert render_texts([]) is None
