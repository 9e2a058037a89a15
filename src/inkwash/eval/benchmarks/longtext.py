"""LongText-Bench: 160 English and 160 Chinese prompts with long texts, four pictures each, recall of words.

Data: `text_prompts.jsonl` and `text_prompts_zh.jsonl`; pictures: `{prompt_id:04d}_{1..4}.png`. Prompt ids have gaps, so
the id names a picture, never the line. The score is the share of wanted words (English, lower case) or characters
(Chinese) that were read, over all pictures; order and extra text do not matter. Geng et al., X-Omni, arXiv:2507.22058.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.files import field, read_lines, spread, texts
from inkwash.eval.benchmarks.lettering import kept, matches, packed, spaced
from inkwash.eval.benchmarks.pictures import Spot

FILES = {"en": "text_prompts.jsonl", "zh": "text_prompts_zh.jsonl"}
SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One line of a prompt file."""

    language: str
    prompt_id: int
    category: str
    length: str
    prompt: str
    wanted: tuple[str, ...]

    def spots(self, samples: int = SAMPLES) -> list[Spot]:
        """Where its pictures lie."""
        return [Spot(path=f"{self.prompt_id:04d}_{i}", suffixes=(".png",)) for i in range(1, samples + 1)]


def read_prompts(folder: Path, language: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """The prompts of one language; with a limit the categories take turns."""
    if language not in FILES:
        raise ConfigError(f"the language is {language!r}; LongText-Bench has {' and '.join(FILES)}.")
    path = folder / FILES[language]
    groups: dict[str, list[Prompt]] = {}
    for number, row in enumerate(read_lines(path), start=1):
        where = f"{path} line {number}"
        prompt = Prompt(
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
class Picture:
    """What one picture contributes."""

    prompt: Prompt
    sample: int
    read: tuple[str, ...]
    matched: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.matched / self.total


def score_picture(prompt: Prompt, read: Sequence[str], sample: int = 1) -> Picture:
    """Compare the lines that were read with the wanted texts."""
    wanted = units(" ".join(prompt.wanted), prompt.language)
    matched = matches(wanted, units("\n".join(read), prompt.language))
    return Picture(prompt=prompt, sample=sample, read=tuple(read), matched=matched, total=len(wanted))


@dataclass(frozen=True, kw_only=True)
class Report:
    """All scores of a run in one language."""

    pictures: tuple[Picture, ...]
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

    def categories(self) -> dict[str, Report]:
        """The same by category, in the order of the prompts."""
        names = dict.fromkeys(picture.prompt.category for picture in self.pictures)
        return {
            name: Report(pictures=tuple(p for p in self.pictures if p.prompt.category == name), judge=self.judge)
            for name in names
        }
