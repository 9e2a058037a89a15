"""Scoring finished pictures of a text benchmark as one function: prompts, pictures, proof of the judge, readings.

`score_pictures(Scoring(task="cvtg2k", data=..., images=...), open_reader)` is what `inkwash eval cvtg2k` calls. All
that can fail early fails before the judge is opened: a broken prompt file, a missing picture. Readings are cached, so a
second run reads only what is new.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.eval.bench import digest
from inkwash.eval.benchmarks import cvtg2k, longtext, proof
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.parallel import in_parallel
from inkwash.eval.benchmarks.pictures import Spot, find_pictures
from inkwash.eval.metrics import mean, words
from inkwash.eval.predictions import Judge, Predictions
from inkwash.media.images import load_image

TASKS = ("cvtg2k", "longtext-en", "longtext-zh")
MAX_SAMPLES = 64
PREDICTIONS_FILE = "predictions.jsonl"
StageProgress = Callable[[str, int, int], None]
Lines = Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is scored, and how."""

    task: str
    data: Path  # the benchmark's official files
    images: Path  # pictures in the official layout
    limit: int | None = None  # prompts
    samples: int = longtext.SAMPLES  # pictures per prompt of LongText-Bench
    cache: Path | None = None  # of readings; None keeps them in memory only
    workers: int = 1

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"the benchmark is {self.task!r}; it must be one of {', '.join(TASKS)}.")
        if self.limit is not None:
            limits.check_whole("limit", self.limit, 1, 100_000)
        limits.check_whole("samples", self.samples, 1, MAX_SAMPLES)
        limits.check_whole("workers", self.workers, 1, 256)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture of the report."""

    key: str
    prompt: str
    path: Path
    wanted: tuple[tuple[str, bool], ...]  # texts or words, and whether each was read
    read: tuple[str, ...]
    share: float  # of the wanted units that were read


@dataclass(frozen=True, kw_only=True)
class Result:
    """A run's numbers and its pictures; `official` is the official scorer's results file where it has one."""

    task: str
    judge: str
    measures: tuple[Measure, ...]
    parts_name: str  # such as per_regions
    parts: dict[str, dict[str, Any]]
    counts: dict[str, int]
    entries: tuple[Entry, ...]
    settings: dict[str, Any]
    official: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer: plain names first, then the same with the judge in the name."""
        plain = {measure.name.split(".")[1]: measure.to_dict()["value"] for measure in self.measures}
        return {
            "task": self.task,
            **plain,
            **self.counts,
            self.parts_name: self.parts,
            "measures": {measure.label: measure.to_dict()["value"] for measure in self.measures},
            "judge": self.judge,
            **self.settings,
        }

    def worst_first(self) -> list[Entry]:
        """The least legible pictures on top."""
        return sorted(self.entries, key=lambda entry: entry.share)


def score_pictures(
    run: Scoring,
    open_reader: Callable[[], Judge],
    *,
    progress: StageProgress | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Read the pictures of a benchmark and score them; `stop` is that of the reader's client, if it has one."""
    tell = progress or (lambda stage, done, total: None)
    work = _cvtg2k if run.task == "cvtg2k" else _longtext
    return work(run, open_reader, tell, stop or threading.Event())


def _cvtg2k(run: Scoring, open_reader: Callable[[], Judge], tell: StageProgress, stop: threading.Event) -> Result:
    prompts = cvtg2k.read_prompts(run.data, run.limit)
    paths = find_pictures(run.images, [prompt.spot for prompt in prompts])
    reader = Predictions(open_reader(), run.cache)
    proven = _proof(reader, [prompt.wanted for prompt in cvtg2k.read_prompts(run.data, proof.CASES)], _word_units, tell)
    readings = _read(run, reader, paths, tell, stop)
    pictures = [cvtg2k.score_picture(prompt, read) for prompt, read in zip(prompts, readings, strict=True)]
    report = cvtg2k.Report(pictures=tuple(pictures), judge=reader.judge.name)
    return Result(
        task=run.task,
        judge=report.judge,
        measures=_measures(run.task, report.judge, word_accuracy=report.word_accuracy, ned=report.ned),
        parts_name="per_regions",
        parts={str(area): _region(part) for area, part in report.regions().items()},
        counts={"n": len(pictures), "words": report.words, "correct_words": report.correct},
        entries=tuple(_cvtg_entry(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=_settings(run, [prompt.prompt for prompt in prompts], proven),
        official=cvtg2k.official_results(report),
    )


def _region(part: cvtg2k.Report) -> dict[str, Any]:
    return {"word_accuracy": round(part.word_accuracy, 6), "ned": round(part.ned, 6), "n": len(part.pictures)}


def _cvtg_entry(picture: cvtg2k.Picture, path: Path) -> Entry:
    targets = words(picture.prompt.wanted)
    return Entry(
        key=picture.prompt.key,
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple(zip(targets, picture.words.found, strict=True)),
        read=picture.read,
        share=mean(picture.words.closeness) if picture.words.total else 1.0,
    )


def _longtext(run: Scoring, open_reader: Callable[[], Judge], tell: StageProgress, stop: threading.Event) -> Result:
    language = run.task.removeprefix("longtext-")
    prompts = longtext.read_prompts(run.data, language, run.limit)
    wanted = [(prompt, i) for prompt in prompts for i in range(1, run.samples + 1)]
    spots: list[Spot] = [spot for prompt in prompts for spot in prompt.spots(run.samples)]
    paths = find_pictures(run.images, spots)
    reader = Predictions(open_reader(), run.cache)
    pool = longtext.read_prompts(run.data, language)
    proven = _proof(reader, [prompt.wanted for prompt in pool], partial(_longtext_units, language), tell)
    readings = _read(run, reader, paths, tell, stop)
    pictures = [longtext.score_picture(prompt, read, i) for (prompt, i), read in zip(wanted, readings, strict=True)]
    report = longtext.Report(pictures=tuple(pictures), judge=reader.judge.name)
    return Result(
        task=run.task,
        judge=report.judge,
        measures=_measures(run.task, report.judge, text_score=report.text_score),
        parts_name="per_category",
        parts={
            name: {"text_score": round(part.text_score, 6), "n": len(part.pictures)}
            for name, part in report.categories().items()
        },
        counts={"n": len(pictures), "units": report.total, "matched_units": report.matched},
        entries=tuple(_longtext_entry(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=_settings(run, [prompt.prompt for prompt in prompts], proven) | {"samples": run.samples},
    )


def _longtext_entry(picture: longtext.Picture, path: Path) -> Entry:
    """A wanted text is marked right when all its units are left in the reading after those of the texts before it."""
    language = picture.prompt.language
    left = Counter(longtext.units("\n".join(picture.read), language))
    marked = []
    for text in picture.prompt.wanted:
        needed = Counter(longtext.units(text, language))
        marked.append((text, needed <= left))
        left -= needed
    return Entry(
        key=path.stem,
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple(marked),
        read=picture.read,
        share=picture.accuracy,
    )


def _word_units(wanted: Lines, read: Lines) -> tuple[int, int]:
    seen = set(words(read))
    targets = words(wanted)
    return sum(word in seen for word in targets), len(targets)


def _longtext_units(language: str, wanted: Lines, read: Lines) -> tuple[int, int]:
    asked = longtext.Prompt(
        language=language, prompt_id=0, category="proof", length="", prompt="", wanted=tuple(wanted)
    )
    scored = longtext.score_picture(asked, read)
    return scored.matched, scored.total


def _proof(
    reader: Predictions, texts: Sequence[Lines], score: Callable[[Lines, Lines], tuple[int, int]], tell: StageProgress
) -> float:
    tell("judge", 0, 1)
    share = proof.prove(reader, texts, score)
    tell("judge", 1, 1)
    return round(share, 6)


def _read(
    run: Scoring, reader: Predictions, paths: Sequence[Path], tell: StageProgress, stop: threading.Event
) -> list[tuple[str, ...]]:
    tasks = [partial(_read_one, reader, path) for path in paths]
    progress = partial(tell, "read")
    if run.workers > 1:
        return in_parallel(tasks, workers=run.workers, stop=stop, progress=progress)
    readings = []
    for number, task in enumerate(tasks, start=1):
        readings.append(task())
        progress(number, len(tasks))
    return readings


def _read_one(reader: Predictions, path: Path) -> tuple[str, ...]:
    return reader.texts(load_image(path))


def _measures(task: str, judge: str, **values: float) -> tuple[Measure, ...]:
    return tuple(Measure(name=f"{task}.{name}", judge=judge, value=value) for name, value in values.items())


def _settings(run: Scoring, prompts: Sequence[str], proven: float) -> dict[str, Any]:
    """What makes two numbers comparable: the same prompts, the same judge."""
    return {
        "images": str(run.images),
        "data": str(run.data),
        "limit": run.limit,
        "prompts": len(prompts),
        "prompts_digest": digest(prompts),
        "truth_share_read": proven,
    }
