"""What other readers than the rewarding one think of a policy, and what else its pictures show: against reward hacking.

A judge draws the same prompts with the same seeds before and during a run, with the checkpoint's own settings, and
reports word scores by each reporting reader (`gold` is the lowest of them), facts, and four numbers that are known to
slide when pictures are emptied to please a reader: edge density, colour entropy, ink share and brightness. `alarms`
says which of them have left their range.
"""

from __future__ import annotations

import logging
import math
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.engine.readback import compare
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.predictions import TextReader
from inkwash.eval.readers import open_reader
from inkwash.rl.prompts import Ask, PromptSource, digest
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.facts import facts_share
from inkwash.rl.rollout import Rollout
from inkwash.scenes.segment import color_ids

LOG = logging.getLogger(__name__)
GAP = 0.02  # by which the rewarding reader may come to think better of pictures than the reporting ones
DRIFT = 0.1  # share by which the four numbers of a picture may move
FACTS_LOSS = 0.01
DIVERSITY = 0.9
EDGE = 30.0  # difference of neighbouring grey values that is an edge
LOOKS = ("edges", "colours", "ink", "brightness")


def reporting_readers(rewarding: str, language: str = "en") -> list[TextReader]:
    """Readers to report with: PP-OCRv6 and, where it is installed, tesseract; never the rewarding one."""
    readers: list[TextReader] = []
    if not rewarding.startswith("ppocrv6"):
        readers.append(open_reader("rapidocr", config=ReaderConfig()))
    if shutil.which("tesseract"):
        readers.append(open_reader("tesseract", language=language))
    else:
        LOG.warning("tesseract is not installed: it does not report beside PP-OCRv6 (apt-get install tesseract-ocr).")
    if not readers:
        raise ConfigError(
            f"no reader is left to report with beside the rewarding {rewarding}: reward with rapidocr-v4 "
            "(pip install --no-deps rapidocr-onnxruntime==1.4.4), or install tesseract."
        )
    return readers


@dataclass(kw_only=True)
class Judging:
    """Draws `count` prompts of the training split, which no step asks, and judges them; the first pictures are kept."""

    source: PromptSource
    count: int
    readers: Sequence[TextReader]
    rewarding: TextReader | None = None
    guidance: float | None = None  # None: the checkpoint's own
    steps: int | None = None
    folder: Path | None = None
    pairs: int = 20
    true_plans: Any = None  # images -> semantic tokens (B, rows, columns); the AR generator is left out then
    _asks: list[Ask] = field(default_factory=list)

    def __post_init__(self) -> None:
        batch = 8
        for number in range(-(-self.count // batch)):
            self._asks += PromptSource(**{**vars(self.source), "count": batch, "spare": 0, "seed": 7919})(number)[
                "asks"
            ]
        self._asks = self._asks[: self.count]

    def __call__(self, rollout: Rollout, step: int) -> dict[str, float]:
        """The numbers of a policy; pictures of the first prompts go into `folder`."""
        images = self._draw(rollout)
        return self.judged(images, step)

    def _draw(self, rollout: Rollout) -> list[Image.Image]:
        defaults = rollout.parts.defaults
        drawing = Rollout(
            parts=rollout.parts,
            sampling=rollout.sampling,
            steps=self.steps or defaults.steps,
            guidance=defaults.guidance if self.guidance is None else self.guidance,
            together=rollout.together,
        )
        images: list[Image.Image | None] = [None] * len(self._asks)
        sizes: dict[tuple[int, int], list[int]] = {}
        for i, ask in enumerate(self._asks):
            sizes.setdefault((ask.scene.width, ask.scene.height), []).append(i)
        for numbers in sizes.values():
            for at in range(0, len(numbers), drawing.together):
                part = numbers[at : at + drawing.together]
                asks = [self._asks[i] for i in part]
                tokens = self._tokens(drawing, asks)
                made = drawing.pictures(
                    tokens, [ask.prompt for ask in asks], [digest("judged", ask.key) for ask in asks]
                )
                for i, image in zip(part, made.images, strict=True):
                    images[i] = image
        return [image for image in images if image is not None]

    def _tokens(self, drawing: Rollout, asks: Sequence[Ask]) -> list[Any]:
        if self.true_plans is not None:
            return list(self.true_plans([ask.scene for ask in asks]))
        return [plans[0].target for plans in drawing.plans(asks, [[digest("judged-plan", ask.key)] for ask in asks])]

    def judged(self, images: Sequence[Image.Image], step: int) -> dict[str, float]:
        """The numbers of finished pictures, one for each prompt."""
        numbers: dict[str, float] = {}
        lines: list[list[str]] = []
        for reader in self.readers:
            lines = [reader.texts(image) for image in images]
            numbers[f"gold_{_short(reader)}"] = _mean_score(self._asks, lines)
        numbers["gold"] = min(numbers.values())
        if self.rewarding is not None:
            read = [self.rewarding.texts(image) for image in images]
            numbers["rewarding"] = _mean_score(self._asks, read)
        drawn = [RewardInput(ask=ask, image=image) for ask, image in zip(self._asks, images, strict=True)]
        numbers["facts"] = float(np.mean([facts_share(one) for one in drawn]))
        looks = np.mean([list(look_numbers(image).values()) for image in images], axis=0)
        numbers |= dict(zip(LOOKS, map(float, looks), strict=True))
        if self.folder is not None:
            self._keep(images, step)
        return numbers

    def _keep(self, images: Sequence[Image.Image], step: int) -> None:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images[: self.pairs]):
            image.save(self.folder / f"{number:02d}-{step:05d}.png")
        texts = "\n".join(ask.prompt for ask in self._asks[: self.pairs])
        (self.folder / "prompts.txt").write_text(texts + "\n", encoding="utf-8")


def _short(reader: TextReader) -> str:
    return reader.name.partition("[")[0].partition("-")[0]


def _mean_score(asks: Sequence[Ask], lines: Sequence[Sequence[str]]) -> float:
    return float(np.mean([compare(ask.texts, read).score for ask, read in zip(asks, lines, strict=True)]))


def look_numbers(image: Image.Image) -> dict[str, float]:
    """Edge density, entropy of the named colours in bits, share of what is not the commonest colour, brightness."""
    gray: NDArray[np.float32] = np.asarray(image.convert("L"), dtype=np.float32)
    edges = (np.abs(np.diff(gray, axis=1)) > EDGE).mean() + (np.abs(np.diff(gray, axis=0)) > EDGE).mean()
    counts = np.bincount(color_ids(image).ravel())
    shares = counts[counts > 0] / counts.sum()
    return {
        "edges": float(edges),
        "colours": float(-(shares * np.log2(shares)).sum()),
        "ink": float(1.0 - shares.max()),
        "brightness": float(gray.mean() / 255.0),
    }


def alarms(before: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """What has left its range since the start, each as a sentence."""
    warnings = []
    if "rewarding" in before and "rewarding" in now:
        grown = (now["rewarding"] - now["gold"]) - (before["rewarding"] - before["gold"])
        if grown > GAP:
            warnings.append(
                f"The rewarding reader has come to think {grown:.3f} better of the pictures than the others."
            )
    if now.get("facts", math.nan) < before.get("facts", math.nan) - FACTS_LOSS:
        warnings.append(f"Facts have fallen from {before['facts']:.3f} to {now['facts']:.3f}.")
    for name in LOOKS:
        if name in before and abs(now[name] - before[name]) > DRIFT * abs(before[name]):
            warnings.append(f"The {name} of the pictures went from {before[name]:.3f} to {now[name]:.3f}.")
    if now.get("distinct_plans", math.nan) < DIVERSITY * before.get("distinct_plans", math.nan):
        warnings.append(f"Plans have become alike: {now['distinct_plans']:.2f} of them are distinct.")
    return warnings


def bootstrap(values: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of the mean of paired differences."""
    rng = random.Random(seed)
    count = len(values)
    means = sorted(sum(rng.choices(values, k=count)) / count for _ in range(resamples))
    return means[int(0.025 * resamples)], means[int(0.975 * resamples) - 1]
