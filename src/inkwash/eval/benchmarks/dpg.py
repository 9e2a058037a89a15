"""DPG-Bench: 1,065 dense prompts, four pictures each in one grid, yes/no questions that depend on one another.

Prompts come from `prompts/*.txt`, from a `prompts.json` of [id, text] pairs, or from the official `dpg_bench.csv`,
which also holds the questions. Pictures: `{id}.png`, a grid of top left, top right, bottom left, bottom right.
`DpgMode.OFFICIAL` keeps the two known faults of the published scorer, `DpgMode.FIXED` has neither. Hu et al., ELLA,
arXiv:2403.05135.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import (
    Benchmark,
    BenchmarkRun,
    ImageTask,
    Options,
    Published,
    StageProgress,
    option,
)
from inkwash.eval.benchmarks.files import read_csv, read_json, read_text
from inkwash.eval.benchmarks.judges import WEIGHTS, CachedAnswers, Judges, Need
from inkwash.eval.benchmarks.libraries import Mplug
from inkwash.eval.benchmarks.pictures import ImagePath, cells, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import run_settings
from inkwash.eval.benchmarks.vision import YesNoJudge
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.media.images import load_image

CELLS = 4
QUESTION = "{question} Answer with one word, yes or no."
NEEDS = Need(purpose="answers to its questions", vision=True, weights="mplug")
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


class DpgMode(enum.Enum):
    """Which scorer is meant.

    OFFICIAL: the first row of the questions file is lost, a prompt whose question depends on a lost one is dropped,
    and categories are taken from the last cell only. FIXED: every row and every cell counts.
    """

    OFFICIAL = "official"
    FIXED = "fixed"


@dataclass(frozen=True, kw_only=True)
class DpgOptions(Options):
    """Options of DPG-Bench."""

    mode: str = option(
        "official",
        help="official, with the scorer's known faults, or fixed.",
        choices=[mode.value for mode in DpgMode],
    )


@dataclass(frozen=True, kw_only=True)
class DpgPrompt:
    """One prompt; its id is the name of its picture."""

    id: str
    prompt: str

    @property
    def image_path(self) -> ImagePath:
        return ImagePath(path=self.id)


@dataclass(frozen=True, kw_only=True)
class DpgQuestion:
    """One row of the questions file."""

    number: int
    question: str
    parents: tuple[int, ...]  # 0 stands for none
    category: str  # such as "entity - whole"

    @property
    def broad(self) -> str:
        return self.category.split("-")[0].strip()


@dataclass(frozen=True, kw_only=True)
class DpgItem:
    """A prompt with its questions, in the order of the file."""

    id: str
    prompt: str
    questions: tuple[DpgQuestion, ...]


def read_prompts(folder: Path, limit: int | None = None) -> tuple[DpgPrompt, ...]:
    """The prompts of a folder: `prompts.json`, else `dpg_bench.csv`, else `prompts/*.txt`."""
    if limit is not None and limit < 1:
        raise ConfigError(f"the limit is {limit}; it must be at least 1.")
    if (folder / "prompts.json").exists():
        pairs = read_json(folder / "prompts.json")
        if not isinstance(pairs, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair) for pair in pairs
        ):
            raise ConfigError(f"{folder / 'prompts.json'} is not a list of [id, text] pairs.")
        found = [DpgPrompt(id=key, prompt=text) for key, text in pairs]
    elif (folder / "dpg_bench.csv").exists():
        found = [DpgPrompt(id=item.id, prompt=item.prompt) for item in read_items(folder, DpgMode.FIXED)]
    else:
        files = sorted((folder / "prompts").glob("*.txt"))
        if not files:
            raise ConfigError(f"{folder} has no prompts.json, no dpg_bench.csv and no prompts/*.txt.")
        found = [DpgPrompt(id=file.stem, prompt=read_text(file).strip()) for file in files]
    if len({prompt.id for prompt in found}) != len(found):
        raise ConfigError(f"the prompts of {folder} have one id twice; fetch the official files again.")
    return tuple(found[:limit])


def read_items(folder: Path, mode: DpgMode) -> tuple[DpgItem, ...]:
    """Prompts with their questions from `dpg_bench.csv`."""
    path = folder / "dpg_bench.csv"
    rows = read_csv(path, _COLUMNS)
    groups: dict[str, list[DpgQuestion]] = {}
    prompts: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if number == 1 and mode is DpgMode.OFFICIAL:
            continue
        groups.setdefault(row["item_id"], []).append(_question(row, f"{path} row {number}"))
        prompts.setdefault(row["item_id"], row["text"])
    items = tuple(DpgItem(id=key, prompt=prompts[key], questions=tuple(questions)) for key, questions in groups.items())
    for item in items:
        _check(item, mode, path)
    return items


def _question(row: Mapping[str, str], where: str) -> DpgQuestion:
    try:
        parents = tuple(int(part) for part in row["dependency"].split(","))
        number = int(row["proposition_id"])
    except ValueError:
        raise ConfigError(
            f"{where} has the proposition {row['proposition_id']!r} and the dependency {row['dependency']!r}; "
            f"whole numbers are needed."
        ) from None
    category = row["tuple"].split("(")[0].strip()
    return DpgQuestion(number=number, question=row["question_natural_language"], parents=parents, category=category)


def _check(item: DpgItem, mode: DpgMode, path: Path) -> None:
    numbers = [question.number for question in item.questions]
    if len(set(numbers)) != len(numbers):
        raise ConfigError(f"{path} asks one question of {item.id} twice; fetch the official file again.")
    unknown = {parent for question in item.questions for parent in question.parents if parent} - set(numbers)
    if unknown and mode is DpgMode.FIXED:
        raise ConfigError(f"{path} lets questions of {item.id} depend on {sorted(unknown)}, which are not there.")


class _DroppedPrompt(Exception):
    """A question depends on one that the official reader lost."""


def cascade(item: DpgItem, answers: Mapping[int, bool]) -> dict[int, bool]:
    """Answers after dependency: in the file's order, a question falls when a parent is down at that moment."""
    standing = dict(answers)
    for question in item.questions:
        for parent in question.parents:
            if parent == 0:
                continue
            if parent not in standing:
                raise _DroppedPrompt(item.id)
            if not standing[parent]:
                standing[question.number] = False
                break
    return standing


@dataclass(frozen=True, kw_only=True)
class DpgScore:
    """Everything the official results file says, in percent."""

    overall: float
    broad: Mapping[str, float]
    detailed: Mapping[str, float]
    prompts: Mapping[str, float]
    dropped: tuple[str, ...]  # prompts that the official scorer loses


def is_yes(answer: str) -> bool:
    """The judge's answer counts when it is exactly `yes`, as the official judge writes it."""
    return answer == "yes"


def score(items: Sequence[DpgItem], answers: Mapping[str, Sequence[Mapping[int, bool]]], mode: DpgMode) -> DpgScore:
    """DPG from the answers of every cell of every prompt, `answers[id][cell][question]`."""
    prompts: dict[str, float] = {}
    dropped = []
    categories: dict[str, list[float]] = {}
    for item in items:
        by_cell = _complete(item, answers)
        try:
            standing = [cascade(item, cell) for cell in by_cell]
        except _DroppedPrompt:
            dropped.append(item.id)
            continue
        prompts[item.id] = 100 * mean([sum(cell.values()) / len(cell) for cell in standing])
        for cell in by_cell[-1:] if mode is DpgMode.OFFICIAL else by_cell:
            for question in item.questions:
                categories.setdefault(question.category, []).append(100.0 * cell[question.number])
    broad: dict[str, list[float]] = {}
    for category, values in categories.items():
        broad.setdefault(category.split("-")[0].strip(), []).extend(values)
    return DpgScore(
        overall=mean(list(prompts.values())),
        broad={name: mean(values) for name, values in sorted(broad.items())},
        detailed={name: mean(values) for name, values in sorted(categories.items())},
        prompts=prompts,
        dropped=tuple(dropped),
    )


def _complete(item: DpgItem, answers: Mapping[str, Sequence[Mapping[int, bool]]]) -> list[dict[int, bool]]:
    by_cell = answers.get(item.id, ())
    wanted = [question.number for question in item.questions]
    if not by_cell or any(number not in cell for cell in by_cell for number in wanted):
        raise ConfigError(f"the prompt {item.id} has {len(by_cell)} cells or lacks answers; all questions are needed.")
    return [{number: cell[number] for number in wanted} for cell in by_cell]


def _layout(run: BenchmarkRun[DpgOptions], prompts: Sequence[DpgPrompt]) -> list[ImageTask]:
    return [ImageTask(path=prompt.image_path, prompt=prompt.prompt, cells=CELLS) for prompt in prompts]


def _score(run: BenchmarkRun[DpgOptions], prompts: Sequence[DpgPrompt], judges: Judges, tell: StageProgress) -> Result:
    """DPG in one of its two modes, from the answers about every cell."""
    mode = DpgMode(run.options.mode)
    files = find_pictures(run.images, [prompt.image_path for prompt in prompts])
    paths = dict(zip((prompt.id for prompt in prompts), files, strict=True))
    items = [item for item in read_items(run.data, mode) if item.id in paths]
    judge = open_judge(judges)
    share = self_check.check_answers(judge.cache, judge.answer, "yes")
    pairs = [(item, cell, question) for item in items for cell in range(CELLS) for question in item.questions]

    def ask(item: DpgItem, cell: int, question: DpgQuestion) -> bool:
        return is_yes(judge.answer(cells(load_image(paths[item.id]))[cell], question.question))

    questions = [partial(ask, *each) for each in pairs]
    found = judges.ask(questions, partial(tell, "ask"), alone="mplug" in judges.weights)
    answers: dict[str, list[dict[int, bool]]] = {item.id: [{} for _ in range(CELLS)] for item in items}
    for (item, cell, question), yes in zip(pairs, found, strict=True):
        answers[item.id][cell][question.number] = yes
    result = score(items, answers, mode)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, overall=result.overall),
        parts_name="per_category",
        parts={name: rounded({"overall": value}) for name, value in result.broad.items()},
        counts={"n": len(result.prompts), "questions": sum(len(item.questions) for item in items)},
        pictures=tuple(_judged(item, answers[item.id], result.prompts, paths[item.id]) for item in items),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], mode=mode.value, truth_share_answered=share),
        items=tuple(PairedItem(key=key, sums={"overall": (value, 1.0)}) for key, value in result.prompts.items()),
        notes=tuple(f"the official scorer loses the prompt {key}" for key in result.dropped),
    )


def open_judge(judges: Judges) -> CachedAnswers | YesNoJudge:
    """The official judge where its weights are given, else the vision model."""
    if "mplug" in judges.weights:
        return CachedAnswers(Mplug(judges.weights["mplug"], judges.device), judges.cache)
    official = f" (the official judge is mPLUG: --weights mplug=DIR, {WEIGHTS['mplug']})"
    client = judges.vision(NEEDS.purpose + official)
    return YesNoJudge(client, judges.cache, prompt=QUESTION, purpose="dpg-question")


def _judged(
    item: DpgItem, answers: Sequence[Mapping[int, bool]], scores: Mapping[str, float], path: Path
) -> JudgedPicture:
    counts = [sum(cell[question.number] for cell in answers) for question in item.questions]
    return JudgedPicture(
        key=item.id,
        prompt=item.prompt,
        path=path,
        wanted=tuple(
            (question.question, count == len(answers)) for question, count in zip(item.questions, counts, strict=True)
        ),
        read=tuple(f"yes in {count} of {len(answers)} cells" for count in counts),
        share=scores.get(item.id, 0.0) / 100,
    )


BENCHMARK = Benchmark(
    name="dpg",
    summary="DPG-Bench: dense prompts, questions that depend on one another.",
    options=DpgOptions,
    read=lambda run: read_prompts(run.data, run.limit),
    layout=_layout,
    score=_score,
    needs=lambda options: (NEEDS,),
    weights=True,
    best=100.0,
    published=Published(
        judges={"overall": "mplug-vqa-large"},
        rows={
            "Seedream 4.5": (88.63,),
            "Seedream 4.0": (88.54,),
            "Nano Banana 2.0": (87.16,),
            "GPT Image 1 [High]": (85.15,),
            "DALL-E 3": (83.50,),
            "Qwen-Image": (88.32,),
            "Qwen-Image-2512": (87.20,),
            "Z-Image": (88.14,),
            "Z-Image-Turbo": (84.86,),
            "FLUX.1 [Dev]": (83.52,),
            "SD3 Medium": (84.08,),
            "SD XL": (74.65,),
            "Janus-Pro": (84.19,),
            "GLM-Image": (84.78,),
        },
    ),
)
