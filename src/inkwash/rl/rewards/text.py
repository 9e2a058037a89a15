"""Legible text: how well a reading answers the quoted texts of the prompt.

The score is that of verified drawing (`engine.readback`): repeating a word or filling the picture with letters gains
nothing. It is halved where ink stands that nobody asked for: letters that the reader is unsure of, more than a fifth of
the wanted ones, or, where the layout is known, more than two cells with stray ink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inkwash.engine.readback import compare, letters
from inkwash.rl.rewards.base import RewardInput
from inkwash.scenes.check import MAX_STRAY, check

SURE = 0.5  # confidence from which a line counts as read
UNSURE_SHARE = 0.2  # of the wanted letters that may stand in lines below it


@dataclass(frozen=True, kw_only=True)
class TextReward:
    """`reader` is the name of the judge whose lines the items hold."""

    reader: str

    @property
    def name(self) -> str:
        return f"text-1[{self.reader}]"

    @property
    def reads(self) -> bool:
        return True

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [self._one(item) for item in items]

    def _one(self, item: RewardInput) -> float:
        found = compare(item.ask.texts, [line.text for line in item.lines if line.score >= SURE])
        unsure = sum(len(letters(line.text)) for line in item.lines if line.score < SURE)
        spoilt = unsure > UNSURE_SHARE * max(1, found.wanted) or _stray(item)
        return found.score * (0.5 if spoilt else 1.0)


def _stray(item: RewardInput) -> bool:
    """Whether ink stands where the scene, whose layout the picture was to have, has none."""
    if item.target is None or item.ask.scene.card is not None:
        return False
    return check(item.image, item.ask.scene).stray > MAX_STRAY
