"""Quality names of the OpenAI API as tiers of the engine and denoising steps.

The engine's tiers say what may be left out (`engine/request.py`); nothing is left out unless it is asked for, so
`auto` is the exact drawing. `max` takes more steps than the model needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inkwash.core.limits import MAX_STEPS
from inkwash.engine.request import Tier, find_quality
from inkwash.serve import schemas

Name = Literal["low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True)
class QualityChoice:
    """One name: the engine's tier, and its steps as a share of the model's usual number."""

    name: Name
    tier: Tier
    effort: float = 1.0

    def steps(self, default_steps: int) -> int:
        """The steps that the engine is asked for; its tier may take a share of them."""
        return max(1, round(self.effort * default_steps))

    def asked_for(self, taken: int) -> int:
        """The steps to ask for so that the engine takes `taken`: a client's own number counts as it is."""
        return min(MAX_STEPS, round(taken / find_quality(self.tier).step_share))

    def taken(self, steps: int) -> int:
        """The steps that the engine takes when so many are asked for."""
        return find_quality(self.tier).steps(steps)


CHOICES: dict[Name, QualityChoice] = {
    "low": QualityChoice("low", "low"),
    "medium": QualityChoice("medium", "medium"),
    "high": QualityChoice("high", "high"),
    "xhigh": QualityChoice("xhigh", "exact"),
    "max": QualityChoice("max", "exact", effort=2.0),
}
_OTHER_NAMES: dict[schemas.Quality, Name] = {"auto": "xhigh", "standard": "medium", "hd": "high"}


def choose(quality: schemas.Quality | None) -> QualityChoice:
    """What a name means; auto and nothing are the exact drawing, the legacy names have their place."""
    wanted = quality or "auto"
    name = _OTHER_NAMES.get(wanted)
    return CHOICES[name if name is not None else wanted]  # type: ignore[index]
