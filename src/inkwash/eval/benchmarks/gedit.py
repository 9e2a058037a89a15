"""GEdit-Bench: edits of real pictures in eleven kinds, judged for obedience and quality (VIEScore).

Pictures: `fullset/{kind}/{en,cn}/{key}.png` beside the source `{key}_SRCIMG.png`. The data set lies on a hub with its
pictures; `read_prompts` takes its columns without pictures as JSON lines. SC is the smaller of two scores for
obedience, PQ the smaller of two for quality, the overall score of a picture is sqrt(SC * PQ). Published numbers are
averaged in two ways: `by_kind` is the official script's, `by_picture` that of some reports. Liu et al., Step1X-Edit,
arXiv:2504.17761.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.benchmarks import self_check
from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun, EditOptions, ImageTask, StageProgress, option
from inkwash.eval.benchmarks.chat import VisionClient
from inkwash.eval.benchmarks.files import field, read_lines, read_text, spread
from inkwash.eval.benchmarks.judges import Judges, Need
from inkwash.eval.benchmarks.pictures import ANY, ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import run_settings
from inkwash.eval.benchmarks.vision import judge_name, parsed_by
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import AnswerCache, picture_hash
from inkwash.media.images import load_image

LANGUAGES = ("en", "cn")
KINDS = 11
PROMPTS = "gedit_bench.jsonl"  # the data set's columns without its pictures
JUDGE_PROMPTS = "viescore/vie_prompts.py"  # of the official repository's GEdit-Bench folder
POINTS_TOKENS = 1024
GOOD = 8  # points from which the page marks a picture as right
NEEDS = Need(purpose="scores for each edit", vision=True)
_BEST = 10.0
_SCORE = re.compile(r"""["']?score["']?\s*:\s*\[([^\]]*)\]""")


@dataclass(frozen=True, kw_only=True)
class GeditOptions(EditOptions):
    """Options of GEdit-Bench."""

    language: str = option("en", help="Of the instructions: en or cn.", choices=LANGUAGES)


@dataclass(frozen=True, kw_only=True)
class GeditPrompt:
    """One edit in one language."""

    key: str
    kind: str
    language: str
    instruction: str
    intersection: bool  # whether it belongs to the subset that every compared system has answered

    @property
    def image_path(self) -> ImagePath:
        return ImagePath(path=f"fullset/{self.kind}/{self.language}/{self.key}", suffixes=(".png",))

    @property
    def source_path(self) -> ImagePath:
        """The copy of the source beside it."""
        return ImagePath(path=self.image_path.path + "_SRCIMG", suffixes=(".png",))


def read_prompts(file: Path, language: str, limit: int | None = None) -> tuple[GeditPrompt, ...]:
    """The edits of one language from the data set's columns as JSON lines; with a limit the kinds take turns."""
    if language not in LANGUAGES:
        raise ConfigError(f"the language is {language!r}; GEdit-Bench has {' and '.join(LANGUAGES)}.")
    groups: dict[str, list[GeditPrompt]] = {}
    for number, row in enumerate(read_lines(file), start=1):
        where = f"{file} line {number}"
        if field(row, "instruction_language", str, where) != language:
            continue
        kind = field(row, "task_type", str, where)
        groups.setdefault(kind, []).append(
            GeditPrompt(
                key=field(row, "key", str, where),
                kind=kind,
                language=language,
                instruction=field(row, "instruction", str, where),
                intersection=row.get("Intersection_exist") is True,
            )
        )
    return tuple(spread(list(groups.values()), limit))


@dataclass(frozen=True, kw_only=True)
class VieScorePrompts:
    """VIEScore's prompts about an edit ("tie"); `<instruction>` stands where the edit's text goes."""

    obedience: str
    quality: str


def read_judge_prompts(folder: Path) -> VieScorePrompts:
    """VIEScore's prompts from the user's copy of its Python file, which is read and never run."""
    path = folder / JUDGE_PROMPTS
    try:
        tree = ast.parse(read_text(path))
    except SyntaxError as problem:
        raise ConfigError(f"{path} is not Python (line {problem.lineno}); fetch the official file again.") from None
    texts = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }

    def joined(*names: str) -> str:
        absent = [name for name in names if name not in texts]
        if absent:
            raise ConfigError(f"{path} has no text named {absent[0]}; fetch the official file again.")
        return "\n".join(texts[name] for name in names)

    context = "_context_no_delimit"
    return VieScorePrompts(
        obedience=joined(context, "_prompts_0shot_two_image_edit_rule", "_prompts_0shot_tie_rule_SC"),
        quality=joined(context, "_prompts_0shot_rule_PQ"),
    )


def parse_scores(answer: str) -> tuple[float, ...] | None:
    """The two numbers of `"score": [a, b]` in a judge's answer, 0 to 10; None for anything else."""
    found = _SCORE.search(answer)
    if found is None:
        return None
    try:
        values = tuple(float(part) for part in found[1].split(","))
    except ValueError:
        return None
    return values if len(values) == 2 and all(0.0 <= value <= _BEST for value in values) else None


@dataclass(frozen=True, kw_only=True)
class VieScores:
    """The four scores of one picture, 0 to 10."""

    kind: str
    obedience: tuple[float, ...]  # success, and how little was edited beyond it
    quality: tuple[float, ...]  # naturalness, freedom from artifacts
    intersection: bool = True

    def __post_init__(self) -> None:
        values = (*self.obedience, *self.quality)
        if not self.obedience or not self.quality or not all(0.0 <= value <= _BEST for value in values):
            raise ConfigError(
                f"a picture of {self.kind} has the scores {values}; they must lie in 0..10, none missing."
            )

    @property
    def sc(self) -> float:
        return min(self.obedience)

    @property
    def pq(self) -> float:
        return min(self.quality)

    @property
    def overall(self) -> float:
        return math.sqrt(self.sc * self.pq)


@dataclass(frozen=True, kw_only=True)
class GeditScore:
    """Semantic consistency, perceptual quality and overall, 0 to 10."""

    sc: float
    pq: float
    overall: float


def judged(kind: str, obedience: Iterable[float], quality: Iterable[float], *, intersection: bool = True) -> VieScores:
    """The scores of one picture."""
    return VieScores(kind=kind, obedience=tuple(obedience), quality=tuple(quality), intersection=intersection)


def by_picture(judged: Iterable[VieScores]) -> GeditScore:
    """Means over pictures."""
    pictures = list(judged)
    return GeditScore(
        sc=mean([p.sc for p in pictures]),
        pq=mean([p.pq for p in pictures]),
        overall=mean([p.overall for p in pictures]),
    )


def kinds(judged: Iterable[VieScores]) -> dict[str, GeditScore]:
    """Means over the pictures of each kind."""
    groups: dict[str, list[VieScores]] = {}
    for picture in judged:
        groups.setdefault(picture.kind, []).append(picture)
    return {kind: by_picture(pictures) for kind, pictures in groups.items()}


def by_kind(judged: Iterable[VieScores]) -> GeditScore:
    """Plain means over kinds, which is how the official statistics average."""
    return _mean_of(kinds(judged))


def _mean_of(parts: Mapping[str, GeditScore]) -> GeditScore:
    def average(value: Callable[[GeditScore], float]) -> float:
        return mean([value(score) for score in parts.values()])

    return GeditScore(sc=average(lambda s: s.sc), pq=average(lambda s: s.pq), overall=average(lambda s: s.overall))


def intersection(judged: Sequence[VieScores]) -> list[VieScores]:
    """Only the subset that every compared system has answered."""
    return [picture for picture in judged if picture.intersection]


class VieScoreJudge:
    """Gives an edit VIEScore's four scores, obedience seeing both pictures and quality the result only."""

    def __init__(self, client: VisionClient, prompts: VieScorePrompts, cache: Path | None = None) -> None:
        self.client = client
        self.prompts = prompts
        self.name = judge_name(client, f"viescore-tie,max_tokens={POINTS_TOKENS}")
        self.cache = AnswerCache(self.name, cache)

    def scores(
        self, source: Image.Image, edited: Image.Image, instruction: str
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(success, over-editing) and (naturalness, artifacts), each 0 to 10."""
        obedience = self.prompts.obedience.replace("<instruction>", instruction)
        quality = self.prompts.quality
        question = f"{obedience}\n{picture_hash(source)}"
        return self._ask(obedience, [source, edited], question), self._ask(quality, [edited], quality)

    def overall(self, source: Image.Image, edited: Image.Image, instruction: str) -> float:
        """The overall score of one edit."""
        return judged("edit", *self.scores(source, edited, instruction)).overall

    def _ask(self, prompt: str, images: list[Image.Image], question: str) -> tuple[float, ...]:
        accept = parsed_by(parse_scores, "no two scores from 0 to 10")

        def ask() -> list[float]:
            return list(self.client.ask(prompt, images, accept, max_tokens=POINTS_TOKENS))

        return tuple(float(value) for value in self.cache.get_or_ask(picture_hash(images[-1]), question, ask))


def _layout(run: BenchmarkRun[GeditOptions], prompts: Sequence[GeditPrompt]) -> list[ImageTask]:
    folder = run.options.sources or run.data / "sources"
    return [
        ImageTask(
            path=prompt.image_path,
            prompt=prompt.instruction,
            source=_source(folder, prompt.key),
            copy=prompt.source_path.example,
        )
        for prompt in prompts
    ]


def _source(folder: Path, key: str) -> Path:
    for suffix in ANY:
        if (folder / f"{key}{suffix}").is_file():
            return folder / f"{key}{suffix}"
    raise MediaError(
        f"{folder} has no picture {key}.png; save the data set's pictures there, or name their folder with --sources."
    )


def _score(
    run: BenchmarkRun[GeditOptions], prompts: Sequence[GeditPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """SC, PQ and O of one language: means by kind as the official script, and by picture as some reports."""
    edited = find_pictures(run.images, [prompt.image_path for prompt in prompts])
    sources = find_pictures(run.images, [prompt.source_path for prompt in prompts])
    judge = VieScoreJudge(judges.vision(NEEDS.purpose), read_judge_prompts(run.data), judges.cache)
    share = self_check.check_edits(judge.cache, judge.overall)
    questions = [partial(_ask, judge, *each) for each in zip(prompts, sources, edited, strict=True)]
    scores = judges.ask(questions, partial(tell, "ask"))
    numbers = asdict(by_kind(scores))
    numbers |= {f"{name}_by_picture": value for name, value in asdict(by_picture(scores)).items()}
    subset = intersection(scores)
    if 0 < len(subset) < len(scores):
        numbers |= {f"{name}_intersection": value for name, value in asdict(by_kind(subset)).items()}
    means = kinds(scores)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, **numbers),
        parts_name="per_kind",
        parts={
            kind: rounded(asdict(score), n=sum(one.kind == kind for one in scores)) for kind, score in means.items()
        },
        counts={"n": len(scores)},
        pictures=tuple(
            JudgedPicture(
                key=prompt.key,
                prompt=prompt.instruction,
                path=path,
                source=source,
                wanted=(("done and nothing else", one.sc >= GOOD), ("natural and clean", one.pq >= GOOD)),
                read=(f"SC {one.sc:g}", f"PQ {one.pq:g}", f"O {one.overall:.2f}"),
                share=one.overall / _BEST,
            )
            for prompt, path, source, one in zip(prompts, edited, sources, scores, strict=True)
        ),
        settings=run_settings(
            run,
            [prompt.instruction for prompt in prompts],
            language=run.options.language,
            truth_share_answered=share,
        ),
        items=tuple(
            PairedItem(
                key=f"{prompt.kind}/{prompt.key}",
                sums={"sc": (one.sc, 1.0), "pq": (one.pq, 1.0), "overall": (one.overall, 1.0)},
                stratum=prompt.kind,
            )
            for prompt, one in zip(prompts, scores, strict=True)
        ),
        notes=() if len(means) == KINDS else (f"this run has {len(means)} of {KINDS} kinds",),
    )


def _ask(judge: VieScoreJudge, prompt: GeditPrompt, source: Path, edited: Path) -> VieScores:
    before, after = load_image(source), load_image(edited)
    if after.size != before.size:  # the official script brings the result to the source's size first
        after = after.resize(before.size, Image.Resampling.LANCZOS)
    obedience, quality = judge.scores(before, after, prompt.instruction)
    return judged(prompt.kind, obedience, quality, intersection=prompt.intersection)


BENCHMARK = Benchmark(
    name="gedit",
    summary="GEdit-Bench: edits of real pictures, VIEScore.",
    options=GeditOptions,
    read=lambda run: read_prompts(run.data / PROMPTS, run.options.language, run.limit),
    layout=_layout,
    score=_score,
    needs=lambda options: (NEEDS,),
    best=_BEST,
)
