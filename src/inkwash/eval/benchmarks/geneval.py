"""GenEval: 553 prompts about objects, counts, colours and places, four pictures each.

Data: `evaluation_metadata.jsonl`; pictures: `{number:05d}/samples/{0000..0003}.png` beside a `metadata.jsonl` with the
prompt's line, as the official scripts want them. A judge says per picture whether it is correct; a task's score is the
share of correct pictures and the overall score the plain mean of six tasks. GenEval's own judge is a detector in an
environment of its own; where its results file is among the pictures, that is scored. Ghosh et al., arXiv:2310.11513.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun, ImageTask, SampledOptions, StageProgress
from inkwash.eval.benchmarks.files import field, read_lines, spread
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import run_settings
from inkwash.eval.benchmarks.vision import YesNoJudge
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.media.images import load_image

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
SAMPLES = 4
METADATA = "evaluation_metadata.jsonl"
DETECTOR = "mask2former-swin-s+clip-vit-l-14"  # GenEval's own judge
DETECTED = "results.jsonl"  # its answers, in the picture folder
QUESTION = (
    'Does the picture show exactly this, with every object, number, colour and position right: "{question}"? '
    "Answer with one word, yes or no."
)
_FILE = re.compile(r"(\d{5})/samples/(\d{4})\.\w+$")


@dataclass(frozen=True, kw_only=True)
class GenevalObject:
    """One object that must (or must not) be there."""

    name: str
    count: int
    color: str | None = None
    relation: tuple[str, int] | None = None  # such as ("left of", 0): of the object with that number


@dataclass(frozen=True, kw_only=True)
class GenevalPrompt:
    """One line of the metadata; `number` names its folder."""

    number: int
    tag: str
    prompt: str
    include: tuple[GenevalObject, ...]
    exclude: tuple[GenevalObject, ...]
    line: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return f"{self.number:05d}"

    def image_paths(self, samples: int = SAMPLES) -> list[ImagePath]:
        """Where its pictures lie."""
        return [ImagePath(path=f"{self.folder}/samples/{i:04d}") for i in range(samples)]

    def metadata(self) -> str:
        """The content of the folder's `metadata.jsonl`."""
        return json.dumps(dict(self.line)) + "\n"


def read_prompts(folder: Path, limit: int | None = None) -> tuple[GenevalPrompt, ...]:
    """All prompts; with a limit the tasks take turns."""
    path = folder / METADATA
    groups: dict[str, list[GenevalPrompt]] = {task: [] for task in TASKS}
    for number, row in enumerate(read_lines(path)):
        where = f"{path} line {number + 1}"
        tag = field(row, "tag", str, where)
        if tag not in groups:
            raise ConfigError(f"{where} has the tag {tag!r}; known are {', '.join(TASKS)}.")
        groups[tag].append(
            GenevalPrompt(
                number=number,
                tag=tag,
                prompt=field(row, "prompt", str, where),
                include=tuple(_object(each, where) for each in field(row, "include", list, where)),
                exclude=tuple(_object(each, where) for each in row.get("exclude", [])),
                line=row,
            )
        )
    return tuple(sorted(spread(list(groups.values()), limit), key=lambda prompt: prompt.number))


def _object(row: Any, where: str) -> GenevalObject:
    if not isinstance(row, dict):
        raise ConfigError(f"{where} lists an object that is not a JSON object.")
    place = row.get("position")
    return GenevalObject(
        name=field(row, "class", str, where),
        count=field(row, "count", int, where),
        color=row.get("color"),
        relation=(str(place[0]), int(place[1])) if place else None,
    )


@dataclass(frozen=True, kw_only=True)
class GenevalScore:
    """The share of correct pictures by task, and their plain mean."""

    overall: float
    tasks: Mapping[str, float]


def score(correct: Iterable[tuple[str, bool]]) -> GenevalScore:
    """From (task, whether the picture is correct) of every picture; every task must be there."""
    by_task: dict[str, list[float]] = {task: [] for task in TASKS}
    for task, right in correct:
        if task not in by_task:
            raise ConfigError(f"the task {task!r} is unknown; GenEval has {', '.join(TASKS)}.")
        by_task[task].append(float(right))
    return from_tasks({task: mean(values) for task, values in by_task.items() if values})


def from_tasks(tasks: Mapping[str, float]) -> GenevalScore:
    """The same from published columns."""
    absent = [task for task in TASKS if task not in tasks]
    if absent:
        raise ConfigError(f"GenEval's overall score needs all six tasks; {', '.join(absent)} has no pictures.")
    return GenevalScore(overall=mean([tasks[task] for task in TASKS]), tasks=dict(tasks))


def _layout(run: BenchmarkRun[SampledOptions], prompts: Sequence[GenevalPrompt]) -> list[ImageTask]:
    return [
        ImageTask(path=path, prompt=prompt.prompt, texts=((f"{prompt.folder}/metadata.jsonl", prompt.metadata()),))
        for prompt in prompts
        for path in prompt.image_paths(run.options.samples)
    ]


def _score(
    run: BenchmarkRun[SampledOptions], prompts: Sequence[GenevalPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """The share of correct pictures by task, from the official detector's results or a vision model's answers."""
    samples = run.options.samples
    wanted = [(prompt, i) for prompt in prompts for i in range(samples)]
    paths = find_pictures(run.images, [path for prompt in prompts for path in prompt.image_paths(samples)])
    settings = run_settings(run, [prompt.prompt for prompt in prompts], samples=samples)
    detected = run.images / DETECTED
    if detected.exists():
        known = detector_results(detected)
        name, correct = DETECTOR, [_known(known, prompt, i, detected) for prompt, i in wanted]
    else:
        client = judges.vision("answers to its questions")  # GenEval's own judge is a detector, hence "own" below
        judge = YesNoJudge(client, judges.cache, prompt=QUESTION, purpose="own-geneval-question")
        settings["truth_share_answered"] = self_check.check_answers(judge.cache, judge.answer, "yes")
        name = judge.name
        questions = [partial(_shows, judge, prompt, path) for (prompt, _), path in zip(wanted, paths, strict=True)]
        correct = judges.ask(questions, partial(tell, "ask"))
    by_task: dict[str, list[float]] = {task: [] for task in TASKS}
    for (prompt, _), right in zip(wanted, correct, strict=True):
        by_task[prompt.tag].append(float(right))
    tasks = {task: mean(values) for task, values in by_task.items() if values}
    complete = len(tasks) == len(TASKS)
    return Result(
        task=run.task,
        judge=name,
        measures=measures(run.task, name, overall=from_tasks(tasks).overall if complete else float("nan")),
        parts_name="per_task",
        parts={task: rounded({"overall": share}, n=len(by_task[task])) for task, share in tasks.items()},
        counts={"n": len(correct), "correct": sum(correct)},
        pictures=tuple(
            JudgedPicture(
                key=f"{prompt.folder}/{i}",
                prompt=prompt.prompt,
                path=path,
                wanted=((prompt.prompt, right),),
                read=("correct" if right else "not correct",),
                share=float(right),
            )
            for (prompt, i), path, right in zip(wanted, paths, correct, strict=True)
        ),
        settings=settings,
        items=tuple(
            PairedItem(
                key=prompt.folder,
                sums={"overall": (float(sum(correct[i * samples : (i + 1) * samples])), float(samples))},
                stratum=prompt.tag,
            )
            for i, prompt in enumerate(prompts)
        ),
        notes=() if complete else (f"overall needs all six tasks, this run has {len(tasks)}",),
    )


def _shows(judge: YesNoJudge, prompt: GenevalPrompt, path: Path) -> bool:
    return judge.answer(load_image(path), prompt.prompt) == "yes"


def detector_results(file: Path) -> dict[tuple[str, int], bool]:
    """(folder, sample) -> whether GenEval's own `evaluate_images.py` calls the picture correct."""
    found = {}
    for number, row in enumerate(read_lines(file), start=1):
        where = f"{file} line {number}"
        name = _FILE.search(field(row, "filename", str, where).replace("\\", "/"))
        if name is None or not isinstance(row.get("correct"), bool):
            raise ConfigError(f"{where} is no line of GenEval's results; delete the file or write it again.")
        found[name[1], int(name[2])] = bool(row["correct"])
    return found


def _known(known: Mapping[tuple[str, int], bool], prompt: GenevalPrompt, sample: int, file: Path) -> bool:
    key = prompt.folder, sample
    if key not in known:
        raise ConfigError(
            f"{file} says nothing about {prompt.folder}/samples/{sample:04d}.png; run the detector again."
        )
    return known[key]


BENCHMARK = Benchmark(
    name="geneval",
    summary="GenEval: objects, counts, colours and places.",
    options=SampledOptions,
    read=lambda run: read_prompts(run.data, run.limit),
    layout=_layout,
    score=_score,
)
