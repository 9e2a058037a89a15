"""Whole commands as a user types them, in their own process, on a tiny checkpoint and on the shipped one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parity.tiny import make_tiny_reference

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with random weights, small enough that a picture takes a moment."""
    return make_tiny_reference(tmp_path_factory.mktemp("e2e") / "tiny")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `inkwash` with arguments in an empty folder."""

    def call(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "inkwash", *map(str, arguments)]
        return subprocess.run(line, cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=300)

    return call
