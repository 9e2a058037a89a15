"""Where and how to compute: device, number type and CPU threads. Torch is imported inside the functions.

On a CPU the default number type is float32, because a picture must be the same alone and in any batch there; on an
accelerator it is bfloat16, the type the released weights are stored in.

Small matrix products and the steps of a small generator gain nothing from a second thread, and some kernels split a sum
by the number of threads, which would let a picture's last bits depend on it (docs/numerics.md): they run in
`one_thread`. Two large pieces of work that do not need each other are quicker `side_by_side` than with all threads
inside each of their kernels, since nobody waits for anybody between two kernels.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inkwash.core import env
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    import torch


DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class CpuFeatures:
    """What the processor can do with 16-bit numbers; without either, bfloat16 is slower than float32."""

    avx512_bf16: bool
    amx_bf16: bool

    @property
    def bf16(self) -> bool:
        """Whether bfloat16 matrix products run in hardware."""
        return self.avx512_bf16 or self.amx_bf16


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> CpuFeatures:
    """Reads the processor's flags; on systems without that file nothing is claimed."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    flags = next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())
    return CpuFeatures(avx512_bf16="avx512_bf16" in flags, amx_bf16={"amx_bf16", "amx_tile"} <= flags)


def usable_cores(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores this process may use: its affinity, and the container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cpu_max.read_text(encoding="utf-8").split()
        cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or the word "max": no quota
        pass
    return cores


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken: of the device, or of the machine and the container around this process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text(encoding="utf-8") for name in ("memory.max", "memory.current"))
        given_back = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        found = min(found, int(limit) - int(used) + int(given_back.get("inactive_file", 0)))
    return max(found, 0)


def set_threads() -> int:
    """Sets torch's CPU threads: INKWASH_THREADS, else OMP_NUM_THREADS, else the usable cores. Returns the number."""
    import torch

    wanted = env.threads()
    if wanted is None and not os.environ.get("OMP_NUM_THREADS"):
        wanted = usable_cores()
    if wanted is not None and wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, else INKWASH_DEVICE, else the accelerator, else the CPU.

    Raises ConfigError for a name that torch does not know or a device that is not there.
    """
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    chosen = name or os.environ.get("INKWASH_DEVICE", "").strip() or accelerator or "cpu"
    available = ", ".join(["cpu", *([str(accelerator.type)] if accelerator else [])])
    try:
        device = torch.device(chosen)
    except RuntimeError:
        raise ConfigError(f"The device {str(chosen)!r} is unknown: this machine has {available}.") from None
    if device.type in ("cpu", "meta"):
        return device
    count = torch.accelerator.device_count() if accelerator and accelerator.type == device.type else 0
    if (device.index or 0) >= count:
        raise ConfigError(f"The device {str(device)!r} is not there: this machine has {available}.")
    return device


def pick_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The named number type, else float32 on a CPU and bfloat16 elsewhere; raises ConfigError for other names."""
    import torch

    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if dtype not in DTYPES:
        raise ConfigError(f"The number type {dtype!r} is unknown: it must be one of {', '.join(DTYPES)}.")
    found = getattr(torch, dtype)
    assert isinstance(found, torch.dtype)
    return found


def return_memory(device: torch.device) -> None:
    """Return freed memory to the system, or to the device's driver; allocators keep it otherwise."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        with suppress(AttributeError, OSError):  # a C library without it
            ctypes.CDLL(None).malloc_trim(0)


A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One thread for torch's kernels on a CPU; nothing on an accelerator, or where there is only one."""
    import torch

    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Both results; each on half of this thread's CPU threads, or one after the other if there is only one."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        return first(), second()
    share = threads // 2

    def other() -> B:
        if torch.get_num_threads() != share:
            torch.set_num_threads(share)
        return second()

    torch.set_num_threads(threads - share)
    try:
        coming = _helpers().submit(other)
        try:
            mine = first()
        finally:
            coming.exception()  # waits: the memory it works on is in use
        return mine, coming.result()
    finally:
        torch.set_num_threads(threads)


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(32, thread_name_prefix="inkwash-half")
