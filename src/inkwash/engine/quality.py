"""Quality tiers: what a drawing may trade for speed, off by default and said aloud.

`exact` computes every block of every step, as the reference does. The other tiers combine three tricks whose speed
and loss are measured, alone and together, by `bench/quality.py` (table in docs/speed.md):

- fewer steps: a share of the steps that were asked for;
- guidance interval: the unconditional half is computed only while the noise level lies in an interval
  (arXiv:2404.07724);
- step cache: all blocks but the first are skipped in steps whose time embedding has hardly moved, and what they last
  added is added again (arXiv:2411.19108; decided before the first step, so a picture stays the same in any batch).

Loads no torch, so that a command line or a service can check a name and say what it trades.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from inkwash.core.errors import ConfigError, RequestError

Tier: TypeAlias = Literal["low", "medium", "high", "exact"]
TIERS: tuple[Tier, ...] = ("low", "medium", "high", "exact")
EVERYWHERE = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What may be left out. The defaults leave nothing out."""

    name: str = "exact"
    step_share: float = 1.0  # of the steps that were asked for
    guidance_interval: tuple[float, float] = EVERYWHERE  # sigmas, both ends included, in which guidance is computed
    cache_threshold: float = 0.0  # summed change of the time embedding that asks for a full step; 0 computes all

    def __post_init__(self) -> None:
        if not 0.0 < self.step_share <= 1.0:
            raise ConfigError(f"step_share is {self.step_share}, but must be above 0 and at most 1.")
        low, high = self.guidance_interval
        if not 0.0 <= low < high <= 1.0:
            raise ConfigError(f"guidance_interval is {self.guidance_interval}, but must be two rising numbers in 0..1.")
        if not self.cache_threshold >= 0.0:
            raise ConfigError(f"cache_threshold is {self.cache_threshold}, but must be at least 0.")

    @property
    def exact(self) -> bool:
        """Whether nothing is left out."""
        return self.step_share == 1.0 and self.guidance_interval == EVERYWHERE and self.cache_threshold == 0.0

    def steps(self, asked: int) -> int:
        """Steps to take where `asked` are an exact drawing's."""
        return max(1, round(asked * self.step_share))

    def guided(self, sigma: float) -> bool:
        """Whether guidance is computed at this noise level."""
        low, high = self.guidance_interval
        return low <= sigma <= high

    def trade(self, asked: int) -> str:
        """What is traded, in one line for the user."""
        if self.exact:
            return "exact: nothing is left out"
        said = []
        if self.steps(asked) != asked:
            said.append(f"{self.steps(asked)} of {asked} steps")
        if self.guidance_interval != EVERYWHERE:
            low, high = self.guidance_interval
            said.append(f"guidance only at noise levels {low:g} to {high:g}")
        if self.cache_threshold:
            said.append(f"blocks reused between near steps (threshold {self.cache_threshold:g})")
        return f"{self.name}: " + ", ".join(said)


QUALITIES: dict[str, Quality] = {
    "low": Quality(name="low", step_share=0.5, guidance_interval=(0.3, 1.0), cache_threshold=0.15),
    "medium": Quality(name="medium", guidance_interval=(0.3, 1.0), cache_threshold=0.15),
    "high": Quality(name="high", cache_threshold=0.08),
    "exact": Quality(),
}


def find_quality(quality: str | Quality) -> Quality:
    """The settings of a tier; settings of one's own pass through. Raises RequestError for an unknown name."""
    if isinstance(quality, Quality):
        return quality
    found = QUALITIES.get(quality) if isinstance(quality, str) else None
    if found is None:
        raise RequestError(f"The quality is {quality!r}, but must be one of {', '.join(TIERS)}.", param="quality")
    return found
