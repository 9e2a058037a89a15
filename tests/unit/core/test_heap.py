"""What a process that keeps freed memory gives back when asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

GAPS = """
import numpy as np
from inkwash.core.heap import hold_memory, release_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

assert hold_memory()
blocks = [np.ones(250_000) for _ in range(150)]  # 300 MB of 2 MB blocks, and every tenth stays, the last one too
blocks = blocks[9::10]
held = resident()
assert release_memory()
print(held, resident(), 2 * len(blocks))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc and /proc")
def test_memory_between_what_is_still_used_is_given_back() -> None:
    output = subprocess.run([sys.executable, "-c", GAPS], capture_output=True, text=True, check=True).stdout
    held, left, used = map(float, output.split())
    assert held > 300 and left < held - 0.8 * (300 - used)
