"""The command answers at once."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

LIMIT = 0.3


def processor_seconds(*arguments: str) -> float:
    """Time a command computes; the time it waits for a busy machine is not its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "inkwash", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_the_overview_takes_less_than_a_third_of_a_second(arguments: list[str]) -> None:
    seconds = [processor_seconds(*arguments) for _ in range(3)]
    assert min(seconds) < LIMIT, seconds
