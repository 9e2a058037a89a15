"""Batches of rendered scenes for every stage, each a pure function of (seed, step).

The classes are frozen dataclasses and therefore picklable: worker processes call them with step numbers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inkwash.data.loader import Batch
from inkwash.scenes.caption import caption
from inkwash.scenes.card import Card
from inkwash.scenes.card_meanings import card_labels, cell_card_meanings
from inkwash.scenes.card_prompts import describe_card
from inkwash.scenes.card_sample import sample_card, sample_card_scene
from inkwash.scenes.edit import sample_edit
from inkwash.scenes.grammar import Scene, sample_scene
from inkwash.scenes.labels import LABELS, cell_labels
from inkwash.scenes.levels import CARD, LEVELS, POSTER, find_level
from inkwash.scenes.meanings import cell_meanings, meaning_labels
from inkwash.scenes.render import render
from inkwash.scenes.scene import Edit
from inkwash.scenes.world import CELL


def step_rng(seed: int, step: int) -> random.Random:
    """The random state of one batch."""
    return random.Random(f"{seed}/{step}")


@dataclass(frozen=True, kw_only=True)
class PixelCrops:
    """Crops at any place and several scales, for the autoencoder: {"pixels": uint8 (B, crop, crop, 3)}.

    `phases` lists (first step, crop, batch): small crops give many quick steps, whole pictures at the end set the
    statistics that group normalisation meets in use.
    """

    seed: int
    phases: tuple[tuple[int, int, int], ...]
    size: int = 256
    levels: tuple[str, ...] = ("first",)
    chinese: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        crop, batch = [(crop, batch) for first, crop, batch in self.phases if first <= step][-1]
        return {"pixels": np.stack([self._one(rng, crop) for _ in range(batch)])}

    def _one(self, rng: random.Random, crop: int) -> np.ndarray:
        level = rng.choice(self.levels)
        scene = training_scene(rng, self.size, self.size, level, self.chinese)
        image = render(scene)
        if rng.random() < 0.35:
            side = max(crop, round(self.size * rng.uniform(0.6, 1.5)))
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        left, top = rng.randint(0, image.width - crop), rng.randint(0, image.height - crop)
        return np.asarray(image.crop((left, top, left + crop, top + crop)), dtype=np.uint8)


CANVASES = ((256, 256), (256, 256), (256, 256), (256, 128), (128, 256), (192, 192), (256, 384), (384, 256), (128, 128))


@dataclass(frozen=True, kw_only=True)
class LabelledScenes:
    """Half-size pictures with what every cell shows, for the semantic tokenizer.

    {"pixels": uint8 (B, H/2, W/2, 3), one int64 (B, N) entry per head of `scenes.labels.LABELS`}, at level `second`
    of `scenes.meanings.meaning_labels()` and "meaning"; all pictures of a batch share one canvas, drawn from CANVASES.
    A little noise makes the tokens of redrawn pictures stable. `chinese` is the share of scenes with Chinese texts.
    """

    seed: int
    batch: int
    level: str = "first"
    noise: float = 6.0
    canvases: tuple[tuple[int, int], ...] = CANVASES
    chinese: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        width, height = rng.choice(self.canvases)
        scenes = [training_scene(rng, width, height, self.level, self.chinese) for _ in range(self.batch)]
        pixels = np.stack([half_size(render(scene)) for scene in scenes])
        if self.noise:
            sigmas = np.array([rng.choice((0.0, rng.uniform(0, self.noise))) for _ in scenes])
            noise = np.random.default_rng(rng.getrandbits(32)).normal(size=pixels.shape) * sigmas[:, None, None, None]
            pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        labels = [LABELS_OF[self.level](scene) for scene in scenes]
        return {"pixels": pixels} | {name: np.stack([one[name].ravel() for one in labels]) for name in labels[0]}


def training_scene(rng: random.Random, width: int, height: int, level: str, chinese: float = 0.0) -> Scene:
    """A scene to learn from, half of its words made up; at level `second` with one to five texts."""
    if find_level(level) is CARD:
        language = "zh" if rng.random() < chinese else "en"
        return sample_card_scene(rng, width=width, height=height, language=language, random_words=0.5)
    if find_level(level) is not POSTER:
        return sample_scene(rng, width=width, height=height, level=level, random_words=0.5)
    language = "zh" if rng.random() < chinese else "en"
    regions = (1, min(5, height // CELL - 1))
    return sample_scene(
        rng, width=width, height=height, regions=regions, level=level, language=language, random_words=0.5
    )


def training_edit(
    rng: random.Random,
    width: int,
    height: int,
    level: str,
    chinese: float = 0.0,
    *,
    kinds: tuple[str, ...] | None = None,
    random_words: float = 0.5,
) -> Edit:
    """An edit to learn from; only level `card` has Chinese ones."""
    language = "zh" if find_level(level) is CARD and rng.random() < chinese else "en"
    return sample_edit(
        rng, width=width, height=height, level=level, kinds=kinds, language=language, random_words=random_words
    )


def label_sizes(level: str) -> dict[str, int]:
    """The heads of a tokenizer of a level's cells, with their numbers of classes."""
    return {POSTER: meaning_labels, CARD: card_labels}.get(find_level(level), lambda: LABELS)()


LABELS_OF = {level.name: cell_labels for level in LEVELS.values()} | {
    POSTER.name: cell_meanings,
    CARD.name: cell_card_meanings,
}


def half_size(image: Image.Image) -> np.ndarray:
    """What the ViT sees of a picture: bicubic at half the width and height, uint8 (H/2, W/2, 3)."""
    return np.asarray(image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC), dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """From step `first` on: batches of `batch` pictures on one of `canvases` (width, height), drawn per step."""

    first: int
    batch: int
    canvases: tuple[tuple[int, int], ...]


def phase_at(phases: tuple[Phase, ...], step: int) -> Phase:
    """The last phase that has begun."""
    return [phase for phase in phases if phase.first <= step][-1]


UNQUOTED = 0.07  # share of cards whose texts a prompt asks for without quotation marks


@dataclass(frozen=True, kw_only=True)
class PictureBatches:
    """Whole pictures with the texts in them, for the diffusion decoder.

    {"pixels": uint8 (B, H, W, 3), "half": uint8 (B, H/2, W/2, 3), "texts": list of lists}. A share of the batches
    are edits, with {"sources": uint8 (B, H, W, 3), "sources_half": ...}: one reference picture each.
    """

    seed: int
    phases: tuple[Phase, ...]
    level: str = "first"
    edits: float = 0.25
    edits_from: int | None = None
    chinese: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        phase = phase_at(self.phases, step)
        width, height = rng.choice(phase.canvases)
        editing = self.edits_from is not None and step >= self.edits_from and rng.random() < self.edits
        pairs = [self._pair(rng, width, height, editing) for _ in range(phase.batch)]
        batch = _pictures([target for _, target in pairs], "pixels", "half")
        batch["texts"] = [self._texts(rng, source, target, editing) for source, target in pairs]
        if editing:
            batch |= _pictures([source for source, _ in pairs], "sources", "sources_half")
        return batch

    def _texts(self, rng: random.Random, source: Scene, target: Scene, editing: bool) -> list[str]:
        """The texts that a prompt would quote: of cards now and then none, and in edits only the new ones."""
        if find_level(self.level) is not CARD:
            return list(target.quotes)
        if rng.random() < UNQUOTED:
            return []
        return [text for text in target.quotes if not (editing and text in source.quotes)]

    def _pair(self, rng: random.Random, width: int, height: int, editing: bool) -> tuple[Scene, Scene]:
        if editing:
            edit = training_edit(rng, width, height, self.level, self.chinese, random_words=0.0)
            return edit.sources[0], edit.target
        scene = training_scene(rng, width, height, self.level, self.chinese)
        return scene, scene


def _pictures(scenes: list[Scene], whole: str, half: str) -> Batch:
    images = [render(scene) for scene in scenes]
    return {
        whole: np.stack([np.asarray(image, dtype=np.uint8) for image in images]),
        half: np.stack([half_size(image) for image in images]),
    }


def card_prompt(card: Card, rng: random.Random) -> str:
    """A training prompt for a card, in the language of its texts or, now and then, in English."""
    language = "zh" if card.language == "zh" and rng.random() < 0.75 else "en"
    return describe_card(card, rng, language=language).prompt


def prompt_lines(rng: random.Random, count: int, *, level: str = "first", chinese: float = 0.0) -> list[str]:
    """Captions and edit instructions, to train a tokenizer on."""
    lines = []
    for i in range(count):
        if find_level(level) is CARD and i % 4:
            language = "zh" if rng.random() < chinese else "en"
            lines.append(card_prompt(sample_card(rng, language=language, random_words=0.5), rng))
        elif find_level(level) is CARD:
            lines.append(sample_edit(rng, width=384, height=384, level=level, random_words=0.5).instruction)
        elif i % 3 == 0:
            lines.append(sample_edit(rng, level=level).instruction)
        elif find_level(level) is not POSTER:
            lines.append(caption(sample_scene(rng, level=level), rng))
        else:
            scene = training_scene(rng, 384, 384, level, chinese)
            language = "zh" if any(text.face == "cjk" for text in scene.texts) and rng.random() < 0.7 else "en"
            lines.append(caption(scene, rng, language=language))
    return lines
