"""How much of this package one picture enters: the files and functions that `inkwash generate` calls.

    python -m bench.walk            # the figures
    python -m bench.walk --list     # and every function, file by file, in the order of their first calls

A function is one with a name (`def`); comprehensions, lambdas and class bodies are not counted, since whether they are
functions of their own depends on the version of Python. Counted are calls of the process's main and worker threads from
the command line on, with the bundled nano at its own size and one step: a step enters what twenty of them enter.
`tests/unit/bench/test_walk.py` holds the figures down.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import inkwash

ROOT = Path(inkwash.__file__).parent
OPTIMIZED = 0x01  # of a code object: a function's, not a class body's or a module's
Walk = dict[str, list[str]]


def entered(work: Callable[[], Any]) -> Walk:
    """The functions of this package that `work` calls, by file, in the order of their first calls."""
    codes: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes.setdefault(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    found: Walk = {}
    for code in codes:
        file = Path(code.co_filename)
        if file.is_relative_to(ROOT) and code.co_flags & OPTIMIZED and not code.co_name.startswith("<"):
            found.setdefault(str(file.relative_to(ROOT)), []).append(code.co_qualname)
    return found


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
        for file, functions in walk.items():
            print(file, len(functions), *(f"\n    {name}" for name in functions))
    print(f"{len(walk)} files, {sum(map(len, walk.values()))} functions")


if __name__ == "__main__":
    main()
