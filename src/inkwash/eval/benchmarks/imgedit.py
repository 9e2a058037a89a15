"""ImgEdit, the basic suite: 737 edits in nine kinds, each judged 1 to 5 on three points.

The data has no licence and is never shipped; `folder` is the official `Benchmark/Basic` with `basic_edit.json` and the
judge's `prompts.json`. Pictures: `{key}.png`; sources: the path in the case's `id` below a folder of originals. A case
is the mean of its three scores rounded to two digits, a kind the rounded mean of its cases, and the overall score the
plain mean of nine kinds. Ye et al., arXiv:2505.20275.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun, EditOptions, ImageTask, StageProgress
from inkwash.eval.benchmarks.chat import VisionClient
from inkwash.eval.benchmarks.files import field, read_json, spread
from inkwash.eval.benchmarks.judges import Judges, Need
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import run_settings
from inkwash.eval.benchmarks.vision import judge_name, parsed_by
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import AnswerCache, picture_hash
from inkwash.media.images import load_image

KINDS = ("extract", "style", "add", "adjust", "background", "replace", "remove", "action", "compose")
POINTS = 3
BEST = 5
POINTS_TOKENS = 1024
NEEDS = Need(purpose="points for each edit", vision=True)
_PLACEHOLDER = "<edit_prompt>"


@dataclass(frozen=True, kw_only=True)
class ImgEditCase:
    """One edit."""

    key: str
    kind: str
    instruction: str
    source: str  # path of the original below its folder

    @property
    def image_path(self) -> ImagePath:
        return ImagePath(path=self.key, suffixes=(".png",))


def read_cases(folder: Path, limit: int | None = None) -> tuple[ImgEditCase, ...]:
    """All cases; with a limit the kinds take turns."""
    path = folder / "basic_edit.json"
    groups: dict[str, list[ImgEditCase]] = {}
    for key, row in _object(path).items():
        where = f"{path} case {key}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where} is not an object; fetch the official file again.")
        kind = field(row, "edit_type", str, where)
        if kind not in KINDS:
            raise ConfigError(f"{where} is of the kind {kind!r}; known are {', '.join(KINDS)}.")
        groups.setdefault(kind, []).append(
            ImgEditCase(
                key=key,
                kind=kind,
                instruction=field(row, "prompt", str, where),
                source=field(row, "id", str, where),
            )
        )
    return tuple(spread(list(groups.values()), limit))


def source_file(folder: Path, case: ImgEditCase) -> Path:
    """The picture that a case edits; MediaError names it where it is missing."""
    path = folder / case.source
    if not path.is_file():
        raise MediaError(f"{path} is missing; unpack the benchmark's originals and name their folder with --sources.")
    return path


def read_judge_prompts(folder: Path) -> dict[str, str]:
    """The judge's prompt for each kind; the instruction goes where `<edit_prompt>` stands."""
    path = folder / "prompts.json"
    rows = _object(path)
    return {kind: field(rows, kind, str, str(path)) for kind in KINDS}


def judge_prompt(prompts: Mapping[str, str], case: ImgEditCase) -> str:
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
    return found if len(found) == POINTS and all(1 <= value <= BEST for value in found) else None


def case_score(points: tuple[int, ...]) -> float:
    """The mean of a case's points, rounded as the script does."""
    return round(sum(points) / len(points), 2)


@dataclass(frozen=True, kw_only=True)
class ImgEditScore:
    """Mean by kind, and over kinds."""

    overall: float
    kinds: Mapping[str, float]


def score(cases: Mapping[str, tuple[str, tuple[int, ...]]]) -> ImgEditScore:
    """From key -> (kind, points) of every case; every kind must be there."""
    groups: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for key, (kind, points) in cases.items():
        if kind not in groups or not points:
            raise ConfigError(f"the case {key} has the kind {kind!r} and the points {points}; neither may be missing.")
        groups[kind].append(case_score(points))
    return from_kinds({kind: round(sum(values) / len(values), 2) for kind, values in groups.items() if values})


def from_kinds(kinds: Mapping[str, float]) -> ImgEditScore:
    """The same from published columns."""
    absent = [kind for kind in KINDS if kind not in kinds]
    if absent:
        raise ConfigError(f"ImgEdit's overall score needs all nine kinds; {', '.join(absent)} has no cases.")
    return ImgEditScore(overall=mean([kinds[kind] for kind in KINDS]), kinds=dict(kinds))


class ImgEditJudge:
    """Gives three points from 1 to 5 for an edit, seeing the original and the result."""

    def __init__(self, client: VisionClient, prompts: Mapping[str, str], cache: Path | None = None) -> None:
        self.client = client
        self.prompts = prompts
        self.name = judge_name(client, f"imgedit-prompts,max_tokens={POINTS_TOKENS}")
        self.cache = AnswerCache(self.name, cache)

    def points(self, source: Image.Image, edited: Image.Image, case: ImgEditCase) -> tuple[int, ...]:
        """The points of one case; an answer without three of them is asked for again."""
        prompt = judge_prompt(self.prompts, case)
        accept = parsed_by(parse_scores, "not three points from 1 to 5")

        def ask() -> list[int]:
            images = [source, edited]
            return list(self.client.ask(prompt, images, accept, max_tokens=POINTS_TOKENS, images_first=False))

        question = f"{prompt}\n{picture_hash(source)}"
        return tuple(int(value) for value in self.cache.get_or_ask(picture_hash(edited), question, ask))

    def score(self, source: Image.Image, edited: Image.Image, instruction: str) -> float:
        """The score of an edit that is in no file, for the self-check."""
        case = ImgEditCase(key="check", kind="adjust", instruction=instruction, source="")
        return case_score(self.points(source, edited, case))


def _layout(run: BenchmarkRun[EditOptions], prompts: Sequence[ImgEditCase]) -> list[ImageTask]:
    return [
        ImageTask(path=case.image_path, prompt=case.instruction, source=source_file(_sources(run), case))
        for case in prompts
    ]


def _sources(run: BenchmarkRun[EditOptions]) -> Path:
    return run.options.sources or run.data


def _score(
    run: BenchmarkRun[EditOptions], prompts: Sequence[ImgEditCase], judges: Judges, tell: StageProgress
) -> Result:
    """Points by kind; the overall score needs all nine."""
    edited = find_pictures(run.images, [case.image_path for case in prompts])
    sources = [source_file(_sources(run), case) for case in prompts]
    judge = ImgEditJudge(judges.vision(NEEDS.purpose), read_judge_prompts(run.data), judges.cache)
    share = self_check.check_edits(judge.cache, judge.score)
    questions = [partial(_ask, judge, *each) for each in zip(prompts, sources, edited, strict=True)]
    points = judges.ask(questions, partial(tell, "ask"))
    kinds: dict[str, list[float]] = {}
    for case, values in zip(prompts, points, strict=True):
        kinds.setdefault(case.kind, []).append(case_score(values))
    means = {kind: round(sum(values) / len(values), 2) for kind, values in kinds.items()}
    complete = set(means) == set(KINDS)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, overall=from_kinds(means).overall if complete else float("nan")),
        parts_name="per_kind",
        parts={kind: rounded({"overall": value}, n=len(kinds[kind])) for kind, value in means.items()},
        counts={"n": len(points)},
        pictures=tuple(
            JudgedPicture(
                key=case.key,
                prompt=case.instruction,
                path=path,
                source=source,
                wanted=(("all points above 3", min(values) > 3),),
                read=tuple(map(str, values)),
                share=case_score(values) / BEST,
            )
            for case, path, source, values in zip(prompts, edited, sources, points, strict=True)
        ),
        settings=run_settings(run, [case.instruction for case in prompts], truth_share_answered=share),
        items=tuple(
            PairedItem(key=case.key, sums={"overall": (case_score(values), 1.0)}, stratum=case.kind)
            for case, values in zip(prompts, points, strict=True)
        ),
        notes=() if complete else (f"overall needs all nine kinds, this run has {len(means)}",),
    )


def _ask(judge: ImgEditJudge, case: ImgEditCase, source: Path, edited: Path) -> tuple[int, ...]:
    return judge.points(load_image(source), load_image(edited), case)


BENCHMARK = Benchmark(
    name="imgedit",
    summary="ImgEdit: edits of real pictures, three points each.",
    options=EditOptions,
    read=lambda run: read_cases(run.data, run.limit),
    layout=_layout,
    score=_score,
    needs=lambda options: (NEEDS,),
    best=float(BEST),
)
