"""A pipeline that draws flat colours at once, so that the command line is tested without a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from inkwash.cli.app import run
from inkwash.engine.request import DrawRequest, Progress


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
    placement = None

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> FakePipeline:
        pipe = cls()
        pipe.calls, pipe.failure = cls.calls, cls.failure
        cls.calls.append({"name": name, **options})
        return pipe

    def compile(self) -> None:
        self.calls.append({"compile": True})

    def draw(self, request: DrawRequest, *, plan: Any = None, progress: Any = None, cancel: Any = None) -> Any:
        self.calls.append({**vars(request), "plan": plan})
        if self.failure is not None:
            raise self.failure
        for stage in ("prior", "denoise"):
            for done in range(4):
                progress(Progress(stage, done, 3))
        size = (request.width or 64, request.height or 64)
        assert request.seed is not None
        made = [Image.new("RGB", size, ((request.seed + k) % 256, 0, 0)) for k in range(request.num_images)]
        return SimpleNamespace(images=made, plan=plan or object())


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> type[FakePipeline]:
    """Puts the fake pipeline in the place of the real one, with every model name known."""
    FakePipeline.calls, FakePipeline.failure = [], None
    monkeypatch.setattr("inkwash.engine.pipeline.GlmImagePipeline", FakePipeline)
    monkeypatch.setattr("inkwash.cli.draw.check_model", lambda name: None)
    return FakePipeline
