"""What a reward is: a name with its version, and a number from 0 to 1 for each picture or plan.

Most rewards are functions of finished pictures; what a reader read of them is in the items already, so that several
rewards share one reading. A reward of plans needs no picture: where only such are asked for, none is drawn. A number
that is NaN says that a picture or plan could not be judged: it leaves its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image
from torch import Tensor

from inkwash.eval.ocr import Line
from inkwash.rl.prompts import Ask


@dataclass(frozen=True, kw_only=True)
class RewardInput:
    """A picture with what was asked for, what was read of it (unsure lines too), and the picture aimed at, if any."""

    ask: Ask
    image: Image.Image
    lines: tuple[Line, ...] = field(default=())
    target: Image.Image | None = None  # the rendered scene, where the plan was that of the scene


class Reward(Protocol):
    """One reward; `reads` says whether it looks at the lines."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> bool: ...

    def __call__(self, items: Sequence[RewardInput]) -> list[float]: ...


@dataclass(frozen=True, kw_only=True)
class PlanInput:
    """The semantic tokens (rows, columns) of a plan with what was asked for.

    Of an edit also those of the pictures that it starts from, and of the rendered scene that must come out.
    """

    ask: Ask
    tokens: Tensor
    references: tuple[Tensor, ...] = ()
    true: Tensor | None = None


class PlanReward(Protocol):
    """A reward of plans that were not drawn."""

    @property
    def name(self) -> str: ...

    def __call__(self, items: Sequence[PlanInput]) -> list[float]: ...
