"""How much of this package one picture enters: the files and functions that `inkwash generate` calls.

    python -m bench.walk            # the figures
    python -m bench.walk --list     # and every function, file by file, in the order of their first calls

A function is one with a name (`def`); comprehensions, lambdas and class bodies are not counted, since whether they are
functions of their own depends on the version of Python. Counted are calls of the process's main and worker threads from
the command line on, with the bundled nano at its own size and one step: a step enters what twenty of them enter. A
climb is a pair of files of which the lower one calls back into the higher: building parameters on no device, progress,
and two halves of a step side by side.
`tests/unit/bench/test_walk.py` holds the figures down.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import inkwash

ROOT = Path(inkwash.__file__).parent
OPTIMIZED = 0x01  # of a code object: a function's, not a class body's or a module's
LAYERS = {"core": 0, "media": 1, "nn": 1, "models": 2, "engine": 3, "cli": 4}


@dataclass
class Walk:
    """Functions by file, in the order of their first calls, and (from, to) of files that call into a higher package."""

    files: dict[str, list[str]] = field(default_factory=dict)
    climbs: dict[tuple[str, str], None] = field(default_factory=dict)

    @property
    def functions(self) -> int:
        return sum(map(len, self.files.values()))


def entered(work: Callable[[], Any]) -> Walk:
    """What of this package `work` calls."""
    codes: dict[CodeType, None] = {}
    calls: dict[tuple[CodeType, CodeType], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not _is_ours(frame.f_code):
            return
        codes.setdefault(frame.f_code)
        caller = frame.f_back
        while caller is not None and not _is_ours(caller.f_code):
            caller = caller.f_back
        if caller is not None:
            calls.setdefault((caller.f_code, frame.f_code))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    found = Walk()
    for code in codes:
        if code.co_flags & OPTIMIZED and not code.co_name.startswith("<"):
            found.files.setdefault(_place(code), []).append(code.co_qualname)
    for pair in calls:
        here, there = (_place(code) for code in pair)
        if LAYERS.get(here.split("/")[0], 0) < LAYERS.get(there.split("/")[0], 0):
            found.climbs.setdefault((here, there))
    return found


@cache
def _is_ours(code: CodeType) -> bool:
    return Path(code.co_filename).is_relative_to(ROOT)


def _place(code: CodeType) -> str:
    return str(Path(code.co_filename).relative_to(ROOT))


def one_picture(output: Path) -> Walk:
    """What `inkwash generate` enters; imported modules are not entered again, so measure in a new process."""
    from inkwash.cli.app import run

    prompt = 'A poster that says "HELLO"'
    return entered(lambda: run(["generate", prompt, "-o", str(output), "--steps", "1", "-q"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        walk = one_picture(Path(folder) / "walk.png")
    if given.list:
        for file, functions in walk.files.items():
            print(file, len(functions), *(f"\n    {name}" for name in functions))
        for here, there in walk.climbs:
            print(f"{here} calls back into {there}")
    print(f"{len(walk.files)} files, {walk.functions} functions, {len(walk.climbs)} climbs")


if __name__ == "__main__":
    main()
