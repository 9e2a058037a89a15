"""The judges of one run: opened when they are first needed, refused in one sentence when something is missing.

A run asks its panel for "a reader", "somebody who answers yes or no", "CLIP"; which model that is was decided by the
user. Nothing here loads a library before it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.chat import VisionClient
from inkwash.eval.benchmarks.judges import ImgEditJudge, TiifJudge, VieScoreJudge, VlmReader, YesNoJudge
from inkwash.eval.benchmarks.parallel import Progress, in_parallel
from inkwash.eval.predictions import Judge, Memory, picture_hash

T = TypeVar("T")
_ONEIG_NEEDS = {  # dimension -> weights, or a vision model where there are none, and what for
    "alignment": ("", "answers to its alignment questions"),
    "reasoning": ("llm2clip", "OneIG's reasoning"),
    "style": ("csd", "OneIG's style"),
    "diversity": ("dreamsim", "OneIG's diversity"),
}
ONEIG_TOKENS = (128, 256)

WEIGHTS: Mapping[str, str] = {  # what --weights may name -> where the official weights come from
    "clip": "the file ViT-L-14.pt of github.com/openai/CLIP",
    "llm2clip": "a folder with microsoft/LLM2CLIP-Openai-L-14-336, microsoft/LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned "
    "and openai/clip-vit-large-patch14-336",
    "csd": "the file checkpoint.pth of github.com/learn2phoenix/CSD",
    "style": "the folder of xingpng/OneIG-StyleEncoder",
    "dreamsim": "the weights folder of github.com/ssundaram21/dreamsim",
    "mplug": "the folder of damo/mplug_visual-question-answering_coco_large_en on modelscope.cn",
}


class Answers(Protocol):
    """Answers questions about a picture."""

    name: str

    def answer(self, image: Image.Image, question: str) -> str: ...


class Answering(Answers, Protocol):
    """The same, remembering what it answered."""

    memory: Memory


class Similar(Protocol):
    """Says how well a text fits a picture."""

    name: str

    def cosine(self, image: Image.Image, text: str) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Who judges, and how many questions at once."""

    open_reader: Callable[[], Judge]
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

    def check(self, task: str, dimensions: Sequence[str]) -> None:
        """Whether every judge of a task is named, before hours of drawing; ConfigError otherwise."""
        needed = {
            "oneig": [needs for name, needs in _ONEIG_NEEDS.items() if name in dimensions],
            "tiif": [("", "answers to its questions")],
            "dpg": [] if "mplug" in self.weights else [("", "answers to its questions")],
            "gedit": [("", "scores for each edit")],
            "imgedit": [("", "points for each edit")],
        }
        for weights, needs in needed.get(task.partition("-")[0], []):
            if weights:
                self._weights(weights, needs)
            else:
                self._vision(needs)

    def yes_no(self, style: str) -> Answering:
        """Who answers the questions of OneIG ("oneig"), DPG ("dpg") or GenEval ("geneval")."""
        if style == "dpg" and "mplug" in self.weights:
            from inkwash.eval.benchmarks.libraries import Mplug

            return Remembering(Mplug(self.weights["mplug"], self.device), self.cache)
        needs = "answers to its questions"
        if style == "dpg":
            needs += f" (the official judge is mPLUG: --weights mplug=DIR, {WEIGHTS['mplug']})"
        return YesNoJudge(self._vision(needs), self.cache, style=style)

    def oneig_readers(self) -> tuple[str, list[Judge]]:
        """The judge's name and its readers: one for ordinary texts, one with twice the tokens for long ones."""
        reader = self.open_reader()
        if not isinstance(reader, VlmReader):
            return reader.name, [reader]
        told = "|".join(map(str, ONEIG_TOKENS))
        readers: list[Judge] = [VlmReader(reader.client, max_tokens=tokens, told=told) for tokens in ONEIG_TOKENS]
        return readers[0].name, readers

    def tiif(self) -> TiifJudge:
        """Who answers all questions about a picture at once."""
        return TiifJudge(self._vision("answers to its questions"), self.cache)

    def imgedit(self, prompts: Mapping[str, str]) -> ImgEditJudge:
        """Who gives three points for an edit."""
        return ImgEditJudge(self._vision("points for each edit"), prompts, self.cache)

    def viescore(self, prompts: Any) -> VieScoreJudge:
        """Who gives GEdit's four scores."""
        return VieScoreJudge(self._vision("scores for each edit"), prompts, self.cache)

    def clip(self) -> Similarity:
        """CLIP ViT-L/14, for CLIPScore."""
        from inkwash.eval.benchmarks.libraries import Clip

        return Similarity(Clip(self._weights("clip", "CLIPScore"), self.device), self.cache)

    def llm2clip(self) -> Similarity:
        """LLM2CLIP, for OneIG's reasoning."""
        from inkwash.eval.benchmarks.libraries import Llm2Clip

        return Similarity(Llm2Clip(self._weights("llm2clip", "OneIG's reasoning"), self.device), self.cache)

    def styles(self, references: Path) -> Any:
        """The two style encoders of OneIG with its reference embeddings."""
        from inkwash.eval.benchmarks.libraries import StyleJudge

        csd, clip, encoder = (self._weights(name, "OneIG's style") for name in ("csd", "clip", "style"))
        return StyleJudge(csd, clip, encoder, references, self.device)

    def dreamsim(self) -> Any:
        """DreamSim, for OneIG's diversity."""
        from inkwash.eval.benchmarks.libraries import DreamSim

        return DreamSim(self._weights("dreamsim", "OneIG's diversity"), self.device)

    def _vision(self, needs: str) -> VisionClient:
        if self.client is None:
            raise ConfigError(
                f"this benchmark needs {needs}: give a vision model with --judge-url and --judge-model, or only draw "
                f"with --draw-only."
            )
        return self.client

    def _weights(self, name: str, needs: str) -> Path:
        if name not in self.weights:
            raise ConfigError(f"{needs} needs the weights {name!r}: give --weights {name}=PATH with {WEIGHTS[name]}.")
        return self.weights[name]


class Remembering:
    """An answering judge that is asked every question once."""

    def __init__(self, judge: Answers, cache: Path | None) -> None:
        self.judge, self.name = judge, judge.name
        self.memory = Memory(judge.name, cache)

    def answer(self, image: Image.Image, question: str) -> str:
        key = picture_hash(image), question
        if key not in self.memory:
            self.memory.put(*key, self.judge.answer(image, question))
        return str(self.memory.get(*key))


class Similarity:
    """A similarity judge that is asked about every pair once."""

    def __init__(self, judge: Similar, cache: Path | None) -> None:
        self.judge, self.name = judge, judge.name
        self.memory = Memory(judge.name, cache)

    def cosine(self, image: Image.Image, text: str) -> float:
        key = picture_hash(image), text
        if key not in self.memory:
            self.memory.put(*key, self.judge.cosine(image, text))
        return float(self.memory.get(*key))
