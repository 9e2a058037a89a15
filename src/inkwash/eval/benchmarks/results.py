"""What a benchmark run is asked for and what it answers: settings, pictures, numbers with their judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.eval.bench import digest
from inkwash.eval.benchmarks import oneig, tiif
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.paired import Unit

TEXT_TASKS = ("cvtg2k", "longtext-en", "longtext-zh")
TASKS = (*TEXT_TASKS, "oneig-en", "oneig-zh", "tiif", "dpg", "geneval", "gedit", "imgedit")
DIMENSIONS = oneig.DIMENSIONS
MAX_SAMPLES = 64
StageProgress = Callable[[str, int, int], None]  # stage (judge, draw, read), done, total
Lines = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is scored, and how."""

    task: str
    data: Path  # the benchmark's official files
    images: Path  # pictures in the official layout
    limit: int | None = None  # prompts
    samples: int = 4  # pictures per prompt of LongText-Bench and GenEval
    cache: Path | None = None  # of answers; None keeps them in memory only
    system: str | None = None  # the folder of the system in OneIG's and TIIF's layout; None takes the only one
    split: str = "testmini"  # of TIIF
    mode: str = "official"  # of DPG
    language: str = "en"  # of GEdit
    dimensions: tuple[str, ...] = DIMENSIONS  # of OneIG
    sources: Path | None = None  # the pictures to be edited, below the data where None

    def __post_init__(self) -> None:
        _one_of("benchmark", self.task, TASKS)
        _one_of("split", self.split, tiif.SPLITS)
        _one_of("mode", self.mode, ("official", "fixed"))
        _one_of("language", self.language, ("en", "cn"))
        if self.limit is not None:
            limits.check_whole("limit", self.limit, 1, 100_000)
        limits.check_whole("samples", self.samples, 1, MAX_SAMPLES)
        for dimension in self.dimensions or ("",):
            _one_of("dimension", dimension, DIMENSIONS)

    @property
    def source_folder(self) -> Path:
        """Where the pictures to be edited lie."""
        return self.sources or self.data


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"the {name} is {value!r}; it must be one of {', '.join(allowed)}.")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture of the report."""

    key: str
    prompt: str
    path: Path
    wanted: tuple[tuple[str, bool], ...]  # texts, words or questions, and whether each was right
    read: tuple[str, ...]
    share: float  # of the wanted units that were right
    source: Path | None = None  # the picture that was edited


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run's numbers and its pictures; `official` is the official scorer's results file where it has one."""

    task: str
    judge: str
    measures: tuple[Measure, ...]
    parts_name: str  # such as per_regions
    parts: dict[str, dict[str, Any]]
    counts: dict[str, int]
    entries: tuple[Entry, ...]
    settings: dict[str, Any]
    units: tuple[Unit, ...] = ()
    official: dict[str, Any] | None = None
    notes: tuple[str, ...] = field(default=())  # what a reader of the numbers must know

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer: plain names first, then the same with the judge in the name, then what `compare` needs."""
        plain = {short_name(measure): measure.to_dict()["value"] for measure in self.measures}
        return {
            "task": self.task,
            **plain,
            **self.counts,
            self.parts_name: self.parts,
            "measures": {measure.label: measure.to_dict()["value"] for measure in self.measures},
            "judge": self.judge,
            **({"notes": list(self.notes)} if self.notes else {}),
            **self.settings,
            "judges": {short_name(measure): measure.judge for measure in self.measures},
            "per_prompt": [unit.to_dict() for unit in self.units],
        }

    def worst_first(self) -> list[Entry]:
        """The worst pictures on top."""
        return sorted(self.entries, key=lambda entry: entry.share)


def short_name(measure: Measure) -> str:
    """`word_accuracy` of `cvtg2k.word_accuracy`."""
    return measure.name.partition(".")[2]


def measures(task: str, judge: str, **values: float) -> tuple[Measure, ...]:
    """Numbers of one judge."""
    return tuple(Measure(name=f"{task}.{name}", judge=judge, value=value) for name, value in values.items())


def run_settings(run: Scoring, prompts: Sequence[str], **more: Any) -> dict[str, Any]:
    """What makes two numbers comparable: the same prompts, the same judge."""
    return {
        "images": str(run.images),
        "data": str(run.data),
        "limit": run.limit,
        "prompts": len(prompts),
        "prompts_digest": digest(prompts),
        **more,
    }


def rounded(values: Mapping[str, float], **counts: int) -> dict[str, Any]:
    """A row of a table of parts."""
    return {name: None if value != value else round(value, 6) for name, value in values.items()} | counts
