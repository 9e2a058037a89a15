"""The cache of what was read: one reading per picture and judge, robust against a kill."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.eval.predictions import AnswerCache, Predictions, picture_hash


class CountingJudge:
    """Reads the colour of the first pixel and counts its readings."""

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.count = 0

    def texts(self, image: Image.Image) -> list[str]:
        self.count += 1
        return [str(image.getpixel((0, 0)))]


RED = Image.new("RGB", (8, 8), "red")
BLUE = Image.new("RGB", (8, 8), "blue")


def test_a_picture_is_read_once(tmp_path: Path) -> None:
    judge = CountingJudge()
    first = Predictions(judge, tmp_path / "deep" / "read.jsonl")
    assert first.texts(RED) == first.texts(RED.copy()) == ("(255, 0, 0)",)
    assert judge.count == 1
    again = Predictions(judge, tmp_path / "deep" / "read.jsonl")
    assert again.texts(RED) == ("(255, 0, 0)",) and judge.count == 1
    assert again.texts(BLUE) == ("(0, 0, 255)",) and judge.count == 2


def test_another_judge_reads_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "read.jsonl"
    Predictions(CountingJudge("one"), path).texts(RED)
    other = CountingJudge("two")
    Predictions(other, path).texts(RED)
    assert other.count == 1
    assert {json.loads(line)["judge"] for line in path.read_text().splitlines()} == {"one", "two"}


def test_a_torn_line_costs_one_reading_only(tmp_path: Path) -> None:
    path = tmp_path / "read.jsonl"
    Predictions(CountingJudge(), path).texts(RED)
    whole = path.read_bytes()
    Predictions(CountingJudge(), path).texts(BLUE)
    path.write_bytes(path.read_bytes()[: len(whole) + 20])  # killed while writing the second line
    judge = CountingJudge()
    Predictions(judge, path).texts(RED)
    assert judge.count == 0
    Predictions(judge, path).texts(BLUE)
    assert judge.count == 1
    fresh = CountingJudge()
    later = Predictions(fresh, path)
    assert later.texts(RED) == ("(255, 0, 0)",) and later.texts(BLUE) == ("(0, 0, 255)",) and fresh.count == 0


def test_hash_sees_pixels_and_shape_only() -> None:
    assert picture_hash(RED) == picture_hash(RED.convert("RGBA"))
    assert picture_hash(RED) != picture_hash(BLUE)
    assert picture_hash(RED) != picture_hash(RED.resize((4, 16)))


def test_unwritable_cache_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="predictions"):
        Predictions(CountingJudge(), tmp_path / "file" / "read.jsonl").texts(RED)


def test_answers_are_kept_by_picture_question_and_judge(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    memory = AnswerCache("one", path)
    memory.put("red", "Is it red?", "Yes")
    memory.put("red", "What?", "a\u2028b\x85c")  # line ends to Python, not to JSON lines
    memory.put("red", "How good?", [4, 5, 3])
    Predictions(CountingJudge("one"), path).texts(RED)
    again = AnswerCache("one", path)
    assert again.get("red", "Is it red?") == "Yes" and again.get("red", "How good?") == [4, 5, 3]
    assert again.get("red", "What?") == "a\u2028b\x85c"
    assert ("red", "Is it blue?") not in again and ("blue", "Is it red?") not in again
    assert (picture_hash(RED), "") in again, "readings share the file"
    assert ("red", "Is it red?") not in AnswerCache("two", path)
    with pytest.raises(KeyError):
        again.get("blue")


def test_many_threads_keep_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    memory = AnswerCache("one", path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: memory.put(f"picture {i}", "?", "y" * 200), range(200)))
    assert len(path.read_text().splitlines()) == 200
    assert all((f"picture {i}", "?") in AnswerCache("one", path) for i in (0, 99, 199))
