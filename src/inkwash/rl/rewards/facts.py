"""Semantic alignment: the share of the facts that the prompt names which the picture shows (`eval.tasks.facts`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from inkwash.eval.tasks.facts import check_facts
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.text import SURE


@dataclass(frozen=True, kw_only=True)
class FactsReward:
    """Background, shapes and things, their colours, counts and places, colours of texts; 1 where nothing is named."""

    @property
    def name(self) -> str:
        return "facts-1"

    @property
    def reads(self) -> bool:
        return True

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [facts_share(item) for item in items]


def facts_share(item: RewardInput) -> float:
    """Right facts among those that were named."""
    read = [line.text for line in item.lines if line.score >= SURE]
    found = check_facts(item.image, read, item.ask.scene, item.ask.named)
    right: list[bool] = []
    for one in fields(found):
        value = getattr(found, one.name)
        if isinstance(value, tuple):
            right += value
        elif value is not None:
            right.append(value)
    return sum(right) / len(right) if right else 1.0
