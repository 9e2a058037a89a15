"""A results file: what was measured, on which hardware, when. Every benchmark writes its tables through `write`.

Files are named <date>_<hardware>_<what>.md and lie in bench/results/; a second run on the same day replaces the first.
"""

from __future__ import annotations

import datetime
import platform
import re
import resource
from contextlib import suppress
from pathlib import Path

import torch

from inkwash import __version__
from inkwash.core.device import cpu_features, usable_cores

FOLDER = Path(__file__).parent / "results"


def hardware(device: torch.device | str = "cpu") -> str:
    """One line: the accelerator, or the processor with its cores and what it does with 16-bit numbers."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    features = cpu_features()
    kinds = [name for name, there in (("AVX512-BF16", features.avx512_bf16), ("AMX", features.amx_bf16)) if there]
    return (
        f"{_processor()}, {usable_cores()} cores, {torch.backends.cpu.get_cpu_capability()} {' '.join(kinds)}".strip()
    )


def write(what: str, body: str, device: torch.device | str = "cpu") -> Path:
    """Write one results file and return where it is."""
    FOLDER.mkdir(exist_ok=True)
    short = "cpu" if torch.device(device).type == "cpu" else hardware(device)
    name = f"{_processor().split()[0]}-{short}-{usable_cores()}" if short == "cpu" else short
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = FOLDER / f"{datetime.date.today().isoformat()}_{slug}_{what}.md"
    head = f"# {what}\n\n{hardware(device)}; {torch.get_num_threads()} threads; torch {torch.__version__}; "
    path.write_text(f"{head}inkwash {__version__}; {datetime.date.today().isoformat()}.\n\n{body.strip()}\n", "utf-8")
    return path


def peak_rss() -> int:
    """The most memory this process ever held, in bytes.

    From the system's own high-water mark where there is one: what getrusage says begins with the parent's peak.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)


def present_rss() -> int:
    """What this process holds now, in bytes; its peak where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return peak_rss()
    return int(pages) * resource.getpagesize()


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
