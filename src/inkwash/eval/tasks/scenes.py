"""Scoring pictures of held-out scenes: words by OCR, background, shapes and colours by `scenes.check`.

`held_out(n, seed=...)` gives the scenes and their captions; case i depends on the seed and i only, so a smaller run is
a prefix of a larger one. `score_images(images, cases, reader)` takes finished pictures from anywhere, and is what a
training run calls between two steps. Nothing here knows how a picture was made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.metrics import WordScore, cjk_characters, interval, mean, mean_closeness, score_words, word_accuracy
from inkwash.eval.predictions import Predictions, TextReader
from inkwash.eval.tasks.facts import Facts, check_facts
from inkwash.scenes.caption import describe
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import POSTER, find_level
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene
from inkwash.scenes.second import usual_items

TRUTH_FLOOR = 0.95  # a judge that reads less of the rendered truth may not judge anything else


@dataclass(frozen=True, kw_only=True)
class CaseKind:
    """What is asked for: a level of `scenes.grammar`, and the language of the texts and of the prompts."""

    level: str = "first"
    language: str = "en"


FIRST_KIND = CaseKind()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question to the model: the prompt, and the scene it describes."""

    scene: Scene
    prompt: str = ""
    named: frozenset[str] | None = None  # what the prompt names (`caption.describe`); None asks for everything


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """What one picture got right."""

    index: int
    prompt: str
    wanted: tuple[str, ...]
    read: tuple[str, ...]
    words: WordScore
    facts: Facts

    @property
    def regions(self) -> int:
        return len(self.wanted)

    @property
    def chinese(self) -> list[float]:
        return cjk_characters(self.wanted, self.read)

    @property
    def closeness(self) -> float:
        return mean(self.words.closeness) if self.words.total else 1.0


@dataclass(frozen=True, kw_only=True)
class ScenesReport:
    """All scores of a run; every number is derived from the pictures, nothing is stored twice."""

    pictures: tuple[PictureScore, ...]
    judge: str

    @property
    def n(self) -> int:
        return len(self.pictures)

    @property
    def word_accuracy(self) -> float:
        return word_accuracy(picture.words for picture in self.pictures)

    @property
    def ned(self) -> float:
        return mean_closeness(picture.words for picture in self.pictures)

    @property
    def background_accuracy(self) -> float:
        return mean([float(p.facts.background) for p in self.pictures if p.facts.background is not None])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the word accuracy."""
        return interval(sum(p.words.correct for p in self.pictures), sum(p.words.total for p in self.pictures))

    @property
    def per_regions(self) -> dict[str, dict[str, Any]]:
        """The three main numbers again, for the pictures with one text, with two, ..."""
        counts = sorted({picture.regions for picture in self.pictures})
        parts = {str(count): self._of(lambda p, count=count: p.regions == count) for count in counts}  # type: ignore[misc]
        return {count: part.summary() for count, part in parts.items()}

    def summary(self) -> dict[str, Any]:
        return {
            "word_accuracy": _number(self.word_accuracy),
            "ned": _number(self.ned),
            "background_accuracy": _number(self.background_accuracy),
            "n": self.n,
        }

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer: the three numbers, then what is needed to trust them. nan becomes null."""
        whole = self.summary()
        count = whole.pop("n")
        facts = [picture.facts for picture in self.pictures]
        return {
            **whole,
            "per_regions": self.per_regions,
            "n": count,
            "words": sum(picture.words.total for picture in self.pictures),
            "word_accuracy_95": [_number(side) for side in self.interval],
            "whole_pictures": _number(mean([float(p.words.correct == p.words.total) for p in self.pictures])),
            "shape_accuracy": _number(mean([float(right) for fact in facts for right in fact.shapes])),
            "shape_color_accuracy": _number(mean([float(right) for fact in facts for right in fact.shape_colors])),
            "shape_place_accuracy": _number(mean([float(right) for fact in facts for right in fact.shape_places])),
            "chinese_characters": _number(mean([share for p in self.pictures for share in p.chinese])),
            "text_color_accuracy": _number(mean([float(right) for fact in facts for right in fact.text_colors])),
            **({} if not any(fact.things for fact in facts) else _thing_summary(facts)),
            "judge": self.judge,
        }

    def worst_first(self) -> list[PictureScore]:
        """Misread pictures first, the least legible of them on top."""
        return sorted(self.pictures, key=lambda p: (p.words.correct == p.words.total, p.closeness, p.index))

    def _of(self, keep: Callable[[PictureScore], bool]) -> ScenesReport:
        return ScenesReport(pictures=tuple(p for p in self.pictures if keep(p)), judge=self.judge)


def _thing_summary(facts: Sequence[Facts]) -> dict[str, float | None]:
    """Pictures of things: the right kind is there; as often as asked; where it was asked for."""
    return {
        "thing_accuracy": _number(mean([float(right) for fact in facts for right in fact.things])),
        "count_accuracy": _number(mean([float(right) for fact in facts for right in fact.counts])),
        "thing_place_accuracy": _number(mean([float(right) for fact in facts for right in fact.thing_places])),
    }


def held_out(
    count: int,
    *,
    seed: int = 0,
    regions: tuple[int, int] = (1, 2),
    width: int = 256,
    height: int = 256,
    kind: CaseKind = FIRST_KIND,
) -> list[Case]:
    """`count` scenes of held-out words with captions of held-out templates."""
    if count < 1:
        raise ConfigError(f"the number of scenes is {count}; it must be at least 1.")
    return [_case(random.Random(f"scenes:{seed}:{i}"), regions, width, height, kind) for i in range(count)]


def _case(rng: random.Random, regions: tuple[int, int], width: int, height: int, kind: CaseKind) -> Case:
    level, language = kind.level, kind.language

    def sample() -> Scene:
        return sample_scene(
            rng, width=width, height=height, regions=regions, split="held_out", level=level, language=language
        )

    scene = sample()
    while scene.card is not None and not _scorable(scene, regions):
        scene = sample()
    usual = usual_items(scene) if find_level(level) is POSTER else None
    description = describe(scene, rng, split="held_out", language=language, usual=usual)
    return Case(scene=scene, prompt=description.prompt, named=description.named)


def _scorable(scene: Scene, regions: tuple[int, int]) -> bool:
    """Whether a card has as many texts as asked and a reader can be expected to read them all.

    No recogniser reads a character that stands alone, or joins a word that had to be cut at the end of a line.
    """
    lines = {word for item in scene.texts for word in item.text.split()}
    whole = all(word in lines or not word.isascii() for text in scene.quotes for word in text.split())
    return regions[0] <= len(scene.quotes) <= regions[1] and whole and all(len(text) > 1 for text in scene.quotes)


def score_images(
    images: Sequence[Image.Image],
    cases: Sequence[Case | Scene],
    reader: TextReader | Predictions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ScenesReport:
    """Score picture i against case i.

    Of a case, only what its prompt names is held against the picture (a background that nobody asked for cannot be
    wrong); a bare scene asks for everything it holds, at its place.
    """
    if len(images) != len(cases):
        raise ConfigError(
            f"{len(images)} pictures were given for {len(cases)} scenes; one picture per scene is needed."
        )
    predictions = reader if isinstance(reader, Predictions) else Predictions(reader)
    scores = []
    for index, (image, case) in enumerate(zip(images, cases, strict=True)):
        entry = Case(scene=case) if isinstance(case, Scene) else case
        scores.append(_score(index, image, entry, predictions))
        if progress is not None:
            progress(index + 1, len(images))
    return ScenesReport(pictures=tuple(scores), judge=predictions.judge.name)


def _score(index: int, image: Image.Image, case: Case, reader: Predictions) -> PictureScore:
    wanted = case.scene.quotes
    read = reader.texts(image)
    return PictureScore(
        index=index,
        prompt=case.prompt,
        wanted=wanted,
        read=read,
        words=score_words(wanted, read),
        facts=check_facts(image, read, case.scene, case.named),
    )


def check_judge(scenes: Iterable[Scene], reader: TextReader | Predictions, *, floor: float = TRUTH_FLOOR) -> float:
    """The word accuracy of a judge on rendered truth; nan where nothing is to be read, ConfigError below `floor`.

    Of Chinese texts the characters count.
    """
    predictions = reader if isinstance(reader, Predictions) else Predictions(reader)
    texts = [(scene, scene.quotes) for scene in scenes]
    answers = [(wanted, predictions.texts(render(scene))) for scene, wanted in texts if wanted]
    accuracy = word_accuracy(score_words(*answer) for answer in answers)
    characters = [share for answer in answers for share in cjk_characters(*answer)]
    what = "characters" if characters else "words"
    accuracy = mean(characters) if characters else accuracy
    if accuracy < floor:
        raise ConfigError(
            f"the judge {predictions.judge.name} reads only {accuracy:.3f} of the {what} in perfect pictures, "
            f"{floor:g} is needed; draw larger pictures or another number of regions."
        )
    return accuracy


def _number(value: float) -> float | None:
    return None if value != value else round(value, 6)
