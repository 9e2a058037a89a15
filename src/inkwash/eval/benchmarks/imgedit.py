"""ImgEdit, the basic suite: 737 edits in nine kinds, each judged 1 to 5 on three points.

The data has no licence and is never shipped; `folder` is the official `Benchmark/Basic` with `basic_edit.json` and the
judge's `prompts.json`. Pictures: `{key}.png`; sources: the path in the case's `id` below a folder of originals. A case
is the mean of its three scores rounded to two digits, a kind the rounded mean of its cases, and the overall score the
plain mean of nine kinds. Ye et al., arXiv:2505.20275.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.benchmarks.files import field, read_json, spread
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import mean

KINDS = ("extract", "style", "add", "adjust", "background", "replace", "remove", "action", "compose")
POINTS = 3
_PLACEHOLDER = "<edit_prompt>"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One edit."""

    key: str
    kind: str
    instruction: str
    source: str  # path of the original below its folder

    @property
    def spot(self) -> Spot:
        return Spot(path=self.key, suffixes=(".png",))


def read_cases(folder: Path, limit: int | None = None) -> tuple[Case, ...]:
    """All cases; with a limit the kinds take turns."""
    path = folder / "basic_edit.json"
    groups: dict[str, list[Case]] = {}
    for key, row in _object(path).items():
        where = f"{path} case {key}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where} is not an object; fetch the official file again.")
        kind = field(row, "edit_type", str, where)
        if kind not in KINDS:
            raise ConfigError(f"{where} is of the kind {kind!r}; known are {', '.join(KINDS)}.")
        groups.setdefault(kind, []).append(
            Case(
                key=key,
                kind=kind,
                instruction=field(row, "prompt", str, where),
                source=field(row, "id", str, where),
            )
        )
    return tuple(spread(list(groups.values()), limit))


def source_file(folder: Path, case: Case) -> Path:
    """The picture that a case edits; MediaError names it where it is missing."""
    path = folder / case.source
    if not path.is_file():
        raise MediaError(f"{path} is missing; unpack the benchmark's originals and name their folder with --sources.")
    return path


def read_judge_prompts(folder: Path) -> dict[str, str]:
    """What the judge is told for each kind; the instruction goes where `<edit_prompt>` stands."""
    path = folder / "prompts.json"
    rows = _object(path)
    return {kind: field(rows, kind, str, str(path)) for kind in KINDS}


def judge_prompt(prompts: Mapping[str, str], case: Case) -> str:
    """The full question about one case."""
    return prompts[case.kind].replace(_PLACEHOLDER, case.instruction)


def _object(path: Path) -> dict[str, object]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not an object; fetch the official file again.")
    return content


def parse_scores(answer: str) -> tuple[int, ...] | None:
    """The whole numbers of lines like `Name: 4`; None unless there are three from 1 to 5."""
    parts = [line.strip().split(": ") for line in answer.splitlines()]
    found = tuple(int(part[1]) for part in parts if len(part) == 2 and part[1].isascii() and part[1].isdigit())
    return found if len(found) == POINTS and all(1 <= value <= 5 for value in found) else None


def case_score(points: tuple[int, ...]) -> float:
    """The mean of a case's points, rounded as the script does."""
    return round(sum(points) / len(points), 2)


@dataclass(frozen=True, kw_only=True)
class Score:
    """Mean by kind, and over kinds."""

    overall: float
    kinds: Mapping[str, float]


def score(cases: Mapping[str, tuple[str, tuple[int, ...]]]) -> Score:
    """From key -> (kind, points) of every case; every kind must be there."""
    groups: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for key, (kind, points) in cases.items():
        if kind not in groups or not points:
            raise ConfigError(f"the case {key} has the kind {kind!r} and the points {points}; neither may be missing.")
        groups[kind].append(case_score(points))
    return from_kinds({kind: round(sum(values) / len(values), 2) for kind, values in groups.items() if values})


def from_kinds(kinds: Mapping[str, float]) -> Score:
    """The same from published columns."""
    absent = [kind for kind in KINDS if kind not in kinds]
    if absent:
        raise ConfigError(f"ImgEdit's overall score needs all nine kinds; {', '.join(absent)} has no cases.")
    return Score(overall=mean([kinds[kind] for kind in KINDS]), kinds=dict(kinds))
