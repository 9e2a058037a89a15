"""GenEval: 553 prompts about objects, counts, colours and places, four pictures each.

Data: `evaluation_metadata.jsonl`; pictures: `{number:05d}/samples/{0000..0003}.png` beside a `metadata.jsonl` with the
prompt's line, as the official scripts want them. A judge says per picture whether it is correct; a task's score is the
share of correct pictures and the overall score the plain mean of six tasks. Ghosh et al., arXiv:2310.11513.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import field, read_lines, spread
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import mean

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
SAMPLES = 4
METADATA = "evaluation_metadata.jsonl"


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One object that must (or must not) be there."""

    name: str
    count: int
    color: str | None = None
    relation: tuple[str, int] | None = None  # such as ("left of", 0): of the object with that number


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One line of the metadata; `number` names its folder."""

    number: int
    tag: str
    prompt: str
    include: tuple[Thing, ...]
    exclude: tuple[Thing, ...]
    line: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return f"{self.number:05d}"

    def spots(self, samples: int = SAMPLES) -> list[Spot]:
        """Where its pictures lie."""
        return [Spot(path=f"{self.folder}/samples/{i:04d}") for i in range(samples)]

    def metadata(self) -> str:
        """The content of the folder's `metadata.jsonl`."""
        return json.dumps(dict(self.line)) + "\n"


def read_prompts(folder: Path, limit: int | None = None) -> tuple[Prompt, ...]:
    """All prompts; with a limit the tasks take turns."""
    path = folder / METADATA
    groups: dict[str, list[Prompt]] = {task: [] for task in TASKS}
    for number, row in enumerate(read_lines(path)):
        where = f"{path} line {number + 1}"
        tag = field(row, "tag", str, where)
        if tag not in groups:
            raise ConfigError(f"{where} has the tag {tag!r}; known are {', '.join(TASKS)}.")
        groups[tag].append(
            Prompt(
                number=number,
                tag=tag,
                prompt=field(row, "prompt", str, where),
                include=tuple(_thing(each, where) for each in field(row, "include", list, where)),
                exclude=tuple(_thing(each, where) for each in row.get("exclude", [])),
                line=row,
            )
        )
    return tuple(sorted(spread(list(groups.values()), limit), key=lambda prompt: prompt.number))


def _thing(row: Any, where: str) -> Thing:
    if not isinstance(row, dict):
        raise ConfigError(f"{where} lists an object that is not a JSON object.")
    place = row.get("position")
    return Thing(
        name=field(row, "class", str, where),
        count=field(row, "count", int, where),
        color=row.get("color"),
        relation=(str(place[0]), int(place[1])) if place else None,
    )


@dataclass(frozen=True, kw_only=True)
class Score:
    """The share of correct pictures by task, and their plain mean."""

    overall: float
    tasks: Mapping[str, float]


def score(correct: Iterable[tuple[str, bool]]) -> Score:
    """From (task, whether the picture is correct) of every picture; every task must be there."""
    by_task: dict[str, list[float]] = {task: [] for task in TASKS}
    for task, right in correct:
        if task not in by_task:
            raise ConfigError(f"the task {task!r} is unknown; GenEval has {', '.join(TASKS)}.")
        by_task[task].append(float(right))
    return from_tasks({task: mean(values) for task, values in by_task.items() if values})


def from_tasks(tasks: Mapping[str, float]) -> Score:
    """The same from published columns."""
    absent = [task for task in TASKS if task not in tasks]
    if absent:
        raise ConfigError(f"GenEval's overall score needs all six tasks; {', '.join(absent)} has no pictures.")
    return Score(overall=mean([tasks[task] for task in TASKS]), tasks=dict(tasks))
