"""Reading the benchmarks' own files: JSON, JSON lines and CSV, checked field by field.

Prompt files come from a folder that the user names, so every fault is one sentence with the file, the line and the
field. Nothing is skipped in silence: a prompt that cannot be read would make a score of fewer prompts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from inkwash.core.errors import ConfigError

T = TypeVar("T", str, int, list, dict)

_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise ConfigError(
            f"cannot read {path}: {problem.strerror}; give the folder with the benchmark's official files."
        ) from problem
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path} is not UTF-8 text (byte {problem.start}); fetch the official file again.") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str, where: str) -> Any:
    """JSON inside another file; `where` names the place in errors."""
    try:
        return json.loads(text)
    except ValueError as problem:
        raise ConfigError(f"{where} is not JSON ({problem}); fetch the official file again.") from None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, in order; empty lines at the end do not count."""
    rows = []
    for number, line in enumerate(read_text(path).rstrip().split("\n"), start=1):
        row = parse_json(line, f"{path} line {number}")
        if not isinstance(row, dict):
            raise ConfigError(f"{path} line {number} is not an object; fetch the official file again.")
        rows.append(row)
    return rows


def read_csv(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header that holds at least `columns`; cells stay strings."""
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
    absent = [column for column in columns if column not in (rows.fieldnames or ())]
    if absent:
        raise ConfigError(f"{path} has no column {absent[0]!r}; its columns must hold {', '.join(columns)}.")
    found = []
    for number, row in enumerate(rows, start=1):
        if any(row[column] is None for column in columns):
            raise ConfigError(f"{path} row {number} is shorter than the header; fetch the official file again.")
        found.append({column: row[column] for column in columns})
    return found


def field(row: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    """One field of the wanted kind; ConfigError names the place otherwise."""
    if key not in row:
        raise ConfigError(f"{where} has no field {key!r}; it must be {_NAMES[kind]}.")
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ConfigError(f"{where} field {key!r} is {value!r}; it must be {_NAMES[kind]}.")
    return value


def texts(row: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A field that is a list of strings."""
    values = field(row, key, list, where)
    if not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{where} field {key!r} must be a list of strings.")
    return tuple(values)


def spread(groups: list[list[Any]], limit: int | None) -> list[Any]:
    """All items in order; with a limit, the groups give one each in turn, so that a short run covers them all."""
    if limit is None:
        return [item for group in groups for item in group]
    if limit < 1:
        raise ConfigError(f"the limit is {limit}; it must be at least 1.")
    longest = max((len(group) for group in groups), default=0)
    turns = [(i, g) for i in range(longest) for g, group in enumerate(groups) if i < len(group)][:limit]
    return [groups[g][i] for i, g in sorted(turns, key=lambda turn: (turn[1], turn[0]))]
