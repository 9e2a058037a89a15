"""What a scored run answers: numbers with their judges, parts, and every picture of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.paired import PairedItem


@dataclass(frozen=True, kw_only=True)
class JudgedPicture:
    """One picture of the page."""

    key: str
    prompt: str
    path: Path
    wanted: tuple[tuple[str, bool], ...]  # texts, words or questions, and whether each was right
    read: tuple[str, ...]
    share: float  # of the wanted units that were right
    source: Path | None = None  # the picture that was edited
    marks: tuple[tuple[str, bool], ...] = ()  # further statements about the picture, and whether each holds


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run's numbers and its pictures; `official` is the official scorer's results file where it has one."""

    task: str
    judge: str
    measures: tuple[Measure, ...]
    parts_name: str  # such as per_regions
    parts: dict[str, dict[str, Any]]
    counts: dict[str, int]
    pictures: tuple[JudgedPicture, ...]
    settings: dict[str, Any]
    items: tuple[PairedItem, ...] = ()
    official: dict[str, Any] | None = None
    records: tuple[dict[str, Any], ...] = ()  # every picture in the JSON answer, for other programs
    notes: tuple[str, ...] = ()  # what a reader of the numbers must know

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer: plain names first, then the same with the judge in the name, then what `compare` needs."""
        plain = {measure.metric: measure.to_dict()["value"] for measure in self.measures}
        return {
            "task": self.task,
            **plain,
            **self.counts,
            self.parts_name: self.parts,
            "measures": {measure.label: measure.to_dict()["value"] for measure in self.measures},
            "judge": self.judge,
            **({"notes": list(self.notes)} if self.notes else {}),
            **self.settings,
            "judges": {measure.metric: measure.judge for measure in self.measures},
            "per_prompt": [item.to_dict() for item in self.items],
            **({"pictures": list(self.records)} if self.records else {}),
        }

    def worst_first(self) -> list[JudgedPicture]:
        """The pictures, the worst one first."""
        return sorted(self.pictures, key=lambda picture: picture.share)


def measures(task: str, judge: str, **values: float) -> tuple[Measure, ...]:
    """Numbers of one judge."""
    return tuple(Measure(name=f"{task}.{name}", judge=judge, value=value) for name, value in values.items())


def rounded(values: Mapping[str, float], **counts: int) -> dict[str, Any]:
    """A row of a table of parts."""
    return {name: None if value != value else round(value, 6) for name, value in values.items()} | counts
