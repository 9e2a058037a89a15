"""Where training runs and in which precision: bf16 autocast wherever the chip is faster in it."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import torch


def autocast(device: torch.device) -> torch.autocast:
    """bf16 autocast on accelerators and on CPUs that are faster in it; elsewhere it changes nothing."""
    enabled = device.type != "cpu" or bf16_pays()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@cache
def bf16_pays() -> bool:
    """Whether this CPU multiplies matrices clearly faster in bf16, measured once in some milliseconds.

    What the chip calls itself does not tell: with AVX512-bf16 alone one machine ran at half its fp32 rate, another at
    4.7 times; with matrix tiles (AMX) it was 3 to 4 times.
    """
    return 1.3 * _seconds(torch.bfloat16) < _seconds(torch.float32)


def _seconds(dtype: torch.dtype, side: int = 384, repeats: int = 5) -> float:
    """The shortest time of some products of two square matrices."""
    a = torch.ones(side, side, dtype=dtype)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begin)
    return min(times)


def to_device(value: Any, device: torch.device) -> torch.Tensor:
    """A batch entry (tensor or array) as a tensor on the device."""
    return torch.as_tensor(value).to(device, non_blocking=True)
