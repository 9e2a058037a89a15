"""`inkwash eval`: bad input is one line and exit code 2, before any work; good input gives the promised keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.cli.eval_session import parse_regions
from inkwash.eval import bench  # noqa: F401  (before the reader is exchanged)
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.tasks.scenes import held_out
from inkwash.scenes.render import render


class KnowingReader:
    """Reads the truth of the first scenes of seed 0 at 128 x 128, and nothing else."""

    name = "knowing"

    def __init__(self, config: ReaderConfig) -> None:
        assert config == ReaderConfig()
        scenes = [case.scene for case in held_out(30, width=128, height=128)]
        self.known = {render(scene).tobytes(): [text.text for text in scene.texts] for scene in scenes}

    def texts(self, image: Image.Image) -> list[str]:
        return self.known.get(image.tobytes(), [])


@pytest.fixture
def knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.eval.ocr.Reader", KnowingReader)


TRUTH = ("eval", "scenes", "--source", "truth", "-n", "4", "--size", "128x128", "--level", "first")


@pytest.mark.usefixtures("knowing")
def test_scores_as_json_and_page(inkwash: Callable[..., Any], tmp_path: Path) -> None:
    scores, page = tmp_path / "scores.json", tmp_path / "page.html"
    outcome = inkwash(*TRUTH, "--json", scores, "--html", page)
    assert outcome.code == 0, outcome.err
    numbers = json.loads(scores.read_text())
    assert {"word_accuracy", "ned", "background_accuracy", "per_regions", "n"} <= set(numbers)
    assert numbers["word_accuracy"] == 1.0 and numbers["n"] == 4 and numbers["judge"] == "knowing"
    assert "word accuracy" in outcome.out and "1.0000" in outcome.out
    assert page.read_text().count("<article") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "scores.json"]


@pytest.mark.usefixtures("knowing")
def test_json_on_stdout_is_alone_there(inkwash: Callable[..., Any]) -> None:
    outcome = inkwash(*TRUTH, "--json", "-")
    assert outcome.code == 0
    assert json.loads(outcome.out)["n"] == 4


BAD = [
    (("-n", "0"), "n is 0"),
    (("--regions", "two"), "1-2"),
    (("--regions", "3-1"), "lowest first"),
    (("--source", "magic"), "ar, teacher, vae, truth"),
    (("--size", "100x100"), "multiple of 32"),
    (("--guidance", "nan"), "guidance is nan"),
    (("--steps", "-3"), "steps"),
    (("--images", "nowhere"), "not a folder"),
    (("--json", "no/such/folder/x.json"), "no folder"),
    (("--html", "."), "is a folder"),
    (("--images", ".", "--out", "."), "give one"),
]


@pytest.mark.usefixtures("knowing")
@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    says: str,
    inkwash: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = inkwash(*TRUTH, *arguments)
    assert outcome.code == 2
    assert says in outcome.err and outcome.err.count("\n") == 1 and outcome.out == ""
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_fetched_for_a_bad_request(inkwash: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.models.registry.resolve", lambda name: pytest.fail("the model was fetched"))
    assert inkwash("eval", "scenes", "-n", "0").code == 2
    assert inkwash("eval", "edits", "--kinds", "dance").code == 2


@pytest.mark.usefixtures("knowing")
def test_an_unknown_model_is_named(inkwash: Callable[..., Any]) -> None:
    outcome = inkwash("eval", "scenes", "-n", "1", "--model", "nanoo", "--level", "first")
    assert outcome.code == 2 and "nanoo" in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.usefixtures("knowing")
def test_finished_pictures_may_be_of_a_model_with_any_name(inkwash: Callable[..., Any], tmp_path: Path) -> None:
    for task in ("scenes", "edits"):
        outcome = inkwash("eval", task, "-n", "1", "--model", "nanoo", "--level", "first", "--images", tmp_path)
        assert outcome.code == 2 and "nanoo" not in outcome.err and "00000.png" in outcome.err


def test_unknown_kinds_of_edits_are_named(inkwash: Callable[..., Any], tmp_path: Path) -> None:
    outcome = inkwash("eval", "edits", "-n", "1", "--images", tmp_path, "--kinds", "background,dance")
    assert outcome.code == 2 and "dance" in outcome.err and "recolor" in outcome.err


def test_regions_are_a_range_or_one_number() -> None:
    assert parse_regions("1-2") == (1, 2) == parse_regions(" 1 - 2 ")
    assert parse_regions("3") == (3, 3)
