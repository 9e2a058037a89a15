"""TIIF-Bench: prompts and yes/no questions of both splits, read from a user's copy, and the script's aggregation.

The data has no licence and is never shipped; `folder` is a checkout of the official repository. Pictures:
`{type}/{model}/{short,long}_description/{line}.png` below the picture folder, lines counted from 0. All questions about
a picture are asked in one call. Published tables are the `testmini` split. Wei et al., arXiv:2506.02161.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import field, read_json, read_lines, spread, texts
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import mean

SPLITS = ("testmini", "test")
LENGTHS = ("short", "long")
_PLACES = ("2d_spatial_relation", "3d_spatial_relation")
_THOUGHT = ("numeracy", "comparison", "differentiation", "negation")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Attribute": ("shape+color", "color+texture", "texture+color", "shape+texture"),
    "Relation": (*_PLACES, "action+2d", "action+3d"),
    "Reasoning": ("numeracy", "negation", "differentiation", "comparison"),
    "Attribute+Relation": (
        "action+color",
        "action+texture",
        *(f"{look}+{place}" for look in ("color", "shape", "texture") for place in ("2d", "3d")),
    ),
    "Attribute+Reasoning": tuple(f"{kind}+{look}" for kind in _THOUGHT for look in ("color", "texture")),
    "Relation+Reasoning": tuple(f"{kind}+{place}" for kind in _THOUGHT for place in ("2d", "3d")),
    "Text": ("text",),
    "Style": ("style",),
    "Real_world": ("real_world",),
}
TYPES = tuple(kind for group in GROUPS.values() for kind in group)
_DIGITS = 4  # the script rounds the accuracy of a type before it averages
_ANSWER = re.compile(r"^(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One line of a prompt file with its questions."""

    type: str
    line: int
    short: str
    long: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]

    def spot(self, model: str, length: str) -> Spot:
        """Where the picture of one of its two descriptions lies."""
        return Spot(path=f"{self.type}/{model}/{length}_description/{self.line}")


def read_prompts(folder: Path, split: str = "testmini", limit: int | None = None) -> tuple[Prompt, ...]:
    """All prompts of a split; with a limit the types take turns."""
    if split not in SPLITS:
        raise ConfigError(f"the split is {split!r}; TIIF-Bench has {' and '.join(SPLITS)}.")
    place = folder / "data" / f"{split}_prompts"
    files = sorted(place.glob("*_prompts.jsonl")) if place.is_dir() else []
    if not files:
        raise ConfigError(f"there are no prompt files in {place}; give a checkout of the official repository.")
    return tuple(spread([_read(path, folder / "data" / f"{split}_eval_prompts") for path in files], limit))


def _read(path: Path, questions: Path) -> list[Prompt]:
    kind = path.name.removesuffix("_prompts.jsonl")
    asked = questions / f"{kind}_eval_prompts.jsonl"
    rows, checks = read_lines(path), read_lines(asked)
    if len(rows) != len(checks):
        raise ConfigError(f"{path} has {len(rows)} lines and {asked} has {len(checks)}; they must be equally many.")
    prompts = []
    for line, (row, check) in enumerate(zip(rows, checks, strict=True)):
        where = f"{asked} line {line + 1}"
        prompt = Prompt(
            type=kind,
            line=line,
            short=field(row, "short_description", str, f"{path} line {line + 1}"),
            long=field(row, "long_description", str, f"{path} line {line + 1}"),
            questions=texts(check, "yn_question_list", where),
            answers=texts(check, "yn_answer_list", where),
        )
        if len(prompt.questions) != len(prompt.answers) or not prompt.questions:
            raise ConfigError(f"{where} has {len(prompt.questions)} questions and {len(prompt.answers)} answers.")
        prompts.append(prompt)
    return prompts


def parse_answers(answer: str, count: int) -> tuple[str, ...] | None:
    """The lines of a judge's answer that begin with yes or no; None unless there is one per question."""
    found = [match[1].lower() for line in answer.splitlines() if (match := _ANSWER.match(line.strip()))]
    return tuple(found) if len(found) == count else None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One picture's answers beside the expected ones."""

    type: str
    length: str
    expected: tuple[str, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.expected) != len(self.answers):
            raise ConfigError(f"a picture of {self.type} has {len(self.answers)} of {len(self.expected)} answers.")

    @property
    def correct(self) -> int:
        return sum(a.lower() == b.lower() for a, b in zip(self.expected, self.answers, strict=True))


def type_accuracy(checked: Iterable[Checked]) -> float:
    """Share of right answers over all questions of a type, rounded as the script does."""
    pictures = list(checked)
    return round(sum(picture.correct for picture in pictures) / sum(len(p.expected) for p in pictures), _DIGITS)


def read_results(folder: Path) -> tuple[Checked, ...]:
    """The answers that the official script kept about one system: `{type}/{short,long}/{line}.json` below `folder`."""
    files = [(path, length) for length in LENGTHS for path in sorted(folder.glob(f"*/{length}/*.json"))]
    if not files:
        raise ConfigError(f"there are no answers in {folder}; name the folder of one system in the official results.")
    return tuple(_read_result(path, length) for path, length in files)


def _read_result(path: Path, length: str) -> Checked:
    row = read_json(path)
    if not isinstance(row, dict):
        raise ConfigError(f"{path} is not an object; run the official script again.")
    return Checked(
        type=path.parent.parent.name,
        length=length,
        expected=texts(row, "gt_answers", str(path)),
        answers=texts(row, "model_pred", str(path)),
    )


@dataclass(frozen=True, kw_only=True)
class Score:
    """One column of the published table, in percent."""

    overall: float
    groups: Mapping[str, float]
    types: Mapping[str, float]


def score(checked: Sequence[Checked], length: str) -> Score:
    """The plain mean of nine groups, each the plain mean of its types; every type must be there."""
    by_type: dict[str, list[Checked]] = {}
    for picture in checked:
        if picture.length == length:
            by_type.setdefault(picture.type.lower(), []).append(picture)
    return from_types({kind: type_accuracy(pictures) for kind, pictures in by_type.items()})


def from_types(accuracies: Mapping[str, float]) -> Score:
    """The same from the accuracies of the types (shares, not percent)."""
    absent, unknown = sorted(set(TYPES) - set(accuracies)), sorted(set(accuracies) - set(TYPES))
    if absent or unknown:
        raise ConfigError(
            f"TIIF-Bench needs exactly its {len(TYPES)} types: {len(absent)} are missing ({', '.join(absent[:5])}), "
            f"{len(unknown)} are unknown ({', '.join(unknown[:5])})."
        )
    groups = {name: 100 * mean([accuracies[kind] for kind in kinds]) for name, kinds in GROUPS.items()}
    types = {kind: 100 * accuracies[kind] for kind in TYPES}
    return Score(overall=mean(list(groups.values())), groups=groups, types=types)
