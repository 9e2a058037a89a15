"""Plans that answer the prompt: texts, things, numbers and colours, read from the labels of codes without a picture.

The score is that by which drawing chooses among several plans (`engine.plan_choice`), so what is learnt is what the
choice had to look for; but which colours the prompt names is known from its scene. Of an edit the whole scene that must
come out is known, and what the change does not touch must stay: the cells in which the true plan is the one before. A
plan costs a fiftieth of its picture.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inkwash.engine.plan_choice import PlanJudge, PlanReader
from inkwash.engine.readback import WantedTexts
from inkwash.models.glm_image.ar import Grid
from inkwash.models.glm_image.folder import Abilities
from inkwash.rl.rewards.base import PlanInput
from inkwash.scenes.scene import Scene

UNTOUCHED = 0.25  # of the score of an edit


@dataclass(frozen=True, kw_only=True)
class ReadPlanReward:
    """For a checkpoint whose codes have labels; `limits` are what it says that it can draw."""

    reader: PlanReader
    limits: Abilities | None = None

    @property
    def name(self) -> str:
        return "plan-3"

    def __call__(self, items: Sequence[PlanInput]) -> list[float]:
        prompts = {item.ask.key: item for item in items}  # the plans of a group share one reading of their prompt
        judges = {key: self._judge(item) for key, item in prompts.items()}
        return [_score(judges[item.ask.key], item) for item in items]

    def _judge(self, item: PlanInput) -> PlanJudge | None:
        rows, columns = item.tokens.shape
        if item.ask.sources:
            return self._judge_of_edit(item, (rows, columns))
        judge = PlanJudge.of(self.reader, item.ask.prompt, (rows, columns), limits=self.limits)
        scene, named = item.ask.scene, item.ask.named
        if judge is None or scene.card is None or not self.reader.labels.colors:
            return judge
        inks = ((text.text, text.color) for i, text in enumerate(scene.card.texts) if f"text{i}.color" in named)
        return replace(judge, ground=scene.background if "background" in named else None, inks=tuple(inks))

    def _judge_of_edit(self, item: PlanInput, grid: Grid) -> PlanJudge | None:
        """By everything that the scene shows, and nothing else may be there."""
        scene, before = item.ask.scene, item.ask.sources[0]
        if scene.card is None:
            return None
        gone = dict.fromkeys(_things(before), 0)
        known = set(self.reader.labels.things)
        return PlanJudge(
            reader=self.reader,
            grid=grid,
            wanted=WantedTexts(texts=tuple(text.text for text in scene.card.texts)),
            things=tuple((name, count) for name, count in (gone | _things(scene)).items() if name in known),
            ground=scene.background,
            inks=tuple((text.text, text.color) for text in scene.card.texts),
        )


def _things(scene: Scene) -> Counter[str]:
    return Counter([*(thing.thing for thing in scene.things), *(shape.shape for shape in scene.objects)])


def _score(judge: PlanJudge | None, item: PlanInput) -> float:
    if judge is None:
        return math.nan
    score = judge.score(item.tokens.flatten())
    untouched = _untouched(item)
    return score if untouched is None else (1 - UNTOUCHED) * score + UNTOUCHED * untouched


def _untouched(item: PlanInput) -> float | None:
    """The share of the cells that the true edit leaves as they are, and the plan too; None where there are none."""
    before = next((ids for ids in item.references if ids.shape == item.tokens.shape), None)
    if before is None or item.true is None or not bool((stays := item.true == before).any()):
        return None
    return float((item.tokens == before)[stays].float().mean())
