"""`inkwash eval cvtg2k` and `longtext-en|zh`: finished pictures in, numbers out, bad input in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.eval.benchmarks import cvtg2k, longtext
from inkwash.eval.benchmarks.self_check import render_texts
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.predictions import picture_hash
from tests.unit.eval.benchmarks import official
from tests.unit.eval.benchmarks.stand_in import Status, pictures_of, serving


class KnowingReader:
    """Reads the rendered texts of the made-up CVTG-2K, and the same words in every other picture but grey ones."""

    name = "knowing"

    def __init__(self, config: ReaderConfig) -> None:
        assert not config.join_tracking

    def texts(self, image: Image.Image) -> list[str]:
        return [] if image.getpixel((0, 0)) == (128, 128, 128) else ["Grand Opening", "50 percent"]


@pytest.fixture
def cvtg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setattr("inkwash.eval.readers.Reader", KnowingReader)
    data, drawn = official.cvtg2k(tmp_path / "data"), tmp_path / "drawn"
    for number, prompt in enumerate(cvtg2k.read_prompts(data)):
        official.picture(drawn / prompt.image_path.example, "gray" if number == 3 else "white")
    return "eval", "cvtg2k", "--data", str(data), "--images", str(drawn)


def test_scores_page_and_official_file(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    scores, page, results = tmp_path / "s.json", tmp_path / "p.html", tmp_path / "o.json"
    outcome = inkwash(*cvtg, "--json", scores, "--html", page, "--official", results)
    assert outcome.code == 0, outcome.err
    numbers = json.loads(scores.read_text())
    assert numbers["word_accuracy"] == 0.9375 and numbers["n"] == 16 and numbers["judge"] == "knowing"
    assert numbers["measures"]["cvtg2k.word_accuracy[knowing]"] == 0.9375
    assert "0.9375" in outcome.out and "truth share read: 1.0000" in outcome.out
    assert page.read_text().count("<article") == 16 and "GLM-Image" in page.read_text()
    assert json.loads(results.read_text())["overall_results"]["correct_words"] == 60
    assert (tmp_path / "drawn" / "predictions.jsonl").exists()


def test_json_on_stdout_is_alone_there(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    outcome = inkwash(*cvtg, "--limit", "8", "--json", "-", "--cache", tmp_path / "c.jsonl")
    assert json.loads(outcome.out)["n"] == 8
    assert (tmp_path / "c.jsonl").exists() and not (tmp_path / "drawn" / "predictions.jsonl").exists()


def test_a_removed_picture_is_named(inkwash: Callable[..., Any], cvtg: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "drawn" / "CVTG" / "4" / "14.png").unlink()
    outcome = inkwash(*cvtg)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and "CVTG/4/14.png" in outcome.err
    assert outcome.out == "" and not (tmp_path / "drawn" / "predictions.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--limit", "0"), "limit is 0"),
        (("--judge-url", "http://localhost:1/v1"), "both or neither"),
        (("--judge-model", "m"), "both or neither"),
        (("--judge-model", "m", "--judge-url", "localhost:1"), "http://localhost:8000/v1"),
        (("--json", "no/such/folder/x.json"), "no folder"),
        (("--data", "nowhere"), "cannot read nowhere"),
        (("--images", "nowhere"), "not a folder"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    says: str,
    inkwash: Callable[..., Any],
    cvtg: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = inkwash(*cvtg, *arguments)
    assert outcome.code == 2
    assert says in outcome.err and outcome.err.count("\n") == 1 and outcome.out == ""


@pytest.mark.slow
def test_a_vision_model_reads_longtext(
    inkwash: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real HTTP: the judge proves itself, reads in parallel through some faults, and a second run asks nothing."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("INKWASH_JUDGE_KEY", "secret")
    monkeypatch.setattr("inkwash.eval.readers.Reader", lambda config: pytest.fail("the OCR reader was loaded"))
    prompts = longtext.read_prompts(official.longtext(tmp_path / "data"), "en")
    known: dict[str, str] = {}
    for number, prompt in enumerate(prompts):
        lines = "\n".join(prompt.wanted)
        rendered = render_texts(prompt.wanted)
        assert rendered is not None
        known[picture_hash(rendered)] = lines
        place = official.picture(tmp_path / "drawn" / prompt.image_paths()[0].example, (number, 0, 0))
        known[picture_hash(Image.open(place))] = lines if number else "No text recognized."

    def script(body: dict[str, Any], number: int) -> Any:
        return Status(429, Retry_After="0") if number % 3 == 0 else known[picture_hash(pictures_of(body)[0])]

    with serving(script) as server:
        command = ("eval", "longtext-en", "--data", tmp_path / "data", "--images", tmp_path / "drawn")
        judge = ("--judge-url", server.url, "--judge-model", "Qwen2.5-VL", "--samples", "1", "--json", "-")
        outcome = inkwash(*command, *judge)
        assert outcome.code == 0, outcome.err
        numbers = json.loads(outcome.out)
        units = [len(longtext.units(" ".join(prompt.wanted), "en")) for prompt in prompts]
        assert numbers["text_score"] == pytest.approx(1 - units[0] / sum(units), abs=1e-6)
        assert numbers["judge"].startswith("qwen2.5-vl[") and server.headers[0]["Authorization"] == "Bearer secret"
        asked = server.count
        assert json.loads(inkwash(*command, *judge).out) == numbers and server.count == asked


def test_a_dead_judge_is_one_line(
    inkwash: Callable[..., Any], cvtg: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(lambda body, number: Status(401, '{"error": {"message": "bad key"}}')) as server:
        outcome = inkwash(*cvtg, "--judge-url", server.url, "--judge-model", "m")
        assert outcome.code == 1 and outcome.err.count("\n") == 1 and "bad key" in outcome.err
        assert server.count == 1
