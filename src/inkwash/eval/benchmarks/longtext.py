"""LongText-Bench: 160 English and 160 Chinese prompts with long texts, four pictures each, recall of words.

Data: `text_prompts.jsonl` and `text_prompts_zh.jsonl`; pictures: `{prompt_id:04d}_{1..4}.png`. Prompt ids have gaps, so
the id names a picture, never the line. The score is the share of wanted words (English, lower case) or characters
(Chinese) that were read, over all pictures; order and extra text do not matter. Geng et al., X-Omni, arXiv:2507.22058.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.benchmark import (
    Benchmark,
    BenchmarkRun,
    ImageTask,
    Published,
    SampledOptions,
    StageProgress,
)
from inkwash.eval.benchmarks.files import field, read_lines, spread, texts
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.lettering import kept, matches, packed, spaced
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import Lines, checked_share, read_all, run_settings
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import Predictions

FILES = {"en": "text_prompts.jsonl", "zh": "text_prompts_zh.jsonl"}
SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class LongTextPrompt:
    """One line of a prompt file."""

    language: str
    prompt_id: int
    category: str
    length: str
    prompt: str
    wanted: tuple[str, ...]

    def image_paths(self, samples: int = SAMPLES) -> list[ImagePath]:
        """Where its pictures lie."""
        return [ImagePath(path=f"{self.prompt_id:04d}_{i}", suffixes=(".png",)) for i in range(1, samples + 1)]


def read_prompts(folder: Path, language: str, limit: int | None = None) -> tuple[LongTextPrompt, ...]:
    """The prompts of one language; with a limit the categories take turns."""
    if language not in FILES:
        raise ConfigError(f"the language is {language!r}; LongText-Bench has {' and '.join(FILES)}.")
    path = folder / FILES[language]
    groups: dict[str, list[LongTextPrompt]] = {}
    for number, row in enumerate(read_lines(path), start=1):
        where = f"{path} line {number}"
        prompt = LongTextPrompt(
            language=language,
            prompt_id=field(row, "prompt_id", int, where),
            category=field(row, "category", str, where),
            length=field(row, "length", str, where),
            prompt=field(row, "prompt", str, where),
            wanted=texts(row, "text", where),
        )
        if not units(" ".join(prompt.wanted), language):
            raise ConfigError(f"{where} has no text to be drawn; fetch the official file again.")
        groups.setdefault(prompt.category, []).append(prompt)
    prompts = tuple(spread(list(groups.values()), limit))
    if len({prompt.prompt_id for prompt in prompts}) != len(prompts):
        raise ConfigError(f"{path} has one prompt_id twice; fetch the official file again.")
    return prompts


def units(text: str, language: str) -> list[str]:
    """What is counted: lower-cased words, or the characters of a Chinese text."""
    return list(packed(kept(text))) if language == "zh" else spaced(kept(text)).lower().split()


@dataclass(frozen=True, kw_only=True)
class LongTextPicture:
    """What one picture contributes."""

    prompt: LongTextPrompt
    sample: int
    read: tuple[str, ...]
    matched: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.matched / self.total


def score_picture(prompt: LongTextPrompt, read: Sequence[str], sample: int = 1) -> LongTextPicture:
    """Compare the lines that were read with the wanted texts."""
    matched, total = count_units(prompt.language, prompt.wanted, read)
    return LongTextPicture(prompt=prompt, sample=sample, read=tuple(read), matched=matched, total=total)


def count_units(language: str, wanted: Lines, read: Lines) -> tuple[int, int]:
    """Units found and units wanted."""
    targets = units(" ".join(wanted), language)
    return matches(targets, units("\n".join(read), language)), len(targets)


@dataclass(frozen=True, kw_only=True)
class LongTextReport:
    """All scores of a run in one language."""

    pictures: tuple[LongTextPicture, ...]
    judge: str

    @property
    def matched(self) -> int:
        return sum(picture.matched for picture in self.pictures)

    @property
    def total(self) -> int:
        return sum(picture.total for picture in self.pictures)

    @property
    def text_score(self) -> float:
        """Share of wanted units that were read, over all pictures; nan without pictures."""
        return self.matched / self.total if self.total else float("nan")

    def categories(self) -> dict[str, LongTextReport]:
        """The same by category, in the order of the prompts."""
        names = dict.fromkeys(picture.prompt.category for picture in self.pictures)
        return {
            name: LongTextReport(
                pictures=tuple(p for p in self.pictures if p.prompt.category == name), judge=self.judge
            )
            for name in names
        }


def _read(run: BenchmarkRun[SampledOptions]) -> Sequence[LongTextPrompt]:
    return read_prompts(run.data, run.benchmark.language, run.limit)


def _layout(run: BenchmarkRun[SampledOptions], prompts: Sequence[LongTextPrompt]) -> list[ImageTask]:
    return [
        ImageTask(path=path, prompt=prompt.prompt)
        for prompt in prompts
        for path in prompt.image_paths(run.options.samples)
    ]


def _score(
    run: BenchmarkRun[SampledOptions], prompts: Sequence[LongTextPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """The text score of one language."""
    language, samples = run.benchmark.language, run.options.samples
    wanted = [(prompt, i) for prompt in prompts for i in range(1, samples + 1)]
    paths = find_pictures(run.images, [path for prompt in prompts for path in prompt.image_paths(samples)])
    reader = Predictions(judges.open_reader(), run.cache)
    texts_to_check = [prompt.wanted for prompt in read_prompts(run.data, language)]
    share = checked_share(reader, texts_to_check, partial(count_units, language), tell)
    readings = read_all(judges, reader, paths, tell)
    pictures = [score_picture(prompt, read, i) for (prompt, i), read in zip(wanted, readings, strict=True)]
    report = LongTextReport(pictures=tuple(pictures), judge=reader.judge.name)
    return Result(
        task=run.task,
        judge=report.judge,
        measures=measures(run.task, report.judge, text_score=report.text_score),
        parts_name="per_category",
        parts={
            name: rounded({"text_score": part.text_score}, n=len(part.pictures))
            for name, part in report.categories().items()
        },
        counts={"n": len(pictures), "units": report.total, "matched_units": report.matched},
        pictures=tuple(_judged(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], truth_share_read=share, samples=samples),
        items=tuple(_item(prompt, pictures[i * samples : (i + 1) * samples]) for i, prompt in enumerate(prompts)),
    )


def _item(prompt: LongTextPrompt, pictures: Sequence[LongTextPicture]) -> PairedItem:
    sums = float(sum(picture.matched for picture in pictures)), float(sum(picture.total for picture in pictures))
    return PairedItem(key=f"{prompt.prompt_id:04d}", sums={"text_score": sums})


def _judged(picture: LongTextPicture, path: Path) -> JudgedPicture:
    """A wanted text is right when all its units are left in the reading after those of the texts before it."""
    language = picture.prompt.language
    left = Counter(units("\n".join(picture.read), language))
    marked = []
    for text in picture.prompt.wanted:
        needed = Counter(units(text, language))
        marked.append((text, needed <= left))
        left -= needed
    return JudgedPicture(
        key=path.stem,
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple(marked),
        read=picture.read,
        share=picture.accuracy,
    )


def _benchmark(
    language: str, summary: str, rows: Mapping[str, tuple[float | None, ...]]
) -> Benchmark[SampledOptions, LongTextPrompt]:
    return Benchmark(
        name=f"longtext-{language}",
        summary=summary,
        options=SampledOptions,
        read=_read,
        layout=_layout,
        score=_score,
        language=language,
        shows_texts=True,
        reads=True,
        published=Published(judges={"text_score": "qwen2.5-vl-7b"}, rows=rows),
    )


ENGLISH = _benchmark(
    "en",
    "LongText-Bench in English: share of words read.",
    {
        "Seedream 4.5": (0.989,),
        "Seedream 4.0": (0.921,),
        "Nano Banana 2.0": (0.981,),
        "GPT Image 1 [High]": (0.956,),
        "Qwen-Image": (0.943,),
        "Qwen-Image-2512": (0.956,),
        "Z-Image": (0.935,),
        "Z-Image-Turbo": (0.917,),
        "GLM-Image": (0.952,),
    },
)
CHINESE = _benchmark(
    "zh",
    "LongText-Bench in Chinese: share of characters read.",
    {
        "Seedream 4.5": (0.987,),
        "Seedream 4.0": (0.926,),
        "Nano Banana 2.0": (0.949,),
        "GPT Image 1 [High]": (0.619,),
        "Qwen-Image": (0.946,),
        "Qwen-Image-2512": (0.965,),
        "Z-Image": (0.936,),
        "Z-Image-Turbo": (0.926,),
        "GLM-Image": (0.979,),
    },
)
