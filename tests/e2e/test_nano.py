"""The shipped model: the promises of the README about time, memory and size, and the reader's first commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inkwash.media.images import load_image
from inkwash.models.registry import bundled_folder
from tests.e2e.conftest import Command

MAX_BYTES = 90 * 10**6
MAX_RESIDENT = 1.2 * 10**9
MAX_SECONDS, CORES = 10, 2
# A small process measures: what a large one starts begins with the peak of its parent.
MEASURED = """
import json, resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
unit = 1 if sys.platform == "darwin" else 1024
print("\\f" + json.dumps({"cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}))
sys.exit(status)
"""


def test_nano_is_small() -> None:
    size = sum(path.stat().st_size for path in bundled_folder("nano").rglob("*") if path.is_file())
    assert size <= MAX_BYTES


@pytest.mark.slow
def test_a_poster_within_time_and_memory(tmp_path: Path) -> None:
    out = tmp_path / "poster.png"
    line = ["-m", "inkwash", "generate", 'A poster that says "HELLO"', "-o", str(out), "--seed", "7", "--json"]
    line += ["--size", "256x256", "--steps", "20"]
    done = subprocess.run([sys.executable, "-c", MEASURED, sys.executable, *line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, usage = (json.loads(part) for part in done.stdout.split("\f"))
    assert load_image(out).size == (256, 256)
    assert said["seconds"] > 0
    assert usage["cpu"] < MAX_SECONDS * CORES  # computing time: waiting for a busy machine is not ours
    assert usage["peak"] < MAX_RESIDENT


@pytest.mark.slow
def test_doctor_draws_its_picture(command: Command) -> None:
    done = command("doctor")
    assert done.returncode == 0, done.stderr
    assert "ok, 384x384" in done.stdout
