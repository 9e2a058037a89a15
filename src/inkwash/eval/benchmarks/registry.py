"""The benchmarks by name: the one list that the command line and the tests loop over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inkwash.eval.benchmarks import cvtg2k, dpg, gedit, geneval, imgedit, longtext, natural, oneig, tiif
from inkwash.eval.benchmarks.benchmark import Benchmark

BENCHMARKS: Mapping[str, Benchmark[Any, Any]] = {
    benchmark.name: benchmark
    for benchmark in (
        cvtg2k.BENCHMARK,
        longtext.ENGLISH,
        longtext.CHINESE,
        oneig.ENGLISH,
        oneig.CHINESE,
        tiif.BENCHMARK,
        dpg.BENCHMARK,
        geneval.BENCHMARK,
        gedit.BENCHMARK,
        imgedit.BENCHMARK,
        natural.BENCHMARK,
    )
}
