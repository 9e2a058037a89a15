"""`inkwash generate --verify`: the reading is printed, stands in the JSON and in the file; bad use is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.verify import Reading, attempt_seed
from inkwash.media.images import load_image, read_metadata

PROMPT = 'A poster that says "HELLO"'


class ColourReader:
    """Reads the fake pipeline's colours: its picture is right when its red is the noise of attempt 2."""

    def reading(self, image: Image.Image) -> Reading:
        red = image.getpixel((0, 0))[0]  # type: ignore[index]
        return Reading(lines=("HELLO",) if red == attempt_seed(7, 1, 0) % 256 else ("HALLO",), confidence=0.5)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, pipeline: type[Any]) -> type[Any]:
    monkeypatch.setattr("inkwash.eval.ocr.Reader", ColourReader)
    return pipeline


def test_the_right_attempt_is_kept_and_told(
    inkwash: Callable[..., Any], reader: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.png"
    outcome = inkwash("generate", PROMPT, "-o", out, "--seed", "7", "--verify", "--json")
    assert outcome.code == 0, outcome.err
    [said] = json.loads(outcome.out)["pictures"]
    assert said["verify"]["read"] == ["HELLO"] and said["verify"]["scores"] == [0.8, 0.8, 1.0]
    assert said["seed"] == 7 and said["verify"]["noise_seed"] == attempt_seed(7, 1, 0)
    assert read_metadata(out)["verify"] == said["verify"]
    assert load_image(out).getpixel((0, 0))[0] == attempt_seed(7, 1, 0) % 256  # type: ignore[index]
    calls = [asked for asked in reader.calls if "plan" in asked]
    assert [asked["plan"] is None for asked in calls] == [True, False, True]


def test_the_reading_is_printed(inkwash: Callable[..., Any], reader: type[Any], tmp_path: Path) -> None:
    outcome = inkwash("generate", PROMPT, "-o", tmp_path / "a.png", "--seed", "7", "--verify", "--best-of", "2")
    assert "read back: HALLO (score 0.80, attempt 1 of 2)" in outcome.out
    assert outcome.out.endswith("s\n") and "1 picture in" in outcome.out


def test_words_that_stay_wrong_end_with_three(inkwash: Callable[..., Any], reader: type[Any], tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    outcome = inkwash("generate", PROMPT, "-o", out, "--seed", "7", "--verify", "--tries", "2", "--json")
    assert outcome.code == 3 and outcome.err.count("\n") == 1
    assert f'{out} are still wrong after 2 attempts (asked for "HELLO", read HALLO)' in outcome.err
    [said] = json.loads(outcome.out)["pictures"]
    assert said["verify"]["right"] is False and load_image(out).size == (64, 64)  # the best one is kept
    assert inkwash("generate", PROMPT, "-o", out, "--seed", "7", "--verify").code == 0


def test_edits_are_verified_against_their_picture(
    inkwash: Callable[..., Any], reader: type[Any], tmp_path: Path
) -> None:
    """The source is read as HALLO: HELLO replaces it."""
    Image.new("RGB", (64, 64), "black").save(tmp_path / "in.png")
    arguments = ("edit", 'Replace "HALLO" with "HELLO"', "--image", tmp_path / "in.png", "-o", tmp_path / "a.png")
    outcome = inkwash(*arguments, "--seed", "7", "--verify", "--json")
    assert outcome.code == 0, outcome.err
    [said] = json.loads(outcome.out)["pictures"]
    assert said["verify"]["wanted"] == ["HELLO"] and said["verify"]["attempts"] == 3
    calls = [asked for asked in reader.calls if "plan" in asked]
    assert all(asked["images"][0].size == (64, 64) for asked in calls)
    assert inkwash(*arguments, "--seed", "8", "--verify", "--tries", "2").code == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a poster", "--verify"), "quotes no text"),
        ((PROMPT, "--tries", "2"), "need --verify"),
        ((PROMPT, "--best-of", "2"), "need --verify"),
        ((PROMPT, "--verify", "--tries", "0"), "tries is 0"),
        ((PROMPT, "--verify", "--best-of", "100"), "best_of is 100"),
        ((PROMPT, "--verify", "-n", "2", "--layout", "same"), "--layout same"),
    ],
)
def test_bad_use_is_one_line(
    arguments: tuple[str, ...], says: str, inkwash: Callable[..., Any], pipeline: type[Any], tmp_path: Path
) -> None:
    outcome = inkwash("generate", *arguments, "-o", tmp_path / "a.png")
    assert outcome.code == 2 and says in outcome.err and outcome.err.count("\n") == 1
    assert pipeline.calls == [] and list(tmp_path.iterdir()) == []
