"""OneIG-Bench: prompts, questions and wanted texts of its English and Chinese editions, read from a user's copy.

The data may not be shipped (CC BY-NC 4.0); `folder` is a checkout of the official repository. Prompt ids are unique
only within a category. The benchmark itself is in `oneig`, its metrics are in `oneig_score`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import field, parse_json, read_csv, read_json, spread
from inkwash.eval.benchmarks.pictures import ImagePath

SETS: Mapping[str, str] = {  # category of the prompt file -> folder of its pictures
    "Anime_Stylization": "anime",
    "Portrait": "human",
    "General_Object": "object",
    "Text_Rendering": "text",
    "Knowledge_Reasoning": "reasoning",
    "Multilingualism": "multilingualism",
}
ALIGNED = {"en": ("anime", "human", "object"), "zh": ("anime", "human", "object", "multilingualism")}
DIMENSIONS = ("alignment", "text", "reasoning", "style", "diversity")
GRID = (2, 2)

_CSV = {"en": ("OneIG-Bench.csv", "prompt_en"), "zh": ("OneIG-Bench-ZH.csv", "prompt_cn")}


@dataclass(frozen=True, kw_only=True)
class OneigPrompt:
    """One row of the prompt file."""

    set: str
    id: str
    prompt: str
    type_class: str  # the column `class`

    @property
    def key(self) -> str:
        return f"{self.set}/{self.id}"

    def image_path(self, system: str) -> ImagePath:
        """Where its grid of four pictures lies."""
        return ImagePath(path=f"{self.set}/{system}/{self.id}", suffixes=(".webp", ".png", ".jpg", ".jpeg"))


def check_covered(prompts: Sequence[OneigPrompt], dimensions: Sequence[str], language: str) -> None:
    """ConfigError for a dimension that none of the prompts of a limited run is about."""
    about = {
        "alignment": ALIGNED[_known(language)],
        "text": ("text",),
        "reasoning": ("reasoning",),
        "style": ("anime",),
    }
    present = {prompt.set for prompt in prompts}
    for name in dimensions:
        if name in about and present.isdisjoint(about[name]):
            raise ConfigError(
                f"no prompt of this run is about {name} (it has {', '.join(sorted(present))}); give a larger --limit, "
                f"or leave {name} out of --dimensions."
            )


@dataclass(frozen=True, kw_only=True)
class OneigQuestions:
    """The yes/no questions about one prompt, and for some of them the questions they depend on."""

    set: str
    id: str
    questions: Mapping[int, str]
    parents: Mapping[int, tuple[int, ...]]


def _edition(language: str) -> str:
    if language not in _CSV:
        raise ConfigError(f"the language is {language!r}; OneIG-Bench has {' and '.join(_CSV)}.")
    return "" if language == "en" else "_zh"


def read_prompts(folder: Path, language: str, limit: int | None = None) -> tuple[OneigPrompt, ...]:
    """All prompts of one edition; with a limit the sets take turns."""
    _edition(language)
    name, column = _CSV[language]
    groups: dict[str, list[OneigPrompt]] = {}
    for number, row in enumerate(read_csv(folder / name, ("category", "id", column, "class")), start=1):
        if row["category"] not in SETS:
            raise ConfigError(
                f"{folder / name} row {number} has the category {row['category']!r}; known are {', '.join(SETS)}."
            )
        place = SETS[row["category"]]
        prompt = OneigPrompt(set=place, id=row["id"], prompt=row[column], type_class=row["class"])
        groups.setdefault(place, []).append(prompt)
    prompts = tuple(spread(list(groups.values()), limit))
    if len({prompt.key for prompt in prompts}) != len(prompts):
        raise ConfigError(f"{folder / name} has one id twice in a category; fetch the official file again.")
    return prompts


def read_questions(folder: Path, language: str) -> tuple[OneigQuestions, ...]:
    """The alignment questions of every set that has them."""
    found = []
    for name in ALIGNED[_known(language)]:
        edition = _edition(language) if name != "multilingualism" else "_zh"
        path = folder / "scripts" / "alignment" / "Q_D" / f"{name}{edition}.json"
        for key, row in _object(read_json(path), str(path)).items():
            found.append(_questions(name, key, row, f"{path} id {key}"))
    return tuple(found)


def _questions(name: str, key: str, row: Any, where: str) -> OneigQuestions:
    row = _object(row, where)
    questions = {int(k): str(v) for k, v in _numbered(row, "question", where).items()}
    parents = {int(k): tuple(int(p) for p in v) for k, v in _numbered(row, "dependency", where).items()}
    if sorted(questions) != list(range(1, len(questions) + 1)):
        raise ConfigError(f"{where} numbers its questions {sorted(questions)}; they must run from 1 without a gap.")
    unknown = {p for each in parents.values() for p in each if p} - set(questions) | set(parents) - set(questions)
    if unknown:
        raise ConfigError(f"{where} names the questions {sorted(unknown)}, which it does not ask.")
    return OneigQuestions(set=name, id=key, questions=questions, parents=parents)


def _numbered(row: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = row.get(key)
    value = parse_json(value, f"{where} {key}") if isinstance(value, str) else value
    numbered = _object(value, f"{where} {key}")
    if not all(number.isdecimal() for number in numbered):
        raise ConfigError(f"{where} {key} has keys that are no numbers: {', '.join(numbered)}.")
    return numbered


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is not an object; fetch the official file again.")
    return value


def _known(language: str) -> str:
    _edition(language)
    return language


def read_texts(folder: Path, language: str) -> dict[str, str]:
    """The wanted text by id, as the raw list string that the metric is defined on."""
    path = folder / "scripts" / "text" / f"text_content{_edition(language)}.csv"
    found = {}
    for number, row in enumerate(read_csv(path, ("id", "text_content")), start=1):
        try:
            items = ast.literal_eval(row["text_content"])
        except (ValueError, SyntaxError):
            items = None
        if not isinstance(items, list):
            raise ConfigError(f"{path} row {number} is not a list of strings; fetch the official file again.")
        found[row["id"]] = row["text_content"]
    return found


def listed(text: str) -> list[str]:
    """The strings of a raw list string."""
    return [str(item) for item in ast.literal_eval(text)]


def read_answers(folder: Path, language: str) -> dict[str, str]:
    """The expected answer of each reasoning prompt by id."""
    path = folder / "scripts" / "reasoning" / f"gt_answer{_edition(language)}.json"
    rows = _object(read_json(path), str(path))
    return {key: field(rows, key, str, str(path)) for key in rows}


def read_styles(folder: Path) -> dict[str, str]:
    """The style of every styled anime prompt by id: lower case, underscores for spaces."""
    rows = read_csv(folder / "scripts" / "style" / "style.csv", ("id", "class"))
    named = {row["id"]: row["class"].strip() for row in rows}
    return {key: style.lower().replace(" ", "_") for key, style in named.items() if style and style.lower() != "nan"}
