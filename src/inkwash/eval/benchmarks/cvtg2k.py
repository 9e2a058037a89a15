"""CVTG-2K: 2,000 English prompts with two to five quoted texts each, read back word by word.

Data: `{CVTG,CVTG-Style}/{2,3,4,5}.json`; pictures: `{CVTG,CVTG-Style}/{2,3,4,5}/{index}.png`. Wanted are the strings
between single quotation marks of the original prompt, whatever prompt was drawn. Word Accuracy and NED run over the
words of all pictures, CLIPScore over pictures; a published column "2 regions" pools both subsets.
Du et al., TextCrafter, arXiv:2503.23461.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import libraries, self_check
from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun, ImageTask, Options, Published, StageProgress
from inkwash.eval.benchmarks.files import field, read_json, spread, texts
from inkwash.eval.benchmarks.judges import CachedSimilarity, Judges
from inkwash.eval.benchmarks.pictures import ImagePath, find_pictures
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import checked_share, count_words, read_all, run_settings
from inkwash.eval.metrics import WordScore, mean, mean_closeness, score_words, word_accuracy
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import Predictions
from inkwash.media.images import load_image

SUBSETS = ("CVTG", "CVTG-Style")
AREAS = (2, 3, 4, 5)
SUFFIXES = (".png", ".jpg", ".jpeg")
REGION_WORDS: Mapping[int, int] = {2: 1969, 3: 4249, 4: 5417, 5: 4571}  # wanted words of both subsets by area
CLIP_PREFIX = "A photo depicts "
_CLIP_WEIGHT = 2.5
_QUOTED = re.compile(r"'(.*?)'")


@dataclass(frozen=True, kw_only=True)
class CvtgPrompt:
    """One prompt of one file."""

    subset: str
    area: int
    index: int
    prompt: str
    carriers: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The texts to be drawn."""
        return quoted(self.prompt)

    @property
    def key(self) -> str:
        return f"{self.subset}/{self.area}/{self.index}"

    @property
    def image_path(self) -> ImagePath:
        return ImagePath(path=self.key, suffixes=SUFFIXES)


def quoted(prompt: str) -> tuple[str, ...]:
    """The strings between single quotation marks, as the official scorer finds them."""
    return tuple(_QUOTED.findall(prompt))


def read_prompts(folder: Path, limit: int | None = None) -> tuple[CvtgPrompt, ...]:
    """All prompts, file by file; with a limit the eight files take turns."""
    return tuple(spread([_read(folder, subset, area) for subset in SUBSETS for area in AREAS], limit))


def _read(folder: Path, subset: str, area: int) -> list[CvtgPrompt]:
    path = folder / subset / f"{area}.json"
    content = read_json(path)
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not an object with a data_list; fetch the official file again.")
    prompts = []
    for number, row in enumerate(field(content, "data_list", list, str(path)), start=1):
        where = f"{path} entry {number}"
        if not isinstance(row, dict):
            raise ConfigError(f"{where} is not an object; fetch the official file again.")
        prompts.append(
            CvtgPrompt(
                subset=subset,
                area=area,
                index=field(row, "index", int, where),
                prompt=field(row, "prompt", str, where),
                carriers=texts(row, "carrier_list", where),
                sentences=texts(row, "sentence_list", where),
            )
        )
    if len({prompt.index for prompt in prompts}) != len(prompts):
        raise ConfigError(f"{path} has one index twice; fetch the official file again.")
    return prompts


def clip_score(cosine: float) -> float:
    """CLIPScore of one picture from the cosine to `CLIP_PREFIX + prompt`."""
    return _CLIP_WEIGHT * max(cosine, 0.0)


@dataclass(frozen=True, kw_only=True)
class CvtgPicture:
    """What one picture contributes; `cosine` is there only when a CLIP judge was asked."""

    prompt: CvtgPrompt
    read: tuple[str, ...]
    words: WordScore
    cosine: float | None = None


def score_picture(prompt: CvtgPrompt, read: Sequence[str], cosine: float | None = None) -> CvtgPicture:
    """Compare the lines read from a picture with its prompt's quoted texts."""
    return CvtgPicture(prompt=prompt, read=tuple(read), words=score_words(prompt.wanted, read), cosine=cosine)


@dataclass(frozen=True, kw_only=True)
class CvtgReport:
    """All scores of a run."""

    pictures: tuple[CvtgPicture, ...]
    judge: str
    clip_judge: str | None = None

    @property
    def word_accuracy(self) -> float:
        return word_accuracy(picture.words for picture in self.pictures)

    @property
    def ned(self) -> float:
        return mean_closeness(picture.words for picture in self.pictures)

    @property
    def clipscore(self) -> float:
        return mean([clip_score(p.cosine) for p in self.pictures if p.cosine is not None])

    @property
    def words(self) -> int:
        return sum(picture.words.total for picture in self.pictures)

    @property
    def correct(self) -> int:
        return sum(picture.words.correct for picture in self.pictures)

    def part(self, keep: Callable[[CvtgPrompt], bool]) -> CvtgReport:
        """The report of some prompts only."""
        chosen = tuple(picture for picture in self.pictures if keep(picture.prompt))
        return CvtgReport(pictures=chosen, judge=self.judge, clip_judge=self.clip_judge)

    def regions(self) -> dict[int, CvtgReport]:
        """By number of regions, both subsets pooled: the columns of published tables."""
        present = {picture.prompt.area for picture in self.pictures}
        return {area: self.part(lambda p, area=area: p.area == area) for area in AREAS if area in present}  # type: ignore[misc]

    def areas(self) -> list[CvtgArea]:
        """One record per file, which is what the official results file keeps."""
        found = []
        for subset in SUBSETS:
            for area in AREAS:
                part = self.part(lambda p, s=subset, a=area: (p.subset, p.area) == (s, a))  # type: ignore[misc]
                if part.pictures:
                    found.append(CvtgArea.of(part, subset, area))
        return found


@dataclass(frozen=True, kw_only=True)
class CvtgArea:
    """The sums of one file: enough to put the whole together again."""

    subset: str
    area: int
    total_images: int
    total_words: int
    correct_words: int
    neds: tuple[float, ...]  # one per word
    clipscore: float | None = None

    @classmethod
    def of(cls, report: CvtgReport, subset: str, area: int) -> CvtgArea:
        score = report.clipscore
        return cls(
            subset=subset,
            area=area,
            total_images=len(report.pictures),
            total_words=report.words,
            correct_words=report.correct,
            neds=tuple(value for picture in report.pictures for value in picture.words.closeness),
            clipscore=None if score != score else score,
        )

    @classmethod
    def from_official(cls, row: Mapping[str, Any], where: str) -> CvtgArea:
        """One entry of `area_results` in an official results file."""
        values = field(row, "ned_word_data", list, where)
        score = row.get("clipscore")
        return cls(
            subset=field(row, "benchmark_type", str, where),
            area=field(row, "area", int, where),
            total_images=field(row, "total_images", int, where),
            total_words=field(row, "total_words", int, where),
            correct_words=field(row, "correct_words", int, where),
            neds=tuple(float(value) for value in values),
            clipscore=None if score is None else float(score),
        )

    def to_official(self) -> dict[str, Any]:
        """The entry of an official results file."""
        return {
            "area": self.area,
            "benchmark_type": self.subset,
            "word_accuracy": self.correct_words / self.total_words if self.total_words else 0.0,
            "ned": mean(self.neds) if self.neds else 0.0,
            "clipscore": self.clipscore,
            "total_images": self.total_images,
            "total_words": self.total_words,
            "correct_words": self.correct_words,
            "ned_word_data": list(self.neds),
        }


def overall(areas: Sequence[CvtgArea]) -> dict[str, Any]:
    """The whole from its areas: words weigh word accuracy and NED, pictures weigh CLIPScore."""
    total, correct = sum(area.total_words for area in areas), sum(area.correct_words for area in areas)
    if not total:
        raise ConfigError("there are no words in these areas; a score needs at least one picture with a quoted text.")
    scored = [area for area in areas if area.clipscore is not None]
    clip = pooled([a.clipscore or 0.0 for a in scored], [a.total_images for a in scored]) if scored else None
    return {
        "word_accuracy": correct / total,
        "ned": mean([value for area in areas for value in area.neds]),
        "clipscore": clip,
        "total_images": sum(area.total_images for area in areas),
        "total_words": total,
        "correct_words": correct,
    }


def official_results(report: CvtgReport) -> dict[str, Any]:
    """The results file of the official scorer."""
    areas = report.areas()
    return {"overall_results": overall(areas), "area_results": [area.to_official() for area in areas]}


def from_regions(columns: Mapping[int, float]) -> float:
    """The average that belongs to published columns "2 regions" ... "5 regions"."""
    if sorted(columns) != list(AREAS):
        raise ConfigError(f"the columns are {sorted(columns)}; all of {list(AREAS)} are needed.")
    return pooled([columns[area] for area in AREAS], [REGION_WORDS[area] for area in AREAS])


def pooled(values: Sequence[float], weights: Sequence[int]) -> float:
    """Weighted mean."""
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _layout(run: BenchmarkRun[Options], prompts: Sequence[CvtgPrompt]) -> list[ImageTask]:
    return [ImageTask(path=prompt.image_path, prompt=prompt.prompt) for prompt in prompts]


def _score(run: BenchmarkRun[Options], prompts: Sequence[CvtgPrompt], judges: Judges, tell: StageProgress) -> Result:
    """Word Accuracy and NED, and CLIPScore where its weights are given."""
    paths = find_pictures(run.images, [prompt.image_path for prompt in prompts])
    clip = open_clip(judges) if "clip" in judges.weights else None
    reader = Predictions(judges.open_reader(), run.cache)
    samples = read_prompts(run.data, self_check.CASES)
    share = checked_share(reader, [prompt.wanted for prompt in samples], count_words, tell)
    readings = read_all(judges, reader, paths, tell)
    cosines = [None] * len(prompts) if clip is None else _cosines(clip, prompts, paths, tell)
    pictures = [score_picture(*each) for each in zip(prompts, readings, cosines, strict=True)]
    clip_judge = None if clip is None else clip.name
    report = CvtgReport(pictures=tuple(pictures), judge=reader.judge.name, clip_judge=clip_judge)
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
        pictures=tuple(_judged(picture, path) for picture, path in zip(pictures, paths, strict=True)),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], truth_share_read=share),
        items=tuple(_item(picture) for picture in pictures),
        official=official_results(report),
    )


def open_clip(judges: Judges) -> CachedSimilarity:
    return CachedSimilarity(libraries.ClipScorer(judges.weights_path("clip", "CLIPScore"), judges.device), judges.cache)


def _cosines(
    clip: CachedSimilarity, prompts: Sequence[CvtgPrompt], paths: Sequence[Path], tell: StageProgress
) -> list[float | None]:
    found: list[float | None] = []
    for number, (prompt, path) in enumerate(zip(prompts, paths, strict=True), start=1):
        found.append(clip.cosine(load_image(path), CLIP_PREFIX + prompt.prompt))
        tell("clip", number, len(prompts))
    return found


def _region(part: CvtgReport) -> dict[str, Any]:
    values = {"word_accuracy": part.word_accuracy, "ned": part.ned}
    if part.clip_judge is not None:
        values["clipscore"] = part.clipscore
    return rounded(values, n=len(part.pictures))


def _item(picture: CvtgPicture) -> PairedItem:
    total = float(picture.words.total)
    sums = {"word_accuracy": (float(picture.words.correct), total), "ned": (sum(picture.words.closeness), total)}
    if picture.cosine is not None:
        sums["clipscore"] = (clip_score(picture.cosine), 1.0)
    return PairedItem(key=picture.prompt.key, sums=sums)


def _judged(picture: CvtgPicture, path: Path) -> JudgedPicture:
    counts = [(text, *count_words([text], picture.read)) for text in picture.prompt.wanted]
    return JudgedPicture(
        key=picture.prompt.key,
        prompt=picture.prompt.prompt,
        path=path,
        wanted=tuple((text, found == total) for text, found, total in counts),
        read=picture.read,
        share=mean(picture.words.closeness) if picture.words.total else 1.0,
    )


BENCHMARK = Benchmark(
    name="cvtg2k",
    summary="CVTG-2K: words of two to five texts per picture.",
    options=Options,
    read=lambda run: read_prompts(run.data, run.limit),
    layout=_layout,
    score=_score,
    shows_texts=True,
    reads=True,
    weights=True,
    official_file=True,
    published=Published(
        judges={"word_accuracy": "en_ppocrv4", "ned": "en_ppocrv4", "clipscore": "clip-vit-l-14"},
        rows={
            "Seedream 4.5": (0.8990, 0.9483, 0.8069),
            "Seedream 4.0": (0.8451, 0.9224, 0.7975),
            "Nano Banana 2.0": (0.7788, 0.8754, 0.7372),
            "GPT Image 1 [High]": (0.8569, 0.9478, 0.7982),
            "Qwen-Image": (0.8288, 0.9116, 0.8017),
            "Qwen-Image-2512": (0.8604, 0.9290, 0.7819),
            "Z-Image": (0.8671, 0.9367, 0.7969),
            "Z-Image-Turbo": (0.8585, 0.9281, 0.8048),
            "GLM-Image": (0.9116, 0.9557, 0.7877),
        },
    ),
)
