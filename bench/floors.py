"""What the hardware at hand gives at best, measured: bytes read from memory, and matrix arithmetic.

Each is the best of several ways to do it, on as many threads as torch has, so that a percentage of it flatters nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from inkwash.nn.linear import linear


def read_rate(size: int, repeats: int = 12) -> float:
    """Bytes a second of reading `size` bytes over and over; what fits in a cache comes from there."""
    weights = torch.zeros(max(1, size // 4))
    matrix = weights[: weights.numel() // 1024 * 1024].view(-1, 1024)
    ways: list[Callable[[], object]] = [weights.sum]
    if len(matrix):
        vector = torch.zeros(1024)
        ways.append(lambda: matrix @ vector)
    return size / min(_best(way, repeats) for way in ways)


def matmul_rate(dtype: torch.dtype, side: int = 1024, repeats: int = 8) -> float:
    """Floating-point operations a second of a square product, by torch's own kernel or by oneDNN's."""
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    ways: tuple[Callable[[], object], ...] = (lambda: a @ b, lambda: linear(a, b, None))
    return 2 * side**3 / min(_best(way, repeats) for way in ways)


def _best(work: Callable[[], object], repeats: int) -> float:
    times = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return min(times)
