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
from inkwash.eval.benchmarks.files import field, read_json, spread, texts
from inkwash.eval.benchmarks.pictures import Spot
from inkwash.eval.metrics import WordScore, mean, mean_closeness, score_words, word_accuracy

SUBSETS = ("CVTG", "CVTG-Style")
AREAS = (2, 3, 4, 5)
SUFFIXES = (".png", ".jpg", ".jpeg")
REGION_WORDS: Mapping[int, int] = {2: 1969, 3: 4249, 4: 5417, 5: 4571}  # wanted words of both subsets by area
CLIP_PREFIX = "A photo depicts "
_CLIP_WEIGHT = 2.5
_QUOTED = re.compile(r"'(.*?)'")


@dataclass(frozen=True, kw_only=True)
class Prompt:
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
    def spot(self) -> Spot:
        return Spot(path=self.key, suffixes=SUFFIXES)


def quoted(prompt: str) -> tuple[str, ...]:
    """The strings between single quotation marks, as the official scorer finds them."""
    return tuple(_QUOTED.findall(prompt))


def read_prompts(folder: Path, limit: int | None = None) -> tuple[Prompt, ...]:
    """All prompts, file by file; with a limit the eight files take turns."""
    return tuple(spread([_read(folder, subset, area) for subset in SUBSETS for area in AREAS], limit))


def _read(folder: Path, subset: str, area: int) -> list[Prompt]:
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
            Prompt(
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
class Picture:
    """What one picture contributes; `cosine` is there only when a CLIP judge was asked."""

    prompt: Prompt
    read: tuple[str, ...]
    words: WordScore
    cosine: float | None = None


def score_picture(prompt: Prompt, read: Sequence[str], cosine: float | None = None) -> Picture:
    """Compare the lines read from a picture with its prompt's quoted texts."""
    return Picture(prompt=prompt, read=tuple(read), words=score_words(prompt.wanted, read), cosine=cosine)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All scores of a run."""

    pictures: tuple[Picture, ...]
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

    def part(self, keep: Callable[[Prompt], bool]) -> Report:
        """The report of some prompts only."""
        chosen = tuple(picture for picture in self.pictures if keep(picture.prompt))
        return Report(pictures=chosen, judge=self.judge, clip_judge=self.clip_judge)

    def regions(self) -> dict[int, Report]:
        """By number of regions, both subsets pooled: the columns of published tables."""
        present = {picture.prompt.area for picture in self.pictures}
        return {area: self.part(lambda p, area=area: p.area == area) for area in AREAS if area in present}  # type: ignore[misc]

    def areas(self) -> list[Area]:
        """One record per file, which is what the official results file keeps."""
        found = []
        for subset in SUBSETS:
            for area in AREAS:
                part = self.part(lambda p, s=subset, a=area: (p.subset, p.area) == (s, a))  # type: ignore[misc]
                if part.pictures:
                    found.append(Area.of(part, subset, area))
        return found


@dataclass(frozen=True, kw_only=True)
class Area:
    """The sums of one file: enough to put the whole together again."""

    subset: str
    area: int
    total_images: int
    total_words: int
    correct_words: int
    neds: tuple[float, ...]  # one per word
    clipscore: float | None = None

    @classmethod
    def of(cls, report: Report, subset: str, area: int) -> Area:
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
    def from_official(cls, row: Mapping[str, Any], where: str) -> Area:
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


def overall(areas: Sequence[Area]) -> dict[str, Any]:
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


def official_results(report: Report) -> dict[str, Any]:
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
