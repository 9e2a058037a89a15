"""The judges of one run: opened when they are first needed, refused in one sentence when something is missing.

A benchmark asks for a reader, a vision model or weights; which ones these are was decided by the user. No library is
loaded before it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from PIL import Image

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.chat import VisionClient
from inkwash.eval.benchmarks.parallel import Progress, in_parallel
from inkwash.eval.predictions import AnswerCache, TextReader, picture_hash

T = TypeVar("T")

WEIGHTS: Mapping[str, str] = {  # what --weights may name -> where the official weights come from
    "clip": "the file ViT-L-14.pt of github.com/openai/CLIP",
    "llm2clip": "a folder with microsoft/LLM2CLIP-Openai-L-14-336, microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned "
    "and openai/clip-vit-large-patch14-336",
    "csd": "the file checkpoint.pth of github.com/learn2phoenix/CSD",
    "style": "the folder of xingpng/OneIG-StyleEncoder",
    "dreamsim": "the weights folder of github.com/ssundaram21/dreamsim",
    "mplug": "the folder of damo/mplug_visual-question-answering_coco_large_en on modelscope.cn",
}


@dataclass(frozen=True, kw_only=True)
class Need:
    """A judge without which a run cannot be scored: a vision model, or weights, or either of them."""

    purpose: str  # such as "OneIG's style"
    vision: bool = False
    weights: str | None = None


class AnswersQuestions(Protocol):
    """Answers questions about a picture."""

    name: str

    def answer(self, image: Image.Image, question: str) -> str: ...


class ComparesTexts(Protocol):
    """Says how well a text fits a picture."""

    name: str

    def cosine(self, image: Image.Image, text: str) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Who judges, and how many questions at once."""

    open_reader: Callable[[], TextReader]
    client: VisionClient | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    cache: Path | None = None
    workers: int = 1
    device: str | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        limits.check_whole("workers", self.workers, 1, 256)
        for name, path in self.weights.items():
            if name not in WEIGHTS:
                raise ConfigError(f"there are no weights named {name!r}; known are {', '.join(WEIGHTS)}.")
            if not path.exists():
                raise ConfigError(f"the weights {name}={path} are not there; give {WEIGHTS[name]}.")

    def ask(self, tasks: Sequence[Callable[[], T]], progress: Progress, *, alone: bool = False) -> list[T]:
        """The results of many questions in order; `alone` is for judges that live in this process."""
        if self.workers > 1 and not alone:
            return in_parallel(tasks, workers=self.workers, stop=self.stop, progress=progress)
        results = []
        for number, task in enumerate(tasks, start=1):
            results.append(task())
            progress(number, len(tasks))
        return results

    def check(self, needs: Iterable[Need]) -> None:
        """ConfigError when a needed judge is not named: before hours of drawing."""
        for need in needs:
            if need.weights in self.weights:
                continue
            if need.vision:
                self.vision(need.purpose)
            elif need.weights is not None:
                self.weights_path(need.weights, need.purpose)

    def vision(self, purpose: str) -> VisionClient:
        """The vision model; ConfigError where none was named."""
        if self.client is None:
            raise ConfigError(
                f"this benchmark needs {purpose}: give a vision model with --judge-url and --judge-model, or only draw "
                f"with --draw-only."
            )
        return self.client

    def weights_path(self, name: str, purpose: str) -> Path:
        """Where weights of that name are; ConfigError where they were not given."""
        if name not in self.weights:
            raise ConfigError(f"{purpose} needs the weights {name!r}: give --weights {name}=PATH with {WEIGHTS[name]}.")
        return self.weights[name]


class CachedAnswers:
    """A judge that is asked every question once."""

    def __init__(self, judge: AnswersQuestions, cache: Path | None) -> None:
        self.judge, self.name = judge, judge.name
        self.cache = AnswerCache(judge.name, cache)

    def answer(self, image: Image.Image, question: str) -> str:
        """The exact answer."""
        return str(self.cache.get_or_ask(picture_hash(image), question, lambda: self.judge.answer(image, question)))


class CachedSimilarity:
    """A similarity judge that is asked about every pair once."""

    def __init__(self, judge: ComparesTexts, cache: Path | None) -> None:
        self.judge, self.name = judge, judge.name
        self.cache = AnswerCache(judge.name, cache)

    def cosine(self, image: Image.Image, text: str) -> float:
        """Cosine of a picture and a text."""
        return float(self.cache.get_or_ask(picture_hash(image), text, lambda: self.judge.cosine(image, text)))
