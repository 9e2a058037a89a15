"""Prompts as people type them: are their words in the picture, and is anything drawn at all?

60 prompts of many kinds in English, Chinese and other languages ship with the package; 55 ask for texts, in every style
of quotation marks or without any, and each names the things that it asks for. Another list may be given: one prompt a
line, whose quoted texts are expected. Picture i has the run's seed plus i, so the first prompt has seed 1. Pictures:
`{number:03d}.png`.

A word counts as right when it was read (as in `eval scenes`); a word of a script without spaces when its characters
stand somewhere in the reading in their order. Never train on these prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.engine.readback import quoted_texts
from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun, ImageTask, Options, StageProgress, option
from inkwash.eval.benchmarks.files import field, read_lines, read_text, texts
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import Lines, checked_share, read_all, run_settings
from inkwash.eval.ink import EMPTY, ink_share
from inkwash.eval.metrics import WordScore, cjk_characters, has_cjk, mean, score_words, words
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import Predictions
from inkwash.media.images import load_image

SHIPPED = Path(__file__).parents[1] / "prompts" / "natural.jsonl"
COMMENT = "#"


@dataclass(frozen=True, kw_only=True)
class NaturalOptions(Options):
    """Options of the natural prompts."""

    prompts: Path | None = option(
        None,
        metavar="FILE",
        help="Another list, one prompt a line; its quoted texts are expected [default: ours].",
        selects_prompts=True,
    )


@dataclass(frozen=True, kw_only=True)
class NaturalThing:
    """Something to be drawn besides texts; no count where the prompt names none."""

    name: str
    count: int | None


@dataclass(frozen=True, kw_only=True)
class NaturalPrompt:
    """One line of a list."""

    number: int  # from 1
    prompt: str
    texts: tuple[str, ...]
    things: tuple[NaturalThing, ...] = ()

    @property
    def image_path(self) -> ImagePath:
        return ImagePath(path=f"{self.number:03d}")

    @property
    def script(self) -> str:
        """The part of the report that the prompt belongs to."""
        if not self.texts:
            return "no text"
        return "cjk" if any(has_cjk(text) for text in self.texts) else "latin"


def read_prompts(file: Path | None = None, limit: int | None = None) -> tuple[NaturalPrompt, ...]:
    """The prompts of a list, or those that ship with the package; with a limit the first ones."""
    prompts = _read_shipped() if file is None else _read_list(file)
    return prompts[:limit]


def _read_shipped() -> tuple[NaturalPrompt, ...]:
    prompts = []
    for number, row in enumerate(read_lines(SHIPPED), start=1):
        where = f"{SHIPPED} line {number}"
        things = tuple(NaturalThing(**thing) for thing in field(row, "things", list, where))
        prompt = field(row, "prompt", str, where)
        prompts.append(NaturalPrompt(number=number, prompt=prompt, texts=texts(row, "texts", where), things=things))
    return tuple(prompts)


def _read_list(file: Path) -> tuple[NaturalPrompt, ...]:
    """Empty lines and those that begin with # do not count."""
    lines = [line.strip() for line in read_text(file).splitlines()]
    lines = [line for line in lines if line and not line.startswith(COMMENT)]
    if not lines:
        raise ConfigError(f"{file} holds no prompt; write one on each line.")
    return tuple(
        NaturalPrompt(number=number, prompt=line, texts=tuple(quoted_texts(line)))
        for number, line in enumerate(lines, start=1)
    )


@dataclass(frozen=True, kw_only=True)
class NaturalPicture:
    """What one picture contributes."""

    prompt: NaturalPrompt
    read: tuple[str, ...]
    latin: WordScore
    cjk: tuple[bool, ...]  # words with characters of a script without spaces
    characters: tuple[float, ...]  # 1 or 0 for each of those characters
    ink: float

    @property
    def empty(self) -> bool:
        return self.ink < EMPTY

    @property
    def correct(self) -> int:
        return self.latin.correct + sum(self.cjk)

    @property
    def total(self) -> int:
        return self.latin.total + len(self.cjk)


def score_picture(prompt: NaturalPrompt, read: Lines, ink: float) -> NaturalPicture:
    """Compare the lines read from a picture with the texts of its prompt."""
    wanted, seen = (words(map(_scripts_apart, lines)) for lines in (prompt.texts, read))
    cjk = [word for word in wanted if has_cjk(word)]
    joined = "".join(seen)
    return NaturalPicture(
        prompt=prompt,
        read=tuple(read),
        latin=score_words([word for word in wanted if not has_cjk(word)], seen),
        cjk=tuple(word in joined for word in cjk),
        characters=tuple(cjk_characters(cjk, read)),
        ink=ink,
    )


def _scripts_apart(text: str) -> str:
    """A space between Chinese, Japanese or Korean characters and others: a reader may see one there or not."""
    return " ".join("".join(run) for _, run in groupby(text, key=has_cjk))


def count_words(wanted: Lines, read: Lines) -> tuple[int, int]:
    """Words found and words wanted."""
    picture = score_picture(NaturalPrompt(number=0, prompt="", texts=tuple(wanted)), read, ink=1.0)
    return picture.correct, picture.total


def summary(pictures: Sequence[NaturalPicture]) -> dict[str, float]:
    """The numbers of some pictures; nan where nothing was asked for."""
    with_texts = [picture for picture in pictures if picture.total]
    total = sum(picture.total for picture in with_texts)
    return {
        "word_accuracy": sum(picture.correct for picture in with_texts) / total if total else float("nan"),
        "ned": mean([value for picture in pictures for value in picture.latin.closeness]),
        "cjk_characters": mean([value for picture in pictures for value in picture.characters]),
        "whole_pictures": mean([float(picture.correct == picture.total) for picture in with_texts]),
        "empty_rate": mean([float(picture.empty) for picture in pictures]),
    }


def _layout(run: BenchmarkRun[NaturalOptions], prompts: Sequence[NaturalPrompt]) -> list[ImageTask]:
    return [ImageTask(path=each.image_path, prompt=each.prompt, seed=each.number) for each in prompts]


def _score(
    run: BenchmarkRun[NaturalOptions], prompts: Sequence[NaturalPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """Words that were read, and pictures in which nothing is drawn."""
    paths = find_pictures(run.images, [prompt.image_path for prompt in prompts])
    reader = Predictions(judges.open_reader(), run.cache)
    share = checked_share(reader, [prompt.texts for prompt in read_prompts()], count_words, tell)
    readings = read_all(judges, reader, paths, tell)
    pictures = [
        score_picture(prompt, read, ink_share(load_image(path)))
        for prompt, read, path in zip(prompts, readings, paths, strict=True)
    ]
    scripts = dict.fromkeys(prompt.script for prompt in prompts)
    by_script = {name: [picture for picture in pictures if picture.prompt.script == name] for name in scripts}
    data = run.options.prompts or SHIPPED.name
    return Result(
        task=run.task,
        judge=reader.judge.name,
        measures=measures(run.task, reader.judge.name, **summary(pictures)),
        parts_name="per_script",
        parts={name: rounded(summary(part), n=len(part)) for name, part in by_script.items()},
        counts={
            "n": len(pictures),
            "words": sum(picture.total for picture in pictures),
            "correct_words": sum(picture.correct for picture in pictures),
            "empty_pictures": sum(picture.empty for picture in pictures),
        },
        pictures=tuple(_judged(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], data=str(data), truth_share_read=share),
        items=tuple(_item(picture) for picture in pictures),
        records=tuple(_record(picture) for picture in pictures),
    )


def _item(picture: NaturalPicture) -> PairedItem:
    sums = {"empty_rate": (float(picture.empty), 1.0)}
    if picture.total:
        sums["word_accuracy"] = (float(picture.correct), float(picture.total))
        sums["whole_pictures"] = (float(picture.correct == picture.total), 1.0)
    if picture.latin.total:
        sums["ned"] = (sum(picture.latin.closeness), float(picture.latin.total))
    if picture.characters:
        sums["cjk_characters"] = (sum(picture.characters), float(len(picture.characters)))
    return PairedItem(key=str(picture.prompt.number), sums=sums)


def _record(picture: NaturalPicture) -> dict[str, Any]:
    """A picture in the JSON answer, with all that another checker needs."""
    prompt = picture.prompt
    return {
        "number": prompt.number,
        "file": prompt.image_path.example,
        "prompt": prompt.prompt,
        "texts": list(prompt.texts),
        "things": [{"name": thing.name, "count": thing.count} for thing in prompt.things],
        "read": list(picture.read),
        "words": picture.total,
        "correct_words": picture.correct,
        "ink": round(picture.ink, 6),
        "empty": picture.empty,
    }


def _judged(picture: NaturalPicture, path: Path) -> JudgedPicture:
    counts = [(text, *count_words([text], picture.read)) for text in picture.prompt.texts]
    closeness = [*picture.latin.closeness, *picture.characters]
    return JudgedPicture(
        key=str(picture.prompt.number),
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple((text, found == total) for text, found, total in counts),
        read=picture.read,
        share=-1.0 if picture.empty else mean(closeness) if closeness else 1.0,
        marks=(("something drawn", not picture.empty),),
    )


BENCHMARK = Benchmark(
    name="natural",
    summary="Prompts as people type them: words read, and pictures left empty.",
    options=NaturalOptions,
    data=SHIPPED,
    read=lambda run: read_prompts(run.options.prompts, run.limit),
    layout=_layout,
    score=_score,
    shows_texts=True,
    reads=True,
    reader=ReaderConfig(enlarge_to=640, detect_side=480),
)
