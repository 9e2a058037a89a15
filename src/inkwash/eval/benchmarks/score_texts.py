"""Scoring the text benchmarks: CVTG-2K and LongText-Bench, from finished pictures to numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inkwash.eval.benchmarks import cvtg2k, longtext, proof
from inkwash.eval.benchmarks.panel import Panel, Similarity
from inkwash.eval.benchmarks.pictures import Spot, find_pictures
from inkwash.eval.benchmarks.results import (
    Entry,
    Lines,
    Result,
    Scoring,
    StageProgress,
    measures,
    rounded,
    run_settings,
)
from inkwash.eval.metrics import mean, words
from inkwash.eval.paired import Unit
from inkwash.eval.predictions import Predictions
from inkwash.media.images import load_image


def score_cvtg2k(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """Word Accuracy and NED, and CLIPScore where its weights are given."""
    prompts = cvtg2k.read_prompts(run.data, run.limit)
    paths = find_pictures(run.images, [prompt.spot for prompt in prompts])
    clip = panel.clip() if "clip" in panel.weights else None
    reader = Predictions(panel.open_reader(), run.cache)
    pool = cvtg2k.read_prompts(run.data, proof.CASES)
    proven = proven_share(reader, [prompt.wanted for prompt in pool], word_units, tell)
    readings = read_all(panel, reader, paths, tell)
    cosines = [None] * len(prompts) if clip is None else _cosines(clip, prompts, paths, tell)
    pictures = [
        cvtg2k.score_picture(prompt, read, cosine)
        for prompt, read, cosine in zip(prompts, readings, cosines, strict=True)
    ]
    clip_judge = None if clip is None else clip.name
    report = cvtg2k.Report(pictures=tuple(pictures), judge=reader.judge.name, clip_judge=clip_judge)
    numbers = measures(run.task, report.judge, word_accuracy=report.word_accuracy, ned=report.ned)
    if clip_judge is not None:
        numbers += measures(run.task, clip_judge, clipscore=report.clipscore)
    return Result(
        task=run.task,
        judge=report.judge,
        measures=numbers,
        parts_name="per_regions",
        parts={str(area): _region(part) for area, part in report.regions().items()},
        counts={"n": len(pictures), "words": report.words, "correct_words": report.correct},
        entries=tuple(_cvtg_entry(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], truth_share_read=proven),
        units=tuple(_cvtg_unit(picture) for picture in pictures),
        official=cvtg2k.official_results(report),
    )


def _cosines(
    clip: Similarity, prompts: Sequence[cvtg2k.Prompt], paths: Sequence[Path], tell: StageProgress
) -> list[float | None]:
    found: list[float | None] = []
    for number, (prompt, path) in enumerate(zip(prompts, paths, strict=True), start=1):
        found.append(clip.cosine(load_image(path), cvtg2k.CLIP_PREFIX + prompt.prompt))
        tell("clip", number, len(prompts))
    return found


def _region(part: cvtg2k.Report) -> dict[str, Any]:
    shown = {"word_accuracy": part.word_accuracy, "ned": part.ned}
    if part.clip_judge is not None:
        shown["clipscore"] = part.clipscore
    return rounded(shown, n=len(part.pictures))


def _cvtg_unit(picture: cvtg2k.Picture) -> Unit:
    total = picture.words.total
    sums = {
        "word_accuracy": (float(picture.words.correct), float(total)),
        "ned": (sum(picture.words.closeness), float(total)),
    }
    if picture.cosine is not None:
        sums["clipscore"] = (cvtg2k.clip_score(picture.cosine), 1.0)
    return Unit(key=picture.prompt.key, sums=sums)


def _cvtg_entry(picture: cvtg2k.Picture, path: Path) -> Entry:
    return Entry(
        key=picture.prompt.key,
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple((text, not missing(text, picture.read)) for text in picture.prompt.wanted),
        read=picture.read,
        share=mean(picture.words.closeness) if picture.words.total else 1.0,
    )


def score_longtext(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """The text score of one language."""
    language = run.task.removeprefix("longtext-")
    prompts = longtext.read_prompts(run.data, language, run.limit)
    wanted = [(prompt, i) for prompt in prompts for i in range(1, run.samples + 1)]
    spots: list[Spot] = [spot for prompt in prompts for spot in prompt.spots(run.samples)]
    paths = find_pictures(run.images, spots)
    reader = Predictions(panel.open_reader(), run.cache)
    pool = longtext.read_prompts(run.data, language)
    proven = proven_share(reader, [prompt.wanted for prompt in pool], partial(_longtext_units, language), tell)
    readings = read_all(panel, reader, paths, tell)
    pictures = [longtext.score_picture(prompt, read, i) for (prompt, i), read in zip(wanted, readings, strict=True)]
    report = longtext.Report(pictures=tuple(pictures), judge=reader.judge.name)
    settings = run_settings(run, [prompt.prompt for prompt in prompts], truth_share_read=proven, samples=run.samples)
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
        entries=tuple(_longtext_entry(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=settings,
        units=tuple(_longtext_prompt(pictures, prompt) for prompt in prompts),
    )


def _longtext_prompt(pictures: Sequence[longtext.Picture], prompt: longtext.Prompt) -> Unit:
    own = [picture for picture in pictures if picture.prompt is prompt]
    sums = float(sum(picture.matched for picture in own)), float(sum(picture.total for picture in own))
    return Unit(key=f"{prompt.prompt_id:04d}", sums={"text_score": sums})


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


def missing(text: str, read: Lines) -> int:
    """How many words of a text were not read anywhere."""
    found, wanted = word_units([text], read)
    return wanted - found


def word_units(wanted: Lines, read: Lines) -> tuple[int, int]:
    """Words found and words wanted, as CVTG-2K counts them."""
    seen = set(words(read))
    targets = words(wanted)
    return sum(word in seen for word in targets), len(targets)


def _longtext_units(language: str, wanted: Lines, read: Lines) -> tuple[int, int]:
    asked = longtext.Prompt(
        language=language, prompt_id=0, category="proof", length="", prompt="", wanted=tuple(wanted)
    )
    scored = longtext.score_picture(asked, read)
    return scored.matched, scored.total


def proven_share(reader: Predictions, texts: Sequence[Lines], score: proof.Score, tell: StageProgress) -> float:
    """How much a reader reads of plainly rendered texts; ConfigError when that is too little."""
    tell("judge", 0, 1)
    share = proof.prove(reader, texts, score)
    tell("judge", 1, 1)
    return round(share, 6)


def read_all(panel: Panel, reader: Predictions, paths: Sequence[Path], tell: StageProgress) -> list[tuple[str, ...]]:
    """The lines of every picture, in parallel where the judge allows it."""
    return panel.ask([partial(_read_one, reader, path) for path in paths], partial(tell, "read"))


def _read_one(reader: Predictions, path: Path) -> tuple[str, ...]:
    return reader.texts(load_image(path))
