"""What the hardware at hand gives at best, measured: bytes read from memory, and matrix arithmetic."""

from __future__ import annotations

import time

import torch


def read_rate(size: int, dtype: torch.dtype, repeats: int = 8) -> float:
    """Bytes a second of reading `size` bytes of weights over and over, as matrix-vector products do."""
    width = 1024
    rows = max(1, size // (width * dtype.itemsize))
    weight, vector = torch.zeros(rows, width, dtype=dtype), torch.zeros(width, dtype=dtype)
    return rows * width * dtype.itemsize / _best(lambda: weight @ vector, repeats)


def matmul_rate(dtype: torch.dtype, side: int = 1024, repeats: int = 8) -> float:
    """Floating-point operations a second of a square product."""
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    return 2 * side**3 / _best(lambda: a @ b, repeats)


def _best(work: object, repeats: int) -> float:
    assert callable(work)
    times = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return min(times)
