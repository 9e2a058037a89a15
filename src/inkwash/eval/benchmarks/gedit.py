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
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import field, read_lines, read_text, spread
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import mean

LANGUAGES = ("en", "cn")
KINDS = 11
PROMPTS = "gedit_bench.jsonl"  # the data set's columns without its pictures
JUDGE_PROMPTS = "viescore/vie_prompts.py"  # of the official repository's GEdit-Bench folder
_BEST = 10.0
_SCORE = re.compile(r"""["']?score["']?\s*:\s*\[([^\]]*)\]""")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One edit in one language."""

    key: str
    kind: str
    language: str
    instruction: str
    intersection: bool  # whether it belongs to the subset that every compared system has answered

    @property
    def spot(self) -> Spot:
        return Spot(path=f"fullset/{self.kind}/{self.language}/{self.key}", suffixes=(".png",))

    @property
    def source(self) -> Spot:
        return Spot(path=f"fullset/{self.kind}/{self.language}/{self.key}_SRCIMG", suffixes=(".png",))


def read_prompts(file: Path, language: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """The edits of one language from the data set's columns as JSON lines; with a limit the kinds take turns."""
    if language not in LANGUAGES:
        raise ConfigError(f"the language is {language!r}; GEdit-Bench has {' and '.join(LANGUAGES)}.")
    groups: dict[str, list[Prompt]] = {}
    for number, row in enumerate(read_lines(file), start=1):
        where = f"{file} line {number}"
        if field(row, "instruction_language", str, where) != language:
            continue
        kind = field(row, "task_type", str, where)
        groups.setdefault(kind, []).append(
            Prompt(
                key=field(row, "key", str, where),
                kind=kind,
                language=language,
                instruction=field(row, "instruction", str, where),
                intersection=row.get("Intersection_exist") is True,
            )
        )
    return tuple(spread(list(groups.values()), limit))


@dataclass(frozen=True, kw_only=True)
class JudgePrompts:
    """What VIEScore tells its judge about an edit ("tie"); `<instruction>` stands where the edit's text goes."""

    obedience: str
    quality: str


def read_judge_prompts(folder: Path) -> JudgePrompts:
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
    return JudgePrompts(
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
class Judged:
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
class Score:
    """Semantic consistency, perceptual quality and overall, 0 to 10."""

    sc: float
    pq: float
    overall: float


def judged(kind: str, obedience: Iterable[float], quality: Iterable[float], *, intersection: bool = True) -> Judged:
    """The scores of one picture."""
    return Judged(kind=kind, obedience=tuple(obedience), quality=tuple(quality), intersection=intersection)


def by_picture(judged: Iterable[Judged]) -> Score:
    """Means over pictures."""
    pictures = list(judged)
    return Score(
        sc=mean([p.sc for p in pictures]),
        pq=mean([p.pq for p in pictures]),
        overall=mean([p.overall for p in pictures]),
    )


def kinds(judged: Iterable[Judged]) -> dict[str, Score]:
    """Means over the pictures of each kind."""
    groups: dict[str, list[Judged]] = {}
    for picture in judged:
        groups.setdefault(picture.kind, []).append(picture)
    return {kind: by_picture(pictures) for kind, pictures in groups.items()}


def by_kind(judged: Iterable[Judged]) -> Score:
    """Plain means over kinds, which is how the official statistics average."""
    return _mean_of(kinds(judged))


def _mean_of(parts: Mapping[str, Score]) -> Score:
    def average(value: Callable[[Score], float]) -> float:
        return mean([value(score) for score in parts.values()])

    return Score(sc=average(lambda s: s.sc), pq=average(lambda s: s.pq), overall=average(lambda s: s.overall))


def intersection(judged: Sequence[Judged]) -> list[Judged]:
    """Only the subset that every compared system has answered."""
    return [picture for picture in judged if picture.intersection]
