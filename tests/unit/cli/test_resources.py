"""--quality, --offload and --quantize reach the pipeline, are said aloud and are refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.cli.conftest import FakePipeline, Outcome

Run = Callable[..., Outcome]


def test_they_reach_the_pipeline_and_are_said(inkwash: Run, pipeline: type[FakePipeline], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    choices = ("--quality", "low", "--offload", "stage", "--quantize", "decoder=int8", "--steps", "10", "--compile")
    outcome = inkwash("generate", "a", "-o", file, *choices)
    assert outcome.code == 0
    loaded, compiled, asked = pipeline.calls
    assert compiled == {"compile": True}
    assert (loaded["offload"], loaded["quantize"]) == ("stage", "decoder=int8")
    assert (asked["quality"], asked["num_inference_steps"]) == ("low", 10)
    assert "quality low: 6 of 10 steps" in outcome.out and "weights rounded: decoder=int8" in outcome.out
    noted = json.dumps(Image.open(file).text)  # type: ignore[attr-defined]
    assert "low" in noted and "decoder=int8" in noted and "compiled" in noted


def test_an_exact_drawing_says_nothing_of_it(inkwash: Run, pipeline: type[FakePipeline], tmp_path: Path) -> None:
    outcome = inkwash("generate", "a", "-o", tmp_path / "a.png")
    assert outcome.code == 0 and "quality" not in outcome.out and "rounded" not in outcome.out
    assert pipeline.calls[0]["offload"] == "auto" and pipeline.calls[1]["quality"] == "exact"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generate", "a", "--quality", "best"), "low"),
        (("generate", "a", "--offload", "disk"), "stage"),
        (("generate", "a", "--quantize", "int3"), "int8"),
        (("generate", "a", "--compile", "--offload", "block"), "--offload stage"),
        (("doctor", "--size", "64x64"), "--plan"),
        (("doctor", "--plan", "no-such-model"), "no-such-model"),
    ],
)
def test_bad_values_are_refused(inkwash: Run, arguments: tuple[str, ...], said: str) -> None:
    outcome = inkwash(*arguments)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1


@pytest.mark.slow
def test_a_plan_has_a_line_for_every_way(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.loads(inkwash("doctor", "--plan", "nano", "--size", "64x64", "--device", "cpu", "--json").out)
    assert said["size"] == "64x64" and said["steps"] == 14
    plans = {(row["offload"], row["quantize"]): row for row in said["plans"]}
    assert len(plans) == 6 and all(row["fits"] for row in plans.values())
    assert plans["none", "none"]["peak_gb"] >= plans["stage", "none"]["peak_gb"] > 0.1
    assert plans["block", "none"]["seconds"] >= plans["none", "none"]["seconds"] > 0
