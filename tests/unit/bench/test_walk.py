"""How much of the package one picture enters stays small, and the measuring counts what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from bench import walk

# 46 and 481 were reached (docs/log.md); a change that needs more than the slack here says why there.
MOST_FILES, MOST_FUNCTIONS, MOST_CLIMBS = 49, 535, 3


@pytest.mark.slow
def test_one_picture_enters_few_files_and_functions() -> None:
    """In a process of its own: modules that others have imported already would not be entered."""
    done = subprocess.run([sys.executable, "-m", "bench.walk"], capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()[-1].replace(",", "").split()
    files, functions, climbs = (int(word) for word in words if word.isdigit())
    assert 30 < files <= MOST_FILES and 200 < functions <= MOST_FUNCTIONS and 1 <= climbs <= MOST_CLIMBS


def test_functions_with_names_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "ROOT", Path(__file__).parent)

    def twice(number: int) -> list[int]:
        return [2 * each for each in range(number)]

    def work() -> None:
        twice(3)
        twice(4)
        sorted([2, 1], key=lambda each: -each)

    found = walk.entered(work)
    names = [name.rpartition(".")[2] for name in found.files[Path(__file__).name]]
    assert names == ["work", "twice"]
