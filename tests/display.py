"""A display of one's own for tests: Xvfb, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

WIDTH, HEIGHT = 800, 600


@pytest.fixture(scope="session")
def xvfb() -> Iterator[str]:
    """The name of a display of 800x600 pixels with nothing on it."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed here (Debian: apt install xvfb)")
    pytest.importorskip("mss", reason="the extra desk is not installed")
    reading, writing = os.pipe()
    arguments = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        f"{WIDTH}x{HEIGHT}x24",
        "-nolisten",
        "tcp",
        "-noreset",
    ]
    with subprocess.Popen(arguments, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        assert number.isdecimal(), "Xvfb did not start"
        yield f":{number}"
        process.terminate()


@pytest.fixture
def display(xvfb: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, for whatever reads the environment."""
    monkeypatch.setenv("DISPLAY", xvfb)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    return xvfb
