"""Where training runs and how fast that chip is: devices, precision, the measured matmul rate.

bf16 autocast is used wherever the chip multiplies faster in it; `precision="fp32"` turns it off, for runs that have to
agree to the last digits.
"""

from __future__ import annotations

import importlib.util
import time
from functools import cache
from typing import Any

import torch

from inkwash.core.device import pick_device


def training_device(name: str | None = None) -> torch.device:
    """The named device, else INKWASH_DEVICE, else the accelerator (cuda, mps, xpu, npu), else the CPU.

    An Ascend NPU is known to torch only after its plug-in has been imported.
    """
    if importlib.util.find_spec("torch_npu") is not None:
        importlib.import_module("torch_npu")
    return pick_device(name)


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """bf16 autocast on accelerators and on CPUs that are faster in it; elsewhere it changes nothing."""
    enabled = precision == "bf16" or (precision == "auto" and (device.type != "cpu" or bf16_pays()))
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


ROUNDS = 6  # of the measurement that compares two number types


@cache
def bf16_pays() -> bool:
    """Whether this CPU multiplies matrices clearly faster in bf16, measured once in some hundredths of a second.

    What the chip calls itself does not tell: with AVX512-bf16 alone one machine ran at half its fp32 rate, another at
    4.7 times; with matrix tiles (AMX) it was 3 to 4 times.
    """
    cpu, best = torch.device("cpu"), {torch.bfloat16: 0.0, torch.float32: 0.0}
    for _ in range(ROUNDS):  # in turns: what else runs for a while must not decide
        for dtype, rate in best.items():
            best[dtype] = max(rate, matmul_rate(cpu, dtype, side=384, repeats=5))
    return best[torch.bfloat16] > 1.3 * best[torch.float32]


def matmul_rate(
    device: torch.device, dtype: torch.dtype = torch.bfloat16, *, side: int | None = None, repeats: int = 10
) -> float:
    """Floating-point operations a second of the fastest of some products of two square matrices."""
    side = side or (1024 if device.type == "cpu" else 8192)
    a = torch.ones(side, side, dtype=dtype, device=device)
    best = 0.0
    for _ in range(repeats):
        synchronize(device)
        begin = time.perf_counter()
        a @ a
        synchronize(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - begin))
    return best


@cache
def peak_rate(device: torch.device) -> float:
    """The chip's own bf16 (where that is faster, else fp32) matmul rate, measured once in a process."""
    wide = device.type == "cpu" and not bf16_pays()
    return matmul_rate(device, torch.float32 if wide else torch.bfloat16)


def synchronize(device: torch.device) -> None:
    """Wait for an accelerator; a CPU has nothing to wait for."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def to_device(value: Any, device: torch.device) -> torch.Tensor:
    """A batch entry (tensor or array) as a tensor on the device."""
    return torch.as_tensor(value).to(device, non_blocking=True)
