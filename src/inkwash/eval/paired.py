"""Two systems on the same prompts: the difference of every metric with a paired bootstrap interval.

    comparison = compare(read_scores(Path("a.json")), read_scores(Path("b.json")))

A run's JSON holds one `PairedItem` for each prompt: numerator and denominator of every metric. Prompts are drawn with
replacement, the same ones for both systems, and the metric is put together again from the sums; so what all systems
find hard does not blur the difference. Samples of one prompt stay together. Scores of two judges, or of different
prompts, are refused. Efron and Tibshirani (1993); Koehn (2004) for the paired form.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkwash.core import limits
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
SCORES_FILE = "scores.json"
_BATCH = 200  # resamples held in memory at once


@dataclass(frozen=True, kw_only=True)
class PairedItem:
    """What one prompt contributes: sums and weights by metric.

    A metric is the mean over groups of the mean over strata of sum / weight; without groups and strata that is plainly
    the pooled share.
    """

    key: str
    sums: Mapping[str, tuple[float, float]]  # metric -> (numerator, denominator)
    group: str = ""
    stratum: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, short: empty names are left out."""
        named = {"key": self.key, "group": self.group, "stratum": self.stratum}
        sums = {name: [round(top, 6), bottom] for name, (top, bottom) in self.sums.items()}
        return {name: value for name, value in named.items() if value} | sums

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> PairedItem:
        """The item of a JSON file; KeyError, TypeError or ValueError for anything else."""
        sums = {
            str(name): (float(pair[0]), float(pair[1]))
            for name, pair in row.items()
            if name not in ("key", "group", "stratum")
        }
        names = (str(row["key"]), str(row.get("group", "")), str(row.get("stratum", "")))
        return cls(key=names[0], group=names[1], stratum=names[2], sums=sums)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One run, as much of it as a comparison needs."""

    name: str
    task: str
    judges: Mapping[str, str]  # metric -> judge
    items: tuple[PairedItem, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of two systems: B minus A."""

    metric: str
    judge: str
    a: float
    b: float
    low: float
    high: float
    p: float  # two-sided bootstrap probability that there is no difference
    prompts: int

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        numbers = {"a": self.a, "b": self.b, "difference": self.difference, "low": self.low, "high": self.high}
        return {
            "judge": self.judge,
            **{name: round(value, 6) for name, value in numbers.items()},
            "p": round(self.p, 6),
            "prompts": self.prompts,
        }


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """All metrics that both systems have."""

    task: str
    a: str
    b: str
    confidence: float
    resamples: int
    differences: tuple[Difference, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer."""
        return {
            "task": self.task,
            "a": self.a,
            "b": self.b,
            "confidence": self.confidence,
            "resamples": self.resamples,
            "metrics": {each.metric: each.to_dict() for each in self.differences},
        }


def read_scores(path: Path) -> Scores:
    """A run from its JSON file, or from a folder that holds `scores.json`."""
    file = path / SCORES_FILE if path.is_dir() else path
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        items = tuple(PairedItem.from_dict(row) for row in content["per_prompt"])
        judges = {str(name): str(judge) for name, judge in content["judges"].items()}
        return Scores(name=str(path), task=str(content["task"]), judges=judges, items=items)
    except OSError as problem:
        raise ConfigError(f"cannot read the scores {file}: {problem.strerror}; write them with --json.") from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(
            f"{file} holds no scores of an evaluation ({type(problem).__name__}: {problem}); write them with --json."
        ) from None


def compare(
    a: Scores, b: Scores, *, resamples: int = RESAMPLES, confidence: float = 0.95, seed: int = 0
) -> RunComparison:
    """The difference of every metric that both have; ConfigError unless task, judges and prompts are the same."""
    limits.check_whole("resamples", resamples, 100, 1_000_000)
    limits.check_real("confidence", confidence, 0.5, 0.9999)
    ours, theirs = _paired(a, b)
    return RunComparison(
        task=a.task,
        a=a.name,
        b=b.name,
        confidence=confidence,
        resamples=resamples,
        differences=tuple(
            _difference(metric, judge, ours, theirs, resamples, confidence, seed)
            for metric, judge in a.judges.items()
            if metric in b.judges and any(metric in item.sums for item in ours)
        ),
    )


def value(items: Sequence[PairedItem], metric: str) -> float:
    """The metric of all items: mean over groups of the mean over strata of the pooled share."""
    shares: dict[str, dict[str, tuple[float, float]]] = {}
    for item in items:
        if metric in item.sums:
            strata = shares.setdefault(item.group, {})
            top, bottom = strata.get(item.stratum, (0.0, 0.0))
            strata[item.stratum] = top + item.sums[metric][0], bottom + item.sums[metric][1]
    groups = [_mean(top / bottom for top, bottom in strata.values() if bottom) for strata in shares.values()]
    return _mean(groups)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return math.fsum(known) / len(known) if known else math.nan


def _paired(a: Scores, b: Scores) -> tuple[list[PairedItem], list[PairedItem]]:
    if a.task != b.task:
        raise ConfigError(f"{a.name} is a run of {a.task} and {b.name} one of {b.task}; compare runs of one task.")
    for metric in a.judges.keys() & b.judges.keys():
        if a.judges[metric] != b.judges[metric]:
            raise ConfigError(
                f"{metric} comes from the judge {a.judges[metric]} in {a.name} and from {b.judges[metric]} in "
                f"{b.name}; score both with the same judge."
            )
    ours, theirs = ({item.key: item for item in run.items} for run in (a, b))
    lonely = sorted(ours.keys() ^ theirs.keys())
    if lonely or not ours:
        raise ConfigError(
            f"{a.name} and {b.name} are not about the same prompts: {len(lonely)} of {len(ours | theirs)} are in one "
            f"only{', first ' + lonely[0] if lonely else ''}; score both with the same --limit and --seed."
        )
    keys = sorted(ours)
    return [ours[key] for key in keys], [theirs[key] for key in keys]


def _difference(
    metric: str, judge: str, a: list[PairedItem], b: list[PairedItem], resamples: int, confidence: float, seed: int
) -> Difference:
    import numpy as np

    both = [(x, y) for x, y in zip(a, b, strict=True) if metric in x.sums and metric in y.sums]
    left, right = [x for x, _ in both], [y for _, y in both]
    generator = np.random.default_rng(seed)
    drawn = []
    for first in range(0, resamples, _BATCH):
        counts = _counts(left, min(_BATCH, resamples - first), generator)
        drawn.append(_resampled(right, metric, counts) - _resampled(left, metric, counts))
    differences = np.concatenate(drawn)
    differences = differences[np.isfinite(differences)]
    tail = (1 - confidence) / 2
    low, high = (float(side) for side in np.quantile(differences, [tail, 1 - tail]))
    below, above = float(np.mean(differences <= 0)), float(np.mean(differences >= 0))
    return Difference(
        metric=metric,
        judge=judge,
        a=value(left, metric),
        b=value(right, metric),
        low=low,
        high=high,
        p=min(1.0, 2 * min(below, above)),
        prompts=len(both),
    )


def _counts(items: Sequence[PairedItem], resamples: int, generator: np.random.Generator) -> Floats:
    """How often each item is drawn (resamples, items); each stratum keeps its size, so none is ever empty."""
    import numpy as np

    counts = np.zeros((resamples, len(items)))
    for places in _strata(items).values():
        share = np.full(len(places), 1 / len(places))
        counts[:, places] = generator.multinomial(len(places), share, size=resamples)
    return counts


def _resampled(items: Sequence[PairedItem], metric: str, counts: Floats) -> Floats:
    """The metric of every resample."""
    import numpy as np

    sums = np.array([item.sums[metric] for item in items])  # (items, 2)
    groups: dict[str, list[Floats]] = {}
    for (group, _), places in _strata(items).items():
        top, bottom = (counts[:, places] @ sums[places, side] for side in (0, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            groups.setdefault(group, []).append(top / bottom)
    means = [np.mean(np.stack(strata), axis=0) for strata in groups.values()]
    result: Floats = np.mean(np.stack(means), axis=0)
    return result


def _strata(items: Sequence[PairedItem]) -> dict[tuple[str, str], list[int]]:
    places: dict[tuple[str, str], list[int]] = {}
    for number, item in enumerate(items):
        places.setdefault((item.group, item.stratum), []).append(number)
    return places
