"""The bars follow the engine's stages, and are silent where nobody looks."""

from __future__ import annotations

import pytest

from inkwash.cli.progress import Bars
from inkwash.engine.request import Progress


def report(bars: Bars) -> None:
    with bars:
        bars.move("load", 0, None)
        bars.move("load", 1, 1)
        for stage in ("prior", "denoise", "a stage of tomorrow"):
            for done in range(4):
                bars(Progress(stage, done, 3))


def test_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    report(Bars(visible=True))
    captured = capsys.readouterr()
    assert not captured.out
    for word in ("Planning (tokens)", "Drawing (steps)", "a stage of tomorrow", "3/3"):
        assert word in captured.err


def test_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(Bars())
    captured = capsys.readouterr()
    assert not captured.out and not captured.err.strip()
