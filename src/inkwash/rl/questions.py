"""Questions about rendered scenes for the half that sees, with what is known of their difficulty before any is asked.

A step's pool is a pure function of (seed, step); which of it is asked follows from the curriculum (RLCS, arXiv
2507.01006). Scenes are endless, so pass rates are kept by cell: the kind of question, the number of texts and of
things, and the letters in steps of eight. The difficulty of a scene itself is the share of its letters, texts and
things of what a crowded one has.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from inkwash.data.card_questions import sample_card_turn
from inkwash.data.loader import Batch
from inkwash.data.questions import DialogueTurn, sample_turn
from inkwash.data.scenes import step_rng, training_scene
from inkwash.eval.tasks.questions import kinds_of
from inkwash.rl.curriculum import Curriculum, rollout_count
from inkwash.scenes.levels import CARD, find_level
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene

CROWDED_LETTERS, CROWDED_ITEMS = 40, 6
NOTHING = "nothing"  # a kind of question about scenes that have nothing to see


@dataclass(frozen=True, kw_only=True)
class SeeAsk:
    """One question, its scene, the cell it belongs to, and its own difficulty from 0 to 1."""

    key: str
    scene: Scene
    turn: DialogueTurn
    cell: str
    difficulty: float

    @property
    def picture(self) -> Image.Image:
        return render(self.scene)


@dataclass(frozen=True, kw_only=True)
class QuestionSource:
    """{"asks": a pool of `pool` questions, "prompts": their texts}."""

    seed: int
    pool: int
    level: str = "first"
    canvases: tuple[tuple[int, int], ...] = ((256, 256),)
    kinds: tuple[str, ...] = ()  # none: all that the level's scenes answer
    chinese: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        asks = [self._ask(rng, f"{step}/{number}") for number in range(self.pool)]
        return {"asks": asks, "prompts": [ask.turn.question for ask in asks]}

    def _ask(self, rng: random.Random, key: str) -> SeeAsk:
        width, height = rng.choice(self.canvases)
        scene = training_scene(rng, width, height, self.level, self.chinese)
        sample = sample_card_turn if find_level(self.level) is CARD else sample_turn
        kinds = self.kinds or tuple(kind for kind in kinds_of(self.level) if kind != NOTHING)
        turn = sample(scene, rng, kinds=(rng.choice(kinds),))
        letters = sum(len(text) for text in scene.quotes)
        items = len(scene.quotes) + len(scene.pictures)
        difficulty = min(1.0, 0.5 * letters / CROWDED_LETTERS + 0.5 * items / CROWDED_ITEMS)
        cell = f"{turn.kind}/{len(scene.quotes)}/{len(scene.pictures)}/{letters // 8}"
        return SeeAsk(key=key, scene=scene, turn=turn, cell=cell, difficulty=difficulty)


def offline_hardness(grades: Mapping[str, float], ask: SeeAsk) -> float:
    """Hardness before any answer of this run: the share of wrong answers of the start, merged with the scene's own."""
    rate = grades.get(ask.cell)
    return ask.difficulty if rate is None else 0.5 * (1.0 - rate) + 0.5 * ask.difficulty


def choose_asks(
    pool: Sequence[SeeAsk], curriculum: Curriculum, grades: Mapping[str, float], count: int, rng: random.Random
) -> list[SeeAsk]:
    """So many questions of a pool as the expansion asks for, tiers by their weights; a tier that is empty passes on."""
    tiers: dict[int, list[SeeAsk]] = {}
    for ask in pool:
        tiers.setdefault(curriculum.tier(ask.cell, offline_hardness(grades, ask)), []).append(ask)
    wanted = min(len(pool), rollout_count(curriculum.ratio or 1.0, count))
    chosen: list[SeeAsk] = []
    while len(chosen) < wanted:
        open_tiers = [tier for tier, left in tiers.items() if left]
        (tier,) = rng.choices(open_tiers, [curriculum.weights[tier] for tier in open_tiers])
        chosen.append(tiers[tier].pop(0))
    return chosen
