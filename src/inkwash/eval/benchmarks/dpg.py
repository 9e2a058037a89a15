"""DPG-Bench: 1,065 dense prompts, four pictures each in one grid, yes/no questions that depend on one another.

Prompts come from `prompts/*.txt`, from a `prompts.json` of [id, text] pairs, or from the official `dpg_bench.csv`,
which also holds the questions. Pictures: `{id}.png`, a grid of top left, top right, bottom left, bottom right.
`Mode.OFFICIAL` keeps the two known faults of the published scorer, `Mode.FIXED` mends them. Hu et al., ELLA,
arXiv:2403.05135.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import read_csv, read_json, read_text
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import mean

CELLS = 4
_COLUMNS = (
    "item_id",
    "text",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)


class Mode(enum.Enum):
    """Which scorer is meant.

    OFFICIAL: the first row of the questions file is lost, a prompt whose question depends on a lost one is dropped,
    and categories are taken from the last cell only. FIXED: every row and every cell counts.
    """

    OFFICIAL = "official"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt; its id is the name of its picture."""

    id: str
    prompt: str

    @property
    def spot(self) -> Spot:
        return Spot(path=self.id)


@dataclass(frozen=True, kw_only=True)
class Question:
    """One row of the questions file."""

    number: int
    question: str
    parents: tuple[int, ...]  # 0 stands for none
    category: str  # such as "entity - whole"

    @property
    def broad(self) -> str:
        return self.category.split("-")[0].strip()


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt with its questions, in the order of the file."""

    id: str
    prompt: str
    questions: tuple[Question, ...]


def read_prompts(folder: Path, limit: int | None = None) -> tuple[Prompt, ...]:
    """The prompts of a folder: `prompts.json`, else `dpg_bench.csv`, else `prompts/*.txt`."""
    if limit is not None and limit < 1:
        raise ConfigError(f"the limit is {limit}; it must be at least 1.")
    if (folder / "prompts.json").exists():
        pairs = read_json(folder / "prompts.json")
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
        ):
            raise ConfigError(f"{folder / 'prompts.json'} is not a list of [id, text] pairs.")
        found = [Prompt(id=key, prompt=text) for key, text in pairs]
    elif (folder / "dpg_bench.csv").exists():
        found = [Prompt(id=item.id, prompt=item.prompt) for item in read_items(folder, Mode.FIXED)]
    else:
        files = sorted((folder / "prompts").glob("*.txt"))
        if not files:
            raise ConfigError(f"{folder} has no prompts.json, no dpg_bench.csv and no prompts/*.txt.")
        found = [Prompt(id=file.stem, prompt=read_text(file).strip()) for file in files]
    if len({prompt.id for prompt in found}) != len(found):
        raise ConfigError(f"the prompts of {folder} have one id twice; fetch the official files again.")
    return tuple(found[:limit])


def read_items(folder: Path, mode: Mode) -> tuple[Item, ...]:
    """Prompts with their questions from `dpg_bench.csv`."""
    path = folder / "dpg_bench.csv"
    rows = read_csv(path, _COLUMNS)
    groups: dict[str, list[Question]] = {}
    prompts: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if number == 1 and mode is Mode.OFFICIAL:
            continue
        groups.setdefault(row["item_id"], []).append(_question(row, f"{path} row {number}"))
        prompts.setdefault(row["item_id"], row["text"])
    items = tuple(Item(id=key, prompt=prompts[key], questions=tuple(asked)) for key, asked in groups.items())
    for item in items:
        _check(item, mode, path)
    return items


def _question(row: Mapping[str, str], where: str) -> Question:
    try:
        parents = tuple(int(part) for part in row["dependency"].split(","))
        number = int(row["proposition_id"])
    except ValueError:
        raise ConfigError(
            f"{where} has the proposition {row['proposition_id']!r} and the dependency {row['dependency']!r}; "
            f"whole numbers are needed."
        ) from None
    category = row["tuple"].split("(")[0].strip()
    return Question(number=number, question=row["question_natural_language"], parents=parents, category=category)


def _check(item: Item, mode: Mode, path: Path) -> None:
    numbers = [question.number for question in item.questions]
    if len(set(numbers)) != len(numbers):
        raise ConfigError(f"{path} asks one question of {item.id} twice; fetch the official file again.")
    unknown = {parent for question in item.questions for parent in question.parents if parent} - set(numbers)
    if unknown and mode is Mode.FIXED:
        raise ConfigError(f"{path} lets questions of {item.id} depend on {sorted(unknown)}, which are not there.")


class _Dropped(Exception):
    """A question depends on one that the official reader lost."""


def cascade(item: Item, answers: Mapping[int, bool]) -> dict[int, bool]:
    """Answers after dependency: in the file's order, a question falls when a parent is down at that moment."""
    standing = dict(answers)
    for question in item.questions:
        for parent in question.parents:
            if parent == 0:
                continue
            if parent not in standing:
                raise _Dropped(item.id)
            if not standing[parent]:
                standing[question.number] = False
                break
    return standing


@dataclass(frozen=True, kw_only=True)
class Score:
    """Everything the official results file says, in percent."""

    overall: float
    broad: Mapping[str, float]
    detailed: Mapping[str, float]
    prompts: Mapping[str, float]
    dropped: tuple[str, ...]  # prompts that the official scorer loses


def is_yes(answer: str) -> bool:
    """The judge's answer counts when it is exactly `yes`, as the official judge writes it."""
    return answer == "yes"


def score(items: Sequence[Item], answers: Mapping[str, Sequence[Mapping[int, bool]]], mode: Mode) -> Score:
    """DPG from the answers of every cell of every prompt, `answers[id][cell][question]`."""
    prompts: dict[str, float] = {}
    dropped = []
    categories: dict[str, list[float]] = {}
    for item in items:
        cells = _complete(item, answers)
        try:
            standing = [cascade(item, cell) for cell in cells]
        except _Dropped:
            dropped.append(item.id)
            continue
        prompts[item.id] = 100 * mean([sum(cell.values()) / len(cell) for cell in standing])
        for cell in cells[-1:] if mode is Mode.OFFICIAL else cells:
            for question in item.questions:
                categories.setdefault(question.category, []).append(100.0 * cell[question.number])
    broad: dict[str, list[float]] = {}
    for category, values in categories.items():
        broad.setdefault(category.split("-")[0].strip(), []).extend(values)
    return Score(
        overall=mean(list(prompts.values())),
        broad={name: mean(values) for name, values in sorted(broad.items())},
        detailed={name: mean(values) for name, values in sorted(categories.items())},
        prompts=prompts,
        dropped=tuple(dropped),
    )


def _complete(item: Item, answers: Mapping[str, Sequence[Mapping[int, bool]]]) -> list[dict[int, bool]]:
    cells = answers.get(item.id, ())
    wanted = [question.number for question in item.questions]
    if not cells or any(number not in cell for cell in cells for number in wanted):
        raise ConfigError(f"the prompt {item.id} has {len(cells)} cells or lacks answers; all questions are needed.")
    return [{number: cell[number] for number in wanted} for cell in cells]
