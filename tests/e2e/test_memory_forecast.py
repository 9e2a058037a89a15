"""The memory forecast against a process that draws: the promise of `inkwash doctor --plan`."""

from __future__ import annotations

import sys

import pytest
from bench.memory import row


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from the system")
@pytest.mark.parametrize("profile", ["none", "stage"])
def test_peak_is_within_15_percent(profile: str) -> None:
    error = row("nano", profile, None, "float32", 64, 1)[-1]
    assert abs(float(error.rstrip(" %"))) < 15.0
