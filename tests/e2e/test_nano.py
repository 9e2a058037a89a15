"""The shipped model: the promises of the README about time, memory and size, and the reader's first commands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from inkwash.media.images import load_image
from inkwash.models.registry import bundled_folder
from tests.e2e.conftest import Command

MAX_BYTES = 60 * 10**6
MAX_RESIDENT = 1.5 * 2**30
MAX_SECONDS, CORES = 10, 2


def test_nano_is_small() -> None:
    size = sum(path.stat().st_size for path in bundled_folder("nano").rglob("*") if path.is_file())
    assert size <= MAX_BYTES


@pytest.mark.slow
def test_a_poster_within_time_and_memory(tmp_path: Path) -> None:
    out = tmp_path / "poster.png"
    line = ["-m", "inkwash", "generate", 'A poster that says "HELLO"', "-o", str(out), "--seed", "7", "--json"]
    line += ["--size", "256x256", "--steps", "20"]
    reader, writer = os.pipe()
    child = os.posix_spawn(
        sys.executable, [sys.executable, *line], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)]
    )
    os.close(writer)
    _, status, usage = os.wait4(child, 0)
    with os.fdopen(reader) as pipe:
        said = json.loads(pipe.read())
    assert os.waitstatus_to_exitcode(status) == 0
    assert load_image(out).size == (256, 256)
    assert said["seconds"] > 0
    assert (
        usage.ru_utime + usage.ru_stime < MAX_SECONDS * CORES
    )  # computing time: waiting for a busy machine is not ours
    assert usage.ru_maxrss * 1024 < MAX_RESIDENT  # Linux counts in KiB


@pytest.mark.slow
def test_doctor_draws_its_picture(command: Command) -> None:
    done = command("doctor")
    assert done.returncode == 0, done.stderr
    assert "ok, 384x384" in done.stdout
