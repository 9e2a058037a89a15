"""Plans that answer the prompt: texts, things, numbers and colours, read from the labels of codes without a picture.

The score is that by which drawing chooses among several plans (`engine.plan_choice`), so what is learnt is what the
choice had to look for; but which colours the prompt names is known from its scene. A plan costs a fiftieth of its
picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inkwash.engine.plan_choice import PlanJudge, PlanReader
from inkwash.models.glm_image.folder import Abilities
from inkwash.rl.rewards.base import PlanInput


@dataclass(frozen=True, kw_only=True)
class ReadPlanReward:
    """For a checkpoint whose codes have labels; `limits` are what it says that it can draw."""

    reader: PlanReader
    limits: Abilities | None = None

    @property
    def name(self) -> str:
        return "plan-2"

    def __call__(self, items: Sequence[PlanInput]) -> list[float]:
        prompts = {item.ask.key: item for item in items}  # the plans of a group share one reading of their prompt
        judges = {key: self._judge(item) for key, item in prompts.items()}
        return [_score(judges[item.ask.key], item) for item in items]

    def _judge(self, item: PlanInput) -> PlanJudge | None:
        rows, columns = item.tokens.shape
        judge = PlanJudge.of(self.reader, item.ask.prompt, (rows, columns), limits=self.limits)
        scene, named = item.ask.scene, item.ask.named
        if judge is None or scene.card is None or not self.reader.labels.colors:
            return judge
        inks = ((text.text, text.color) for i, text in enumerate(scene.card.texts) if f"text{i}.color" in named)
        return replace(judge, ground=scene.background if "background" in named else None, inks=tuple(inks))


def _score(judge: PlanJudge | None, item: PlanInput) -> float:
    return math.nan if judge is None else judge.score(item.tokens.flatten())
