"""`inkwash eval TASK` that draws: folder, scores, page and JSON; resuming; `compare`; every option that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.request import DrawRequest
from inkwash.eval.benchmarks import cvtg2k
from inkwash.eval.benchmarks.self_check import render_texts
from inkwash.eval.ocr import ReaderConfig
from inkwash.media.images import read_metadata
from tests.unit.eval.benchmarks import official


class Pipe:
    """Draws the texts of a prompt, each picture with its seed in a corner; stops when it is told to."""

    drawn: int
    limit: int

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> Pipe:
        return cls()

    def draw(self, requests: list[DrawRequest], **_: Any) -> Any:
        images = []
        for each in requests:
            assert each.seed is not None
            if Pipe.drawn == Pipe.limit:
                raise KeyboardInterrupt
            Pipe.drawn += 1
            image = render_texts(cvtg2k.quoted(each.prompt)) or Image.new("RGB", (64, 64), "white")
            image.putpixel((0, 0), (each.seed % 256, 0, 0))
            images.append(image)
        return type("Output", (), {"images": images})()


class Eyes:
    """Reads every picture alike."""

    name = "eyes[v1]"
    read = 0

    def __init__(self, config: ReaderConfig | None = None) -> None:
        pass

    def texts(self, image: Image.Image) -> list[str]:
        Eyes.read += 1
        return ["Grand Opening", "50 percent"]


@pytest.fixture
def cvtg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    Pipe.drawn, Pipe.limit, Eyes.read = 0, -1, 0
    monkeypatch.setattr("inkwash.eval.readers.Reader", Eyes)
    monkeypatch.setattr("inkwash.engine.pipeline.GlmImagePipeline", Pipe)
    monkeypatch.setattr("inkwash.cli.eval_session.fingerprint", lambda model: "abc")
    monkeypatch.chdir(tmp_path)
    return "eval", "cvtg2k", "--data", str(official.cvtg2k(tmp_path / "data")), "--quiet"


def test_drawn_scored_and_told(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    outcome = inkwash(*cvtg, "--json", "s.json", "--html", "p.html", "--steps", "3")
    assert outcome.code == 0, outcome.err
    folder, scores = tmp_path / "drawn" / "cvtg2k" / "nano", json.loads((tmp_path / "s.json").read_text())
    assert scores["word_accuracy"] == 1.0 and scores["n"] == 16 == Pipe.drawn
    assert (scores["model"], scores["fingerprint"], scores["steps"], scores["seed"]) == ("nano", "abc", 3, 0)
    assert json.loads((folder / "scores.json").read_text()) == scores
    assert {"settings.json", "predictions.jsonl", "CVTG", "CVTG-Style"} <= {path.name for path in folder.iterdir()}
    assert read_metadata(folder / "CVTG" / "2" / "12.png")["steps"] == 3
    page = (tmp_path / "p.html").read_text()
    assert "<td>nano</td>" in page and "by number of texts" in page and page.count("<article") == 16
    assert "per prompt" not in outcome.out and "judges" not in outcome.out


def test_killed_and_resumed_without_redoing(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    Pipe.limit = 5
    assert inkwash(*cvtg, "--out", "o").code == 130
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o").rglob("*.png")}
    assert len(before) == 5
    Pipe.limit = -1
    assert inkwash(*cvtg, "--out", "o").code == 0 and Pipe.drawn == 16
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    asked = Eyes.read
    (tmp_path / "o" / "CVTG" / "4" / "14.png").unlink()
    outcome = inkwash(*cvtg, "--images", "o")
    assert outcome.code == 2 and "CVTG/4/14.png" in outcome.err and Pipe.drawn == 16
    assert inkwash(*cvtg, "--out", "o").code == 0 and Pipe.drawn == 17  # the same picture again
    assert Eyes.read == asked
    outcome = inkwash(*cvtg, "--out", "o", "--steps", "9")
    assert outcome.code == 2 and "steps is 14 there and 9 here" in outcome.err


def test_draw_only_leaves_the_scoring_to_others(
    inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = inkwash(*cvtg, "--draw-only", "--out", "o", "--limit", "8")
    assert outcome.code == 0 and "official scripts" in outcome.out and Eyes.read == 0
    assert len(list((tmp_path / "o").rglob("*.png"))) == 8


def test_grids_and_the_models_name_in_the_layout(
    inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path
) -> None:
    data = official.oneig(tmp_path / "oneig")
    outcome = inkwash("eval", "oneig-en", "--data", data, "--out", "o", "--draw-only", "--limit", "5", "-q")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "o" / "anime" / "nano" / "000.webp").is_file() and Pipe.drawn == 20


def test_two_runs_are_compared(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    assert inkwash(*cvtg, "--json", "a.json").code == 0
    scores = json.loads((tmp_path / "a.json").read_text())
    for unit in scores["per_prompt"]:
        unit["word_accuracy"][0] -= 1
    (tmp_path / "b.json").write_text(json.dumps(scores))
    outcome = inkwash("eval", "compare", "drawn/cvtg2k/nano", "b.json", "--json", "c.json")
    assert outcome.code == 0, outcome.err
    assert "-0.2500 *" in outcome.out and "eyes[v1]" in outcome.out
    found = json.loads((tmp_path / "c.json").read_text())["metrics"]["word_accuracy"]
    assert (found["a"], found["b"], found["difference"], found["prompts"]) == (1.0, 0.75, -0.25, 16)
    assert json.loads(inkwash("eval", "compare", "a.json", "a.json", "--json", "-").out)["task"] == "cvtg2k"
    scores["judges"]["word_accuracy"] = "other"
    (tmp_path / "b.json").write_text(json.dumps(scores))
    outcome = inkwash("eval", "compare", "a.json", "b.json")
    assert outcome.code == 2 and "same judge" in outcome.err and outcome.err.count("\n") == 1


BAD = [
    (("cvtg2k", "--images", "i", "--out", "o"), "give one of them"),
    (("cvtg2k", "--reader", "easyocr"), "rapidocr, rapidocr-v4, tesseract, paddle"),
    (("cvtg2k", "--reader", "paddle"), "belong together"),
    (("cvtg2k", "--weights", "clip"), "NAME=PATH"),
    (("cvtg2k", "--weights", "clap=data"), "no weights named 'clap'"),
    (("cvtg2k", "--size", "100x100"), "multiple of 32"),
    (("cvtg2k", "--steps", "0"), "steps"),
    (("cvtg2k", "--batch", "0"), "batch is 0"),
    (("cvtg2k", "--workers", "0"), "workers is 0"),
    (("tiif", "--split", "mini"), "testmini, test"),
    (("dpg", "--mode", "mended"), "official, fixed"),
    (("oneig-en", "--dimensions", "beauty"), "alignment, text"),
    (("gedit", "--language", "zh"), "en, cn"),
    (("tiif",), "--judge-url"),
    (("compare", "no.json", "no.json"), "cannot read the scores"),
    (("compare", "no.json", "no.json", "--seed", "-1"), "seed is -1"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], says: str, inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path
) -> None:
    data = () if arguments[0] == "compare" else ("--data", str(official.tiif(tmp_path / "data", ("text",))))
    outcome = inkwash("eval", *arguments, *data)
    assert outcome.code == 2
    assert says in outcome.err and outcome.err.count("\n") == 1 and outcome.out == ""
    assert Pipe.drawn == 0 and not (tmp_path / "drawn").exists()


def test_options_without_meaning_are_unknown_to_a_benchmark(inkwash: Callable[..., Any], cvtg: tuple[str, ...]) -> None:
    for task, option in (("cvtg2k", "--samples"), ("geneval", "--split"), ("tiif", "--weights"), ("dpg", "--reader")):
        outcome = inkwash("eval", task, "--data", "data", option, "1")
        assert outcome.code == 2 and "No such option" in outcome.err
