"""What several benchmarks need to score their pictures: settings, checked readers, words that were read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inkwash.core.errors import MediaError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import BenchmarkRun, StageProgress
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.digest import digest
from inkwash.eval.metrics import words
from inkwash.eval.predictions import Predictions
from inkwash.media.images import load_image

Lines = Sequence[str]


def run_settings(run: BenchmarkRun[Any], prompts: Sequence[str], **more: Any) -> dict[str, Any]:
    """What makes two numbers comparable: the same prompts, the same judge."""
    return {
        "images": str(run.images),
        "data": str(run.data),
        "limit": run.limit,
        "prompts": len(prompts),
        "prompts_digest": digest(prompts),
        **more,
    }


def checked_share(reader: Predictions, texts: Sequence[Lines], score: self_check.Score, tell: StageProgress) -> float:
    """How much a reader reads of plainly rendered texts; ConfigError when that is too little."""
    tell("judge", 0, 1)
    share = self_check.check_reader(reader, texts, score)
    tell("judge", 1, 1)
    return round(share, 6)


def read_all(judges: Judges, reader: Predictions, paths: Sequence[Path], tell: StageProgress) -> list[tuple[str, ...]]:
    """The lines of every picture, in parallel where the judge allows it."""
    return judges.ask([partial(_read_one, reader, path) for path in paths], partial(tell, "read"))


def _read_one(reader: Predictions, path: Path) -> tuple[str, ...]:
    return reader.texts(load_image(path))


def count_words(wanted: Lines, read: Lines) -> tuple[int, int]:
    """Words found and words wanted, as CVTG-2K counts them."""
    known = set(words(read))
    targets = words(wanted)
    return sum(word in known for word in targets), len(targets)


def find_system(folder: Path, name: str | None) -> str:
    """The name of the system whose pictures lie below `folder`: as given, or that of the only folder there."""
    if name is not None:
        return name
    names = sorted(place.name for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    if len(names) != 1:
        found = f"the folders {', '.join(names)}" if names else "no folder"
        raise MediaError(f"{folder} has {found}; name the system whose pictures are scored with --system.")
    return names[0]


def system_folder(run: BenchmarkRun[Any]) -> str:
    """The folder of the system in a layout to be drawn."""
    name: str | None = run.options.system or run.model_folder
    assert name is not None, "a layout with the system's name needs one"
    return name
