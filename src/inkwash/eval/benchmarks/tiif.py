"""TIIF-Bench: prompts and yes/no questions of both splits, read from a user's copy, and the script's aggregation.

The data has no licence and is never shipped; `folder` is a checkout of the official repository. Pictures:
`{type}/{model}/{short,long}_description/{line}.png` below the picture folder, lines counted from 0. All questions about
a picture are asked in one call, with prompts of ours because the official ones have no licence. Published tables are
the `testmini` split. Wei et al., arXiv:2506.02161.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import (
    Benchmark,
    BenchmarkRun,
    ImageTask,
    Published,
    StageProgress,
    SystemOptions,
    option,
)
from inkwash.eval.benchmarks.chat import VisionClient
from inkwash.eval.benchmarks.files import field, read_json, read_lines, spread, texts
from inkwash.eval.benchmarks.judges import Judges, Need
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import find_system, run_settings, system_folder
from inkwash.eval.benchmarks.vision import READ_TOKENS, judge_name, parsed_by
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import AnswerCache, picture_hash
from inkwash.media.images import load_image

SPLITS = ("testmini", "test")
LENGTHS = ("short", "long")
_SPATIAL = ("2d_spatial_relation", "3d_spatial_relation")
_REASONING = ("numeracy", "comparison", "differentiation", "negation")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Attribute": ("shape+color", "color+texture", "texture+color", "shape+texture"),
    "Relation": (*_SPATIAL, "action+2d", "action+3d"),
    "Reasoning": ("numeracy", "negation", "differentiation", "comparison"),
    "Attribute+Relation": (
        "action+color",
        "action+texture",
        *(f"{look}+{place}" for look in ("color", "shape", "texture") for place in ("2d", "3d")),
    ),
    "Attribute+Reasoning": tuple(f"{kind}+{look}" for kind in _REASONING for look in ("color", "texture")),
    "Relation+Reasoning": tuple(f"{kind}+{place}" for kind in _REASONING for place in ("2d", "3d")),
    "Text": ("text",),
    "Style": ("style",),
    "Real_world": ("real_world",),
}
TYPES = tuple(kind for group in GROUPS.values() for kind in group)
GROUP_OF: Mapping[str, str] = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
NEEDS = Need(purpose="answers to its questions", vision=True)
SYSTEM = "You check pictures against questions."
QUESTIONS = (
    "Look at the picture and answer each of these {count} questions, in order, with yes or no.\n{questions}\n"
    "Write exactly {count} lines; each line begins with yes or no and holds nothing else."
)
_DIGITS = 4  # the script rounds the accuracy of a type before it averages
_ANSWER = re.compile(r"^(yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class TiifOptions(SystemOptions):
    """Options of TIIF-Bench."""

    split: str = option(
        "testmini", help="testmini, which published tables show, or test.", choices=SPLITS, selects_prompts=True
    )


@dataclass(frozen=True, kw_only=True)
class TiifPrompt:
    """One line of a prompt file with its questions."""

    type: str
    line: int
    short: str
    long: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]

    def description(self, length: str) -> str:
        """The short or the long description."""
        return self.short if length == "short" else self.long

    def image_path(self, system: str, length: str) -> ImagePath:
        """Where the picture of one of its two descriptions lies."""
        return ImagePath(path=f"{self.type}/{system}/{length}_description/{self.line}")


def read_prompts(folder: Path, split: str = "testmini", limit: int | None = None) -> tuple[TiifPrompt, ...]:
    """All prompts of a split; with a limit the types take turns."""
    if split not in SPLITS:
        raise ConfigError(f"the split is {split!r}; TIIF-Bench has {' and '.join(SPLITS)}.")
    place = folder / "data" / f"{split}_prompts"
    files = sorted(place.glob("*_prompts.jsonl")) if place.is_dir() else []
    if not files:
        raise ConfigError(f"there are no prompt files in {place}; give a checkout of the official repository.")
    return tuple(spread([_read(path, folder / "data" / f"{split}_eval_prompts") for path in files], limit))


def _read(path: Path, questions: Path) -> list[TiifPrompt]:
    kind = path.name.removesuffix("_prompts.jsonl")
    question_file = questions / f"{kind}_eval_prompts.jsonl"
    rows, checks = read_lines(path), read_lines(question_file)
    if len(rows) != len(checks):
        raise ConfigError(
            f"{path} has {len(rows)} lines and {question_file} has {len(checks)}; they must be equally many."
        )
    prompts = []
    for line, (row, check) in enumerate(zip(rows, checks, strict=True)):
        where = f"{question_file} line {line + 1}"
        prompt = TiifPrompt(
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
class TiifAnswers:
    """One picture's answers beside the expected ones."""

    type: str
    length: str
    expected: tuple[str, ...]
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.expected) != len(self.answers):
            raise ConfigError(f"a picture of {self.type} has {len(self.answers)} of {len(self.expected)} answers.")

    @property
    def right(self) -> list[bool]:
        """Whether each answer is the expected one."""
        return [a.lower() == b.lower() for a, b in zip(self.expected, self.answers, strict=True)]

    @property
    def correct(self) -> int:
        return sum(self.right)


def type_accuracy(checked: Iterable[TiifAnswers]) -> float:
    """Share of right answers over all questions of a type, rounded as the script does."""
    pictures = list(checked)
    return round(sum(picture.correct for picture in pictures) / sum(len(p.expected) for p in pictures), _DIGITS)


def read_results(folder: Path) -> tuple[TiifAnswers, ...]:
    """The answers that the official script kept about one system: `{type}/{short,long}/{line}.json` below `folder`."""
    files = [(path, length) for length in LENGTHS for path in sorted(folder.glob(f"*/{length}/*.json"))]
    if not files:
        raise ConfigError(f"there are no answers in {folder}; name the folder of one system in the official results.")
    return tuple(_read_result(path, length) for path, length in files)


def _read_result(path: Path, length: str) -> TiifAnswers:
    row = read_json(path)
    if not isinstance(row, dict):
        raise ConfigError(f"{path} is not an object; run the official script again.")
    return TiifAnswers(
        type=path.parent.parent.name,
        length=length,
        expected=texts(row, "gt_answers", str(path)),
        answers=texts(row, "model_pred", str(path)),
    )


@dataclass(frozen=True, kw_only=True)
class TiifScore:
    """One column of the published table, in percent."""

    overall: float
    groups: Mapping[str, float]
    types: Mapping[str, float]


def score(checked: Sequence[TiifAnswers], length: str) -> TiifScore:
    """The plain mean of nine groups, each the plain mean of its types; every type must be there."""
    by_type: dict[str, list[TiifAnswers]] = {}
    for picture in checked:
        if picture.length == length:
            by_type.setdefault(picture.type.lower(), []).append(picture)
    return from_types({kind: type_accuracy(pictures) for kind, pictures in by_type.items()})


def from_types(accuracies: Mapping[str, float]) -> TiifScore:
    """The same from the accuracies of the types (shares, not percent)."""
    absent, unknown = sorted(set(TYPES) - set(accuracies)), sorted(set(accuracies) - set(TYPES))
    if absent or unknown:
        raise ConfigError(
            f"TIIF-Bench needs exactly its {len(TYPES)} types: {len(absent)} are missing ({', '.join(absent[:5])}), "
            f"{len(unknown)} are unknown ({', '.join(unknown[:5])})."
        )
    groups = {name: 100 * mean([accuracies[kind] for kind in kinds]) for name, kinds in GROUPS.items()}
    types = {kind: 100 * accuracies[kind] for kind in TYPES}
    return TiifScore(overall=mean(list(groups.values())), groups=groups, types=types)


class TiifJudge:
    """Answers all questions about a picture in one call, one line each."""

    def __init__(self, client: VisionClient, cache: Path | None = None) -> None:
        self.client = client
        self.name = judge_name(client, f"own-tiif-prompt,max_tokens={READ_TOKENS}")
        self.cache = AnswerCache(self.name, cache)

    def answers(self, image: Image.Image, questions: Sequence[str]) -> tuple[str, ...]:
        """`yes` or `no` for every question; an answer of another length is asked for again."""
        count = len(questions)
        listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=1))
        prompt = QUESTIONS.format(count=count, questions=listed)
        accept = parsed_by(lambda answer: parse_answers(answer, count), f"not {count} lines of yes or no")

        def ask() -> list[str]:
            return list(self.client.ask(prompt, [image], accept, max_tokens=READ_TOKENS, system=SYSTEM))

        return tuple(self.cache.get_or_ask(picture_hash(image), listed, ask))

    def answer(self, image: Image.Image, question: str) -> str:
        """`yes` or `no` for one question."""
        return self.answers(image, [question])[0]


def _layout(run: BenchmarkRun[TiifOptions], prompts: Sequence[TiifPrompt]) -> list[ImageTask]:
    system = system_folder(run)
    return [
        ImageTask(path=prompt.image_path(system, length), prompt=prompt.description(length))
        for prompt in prompts
        for length in LENGTHS
    ]


def _score(
    run: BenchmarkRun[TiifOptions], prompts: Sequence[TiifPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """Short and long descriptions of one split; the overall scores need all 39 types."""
    system = find_system(run.images / prompts[0].type, run.options.system or run.model_folder)
    pictures = [(prompt, length) for prompt in prompts for length in LENGTHS]
    paths = find_pictures(run.images, [prompt.image_path(system, length) for prompt, length in pictures])
    judge = TiifJudge(judges.vision(NEEDS.purpose), judges.cache)
    share = self_check.check_answers(judge.cache, judge.answer, "yes")
    questions = [partial(_ask, judge, *each, path) for each, path in zip(pictures, paths, strict=True)]
    answers = judges.ask(questions, partial(tell, "ask"))
    numbers, notes = _measures(run.task, judge.name, answers)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=numbers,
        parts_name="per_group",
        parts=_parts(answers),
        counts={"n": len(answers), "questions": sum(len(each.expected) for each in answers)},
        pictures=tuple(
            _judged(*each, path, answer) for each, path, answer in zip(pictures, paths, answers, strict=True)
        ),
        settings=run_settings(
            run,
            [prompt.short for prompt in prompts],
            split=run.options.split,
            system=system,
            truth_share_answered=share,
        ),
        items=tuple(_item(prompt, answers[2 * i : 2 * i + 2]) for i, prompt in enumerate(prompts)),
        notes=notes,
    )


def _ask(judge: TiifJudge, prompt: TiifPrompt, length: str, path: Path) -> TiifAnswers:
    answers = judge.answers(load_image(path), prompt.questions)
    return TiifAnswers(type=prompt.type, length=length, expected=prompt.answers, answers=answers)


def _measures(task: str, judge: str, answers: Sequence[TiifAnswers]) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    present = {each.type.lower() for each in answers}
    if present == set(TYPES):
        return measures(task, judge, **{length: score(answers, length).overall for length in LENGTHS}), ()
    shares = {}
    for length in LENGTHS:
        some = [each for each in answers if each.length == length]
        share = sum(each.correct for each in some) / sum(len(each.expected) for each in some)
        shares[f"question_accuracy_{length}"] = 100 * share
    note = (
        f"short and long need all {len(TYPES)} types, this run has {len(present)}: the question_accuracy here "
        f"is the share of right answers and stands in no published table"
    )
    return measures(task, judge, **shares), (note,)


def _parts(answers: Sequence[TiifAnswers]) -> dict[str, dict[str, object]]:
    parts: dict[str, dict[str, object]] = {}
    for group, kinds in GROUPS.items():
        of_group = [each for each in answers if each.type.lower() in kinds]
        values: dict[str, float] = {}
        for length in LENGTHS:
            by_type = [[a for a in of_group if a.type.lower() == kind and a.length == length] for kind in kinds]
            values[length] = mean([100 * type_accuracy(some) for some in by_type if some])
        if of_group:
            parts[group] = rounded(values, n=len(of_group))
    return parts


def _item(prompt: TiifPrompt, answers: Sequence[TiifAnswers]) -> PairedItem:
    kind = prompt.type.lower()
    sums = {each.length: (100.0 * each.correct, float(len(each.expected))) for each in answers}
    questions = {f"question_accuracy_{length}": value for length, value in sums.items()}
    key = f"{prompt.type}/{prompt.line}"
    return PairedItem(key=key, sums=sums | questions, group=GROUP_OF.get(kind, kind), stratum=kind)


def _judged(prompt: TiifPrompt, length: str, path: Path, answers: TiifAnswers) -> JudgedPicture:
    return JudgedPicture(
        key=f"{prompt.type}/{length}/{prompt.line}",
        prompt=prompt.description(length),
        path=path,
        wanted=tuple(
            (f"{question} ({expected.lower()})", right)
            for question, expected, right in zip(prompt.questions, prompt.answers, answers.right, strict=True)
        ),
        read=answers.answers,
        share=answers.correct / len(answers.expected),
    )


BENCHMARK = Benchmark(
    name="tiif",
    summary="TIIF-Bench: short and long descriptions, questions answered.",
    options=TiifOptions,
    read=lambda run: read_prompts(run.data, run.options.split, run.limit),
    layout=_layout,
    score=_score,
    needs=lambda options: (NEEDS,),
    best=100.0,
    published=Published(
        judges={"short": "unstated", "long": "unstated"},
        rows={
            "Seedream 4.5": (90.49, 88.52),
            "Seedream 4.0": (90.45, 88.08),
            "Nano Banana 2.0": (91.00, 88.26),
            "GPT Image 1 [High]": (89.15, 88.29),
            "DALL-E 3": (74.96, 70.81),
            "Qwen-Image": (86.14, 86.83),
            "Qwen-Image-2512": (83.24, 84.93),
            "Z-Image": (80.20, 83.01),
            "Z-Image-Turbo": (77.73, 80.05),
            "FLUX.1 [Dev]": (71.09, 71.78),
            "SD3 Medium": (67.46, 66.09),
            "SD XL": (54.96, 42.13),
            "BAGEL": (71.50, 71.70),
            "Janus-Pro": (66.50, 65.01),
            "Show-o2": (59.72, 58.86),
            "GLM-Image": (81.01, 81.02),
        },
    ),
)
