"""What the evaluation commands share: checked outputs, progress bars that survive Ctrl-C, a table of the numbers."""

from __future__ import annotations

import json as jsonlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inkwash.core.errors import Cancelled, ConfigError, MediaError
from inkwash.core.files import atomic_write

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import CancelToken

T = TypeVar("T")
Tell = Callable[[str, int, int], None]

STDOUT = Path("-")
_UNSHOWN = ("measures", "judges", "per_prompt", "pictures")  # for programs
STAGES = {
    "judge": "Proving the judge",
    "draw": "Drawing (pictures)",
    "read": "Reading (pictures)",
    "ask": "Asking (questions)",
}
_REGIONS = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


def parse_regions(text: str) -> tuple[int, int]:
    """`1-2`, or `2` for exactly two."""
    found = _REGIONS.fullmatch(text)
    if found is None:
        raise ConfigError(f"--regions {text!r} is not a range: write it like 1-2, or 2 for exactly two texts.")
    low = int(found[1])
    return low, int(found[2] or low)


def check_outputs(*paths: Path | None) -> None:
    """Fail before the work when an output cannot be written afterwards."""
    for path in paths:
        if path is None or path == STDOUT:
            continue
        if path.is_dir():
            raise MediaError(f"The output {str(path)!r} is a folder: add a file name.")
        if not path.parent.is_dir():
            raise MediaError(f"The output {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}.")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise MediaError(f"The output {str(path)!r} cannot be written: no permission; give another place.")


def cancel_token() -> CancelToken:
    """The switch that Ctrl-C throws."""
    from inkwash.engine.request import CancelToken

    return CancelToken()


def fingerprint(model: str) -> str:
    """Which weights a model name means today; fetches the model where it must."""
    from inkwash.eval.run import fingerprint as of_folder
    from inkwash.models.registry import resolve

    return of_folder(resolve(model))


def opener(model: str, device: str | None, dtype: str | None) -> Callable[[], GlmImagePipeline]:
    """A function that loads the model when it is first needed."""
    from inkwash.engine.open import LoadOptions, open_pipeline

    return partial(open_pipeline, LoadOptions(model=model, device=device, dtype=dtype))


def watched(work: Callable[[Tell], T], cancel: CancelToken, *, quiet: bool, out: Path | None) -> T:
    """Run with one bar per stage; Ctrl-C ends it within a second and says what was kept."""
    from inkwash.cli.progress import Bars, interruptible

    try:
        with Bars(visible=False if quiet else None) as bars:

            def tell(stage: str, done: int, total: int) -> None:
                cancel.check()
                bars.move(STAGES.get(stage, stage), done, total)

            return interruptible(lambda: work(tell), cancel.cancel)
    except Cancelled:
        if out is None:
            raise
        raise Cancelled(f"Interrupted; the pictures drawn so far are in {out}: the same command goes on.") from None


def write_json(path: Path | None, scores: Mapping[str, Any]) -> None:
    """Write the scores whole or not at all; `-` is stdout."""
    if path is None:
        return
    text = jsonlib.dumps(scores, indent=2, ensure_ascii=False) + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
        return
    try:
        atomic_write(path, text)
    except OSError as problem:
        raise MediaError(f"The scores cannot be written to {path}: {problem.strerror}.") from problem


def show(scores: Mapping[str, Any], parts: str, json: Path | None) -> None:
    """Print the numbers for a reader: the parts as a table, then the rest; nothing when stdout holds the JSON."""
    if json == STDOUT:
        return
    from rich.console import Console
    from rich.table import Table

    from inkwash.eval.labels import label

    whole: dict[str, Any] = {
        key: value for key, value in scores.items() if key in next(iter(scores[parts].values()), {})
    }
    table = Table(label(parts), *map(label, whole))
    for name, row in {**scores[parts], "all": whole}.items():
        table.add_row(name, *[_number(row[key]) for key in whole])
    console = Console(highlight=False)
    console.print(table)
    for key, value in scores.items():
        if key != parts and key not in _UNSHOWN and key not in whole and value is not None and value != "":
            console.print(f"{label(key)}: {_number(value)}", soft_wrap=True, markup=False)


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, list | tuple):
        return ", ".join(_number(each) for each in value)
    return str(value)
