"""Runs of the registered benchmarks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inkwash.eval.benchmarks.benchmark import BenchmarkRun
from inkwash.eval.benchmarks.registry import BENCHMARKS


def run_of(task: str, *, data: Path, images: Path, **settings: Any) -> BenchmarkRun[Any]:
    """A run of one benchmark; `settings` are those of a run and the benchmark's own options."""
    return BENCHMARKS[task].run(data=data, images=images, **settings)
