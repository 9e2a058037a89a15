"""`inkwash eval natural`: no data is asked for, the first picture has seed 1, another list may be given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.engine.request import DrawRequest
from inkwash.media.images import read_metadata
from tests.unit.eval.benchmarks.test_natural import ReadsShipped


class Pipe:
    """Draws plain pictures and keeps the seeds."""

    seeds: list[int]

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> Pipe:
        return cls()

    def draw(self, requests: list[DrawRequest], **_: Any) -> Any:
        assert requests[0].height is None, "the model's own size"
        Pipe.seeds += [each.seed for each in requests if each.seed is not None]
        return type("Output", (), {"images": [Image.new("RGB", (64, 64), "red") for _ in requests]})()


def test_the_command(inkwash: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pipe.seeds = []
    monkeypatch.setattr("inkwash.eval.readers.Reader", ReadsShipped)
    monkeypatch.setattr("inkwash.engine.pipeline.GlmImagePipeline", Pipe)
    monkeypatch.setattr("inkwash.cli.eval_session.fingerprint", lambda model: "abc")
    monkeypatch.chdir(tmp_path)
    outcome = inkwash("eval", "natural", "--limit", "3", "--json", "s.json", "--html", "p.html", "-q")
    assert outcome.code == 0, outcome.err
    assert Pipe.seeds == [1, 2, 3] and json.loads((tmp_path / "s.json").read_text())["empty_rate"] == 1.0
    assert read_metadata(tmp_path / "drawn" / "natural" / "nano" / "003.png")["seed"] == 3
    (tmp_path / "mine.txt").write_text('a sign "OPEN"\n')
    outcome = inkwash("eval", "natural", "--prompts", "mine.txt", "-q")
    assert outcome.code == 2 and "prompts is None there and 'mine.txt' here" in outcome.err
    outcome = inkwash("eval", "natural", "--prompts", "mine.txt", "--out", "o", "--json", "-", "-q")
    scores = json.loads(outcome.out)
    assert (scores["n"], scores["words"], scores["data"], scores["model"]) == (1, 1, "mine.txt", "nano")
    assert scores["prompts"] == 1
