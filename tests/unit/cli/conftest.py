"""A pipeline that draws flat colours at once, so that the command line is tested without a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.cli.app import run
from inkwash.engine.request import Progress


@dataclass
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def inkwash(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs one command line in this process."""

    def call(*arguments: str | Path) -> Outcome:
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return call


class FakePipeline:
    """Records its calls; the picture's colour is its seed."""

    calls: list[dict[str, Any]]
    failure: Exception | None

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> FakePipeline:
        pipe = cls()
        pipe.calls, pipe.failure = cls.calls, cls.failure
        cls.calls.append({"name": name, **options})
        return pipe

    def compile(self) -> None:
        self.calls.append({"compile": True})

    def __call__(self, **asked: Any) -> Any:
        self.calls.append(asked)
        if self.failure is not None:
            raise self.failure
        for stage in ("prior", "denoise"):
            for done in range(4):
                asked["progress"](Progress(stage, done, 3))
        size = (asked["width"] or 64, asked["height"] or 64)
        made = [Image.new("RGB", size, (each.initial_seed() % 256, 0, 0)) for each in asked["generator"]]

        class Output:
            images = made

        return Output()


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> type[FakePipeline]:
    """Puts the fake pipeline in the place of the real one, with every model name known."""
    FakePipeline.calls, FakePipeline.failure = [], None
    monkeypatch.setattr("inkwash.engine.pipeline.GlmImagePipeline", FakePipeline)
    monkeypatch.setattr("inkwash.cli.draw.check_model", lambda name: None)
    return FakePipeline
