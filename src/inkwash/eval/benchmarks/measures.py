"""Numbers that carry the name of their judge, and tables that refuse to mix two judges.

`cvtg2k.word_accuracy[ppocrv6-small]` is not `cvtg2k.word_accuracy[en_ppocrv4]`: two readers of the same pictures differ
by more than two good models do. A `Table` therefore takes a metric from one judge only, whatever system it is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inkwash.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number: what was measured, by whom."""

    name: str  # such as "cvtg2k.word_accuracy"
    judge: str
    value: float

    def __post_init__(self) -> None:
        if not self.name or not self.judge:
            raise ConfigError(f"a measure needs a name and a judge; it has {self.name!r} and {self.judge!r}.")

    @property
    def metric(self) -> str:
        """`word_accuracy` of `cvtg2k.word_accuracy`."""
        return self.name.partition(".")[2]

    @property
    def label(self) -> str:
        return f"{self.name}[{self.judge}]"

    def to_dict(self) -> dict[str, str | float | None]:
        """For JSON: nan becomes null."""
        value = None if math.isnan(self.value) else round(self.value, 6)
        return {"name": self.name, "judge": self.judge, "value": value}


class Table:
    """Rows of systems, columns of metrics, one judge per column."""

    def __init__(self) -> None:
        self._judges: dict[str, tuple[str, str]] = {}  # metric -> judge, and the system that brought it
        self._rows: dict[str, dict[str, float]] = {}

    def add(self, system: str, measures: Iterable[Measure]) -> None:
        """A system's numbers; ConfigError when another judge made a column, and then nothing is added."""
        measures = list(measures)
        for measure in measures:
            judge, first = self._judges.get(measure.name, (measure.judge, system))
            if judge != measure.judge:
                raise ConfigError(
                    f"{measure.name} of {system} comes from the judge {measure.judge}, that of {first} from {judge}; "
                    f"numbers of two judges cannot stand in one table: score both with the same judge."
                )
        names = [measure.name for measure in measures]
        doubled = [name for name in names if names.count(name) > 1 or name in self._rows.get(system, {})]
        if doubled:
            raise ConfigError(f"{system} has {doubled[0]} twice in one table.")
        self._rows.setdefault(system, {})
        for measure in measures:
            self._judges.setdefault(measure.name, (measure.judge, system))
            self._rows[system][measure.name] = measure.value

    @property
    def labels(self) -> dict[str, str]:
        """Metric -> its name with the judge."""
        return {name: f"{name}[{judge}]" for name, (judge, _) in self._judges.items()}

    def rows(self) -> Mapping[str, Mapping[str, float | None]]:
        """System -> label -> value; None where a system was not measured."""
        return {
            system: {label: values.get(name) for name, label in self.labels.items()}
            for system, values in self._rows.items()
        }
