"""Quality tiers: what a drawing may trade for speed, off by default and said aloud.

`exact` computes every block of every step, as the reference does. The other tiers combine three tricks whose speed
and loss are measured, alone and together, by `bench/quality.py` (table in docs/speed.md):

- fewer steps: a share of the steps that were asked for;
- guidance interval: the unconditional half is computed only while the noise level lies in an interval
  (arXiv:2404.07724);
- step cache: all blocks but the first are skipped in the steps whose time embedding moves least, and what they last
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
    full_share: float = 1.0  # of the steps taken, in how many all blocks run

    def __post_init__(self) -> None:
        for name in ("step_share", "full_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be above 0 and at most 1.")
        low, high = self.guidance_interval
        if not 0.0 <= low < high <= 1.0:
            raise ConfigError(f"guidance_interval is {self.guidance_interval}, but must be two rising numbers in 0..1.")

    @property
    def exact(self) -> bool:
        """Whether nothing is left out."""
        return self.step_share == 1.0 and self.guidance_interval == EVERYWHERE and self.full_share == 1.0

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
        else:
            said.append(f"{asked} steps")
        if self.guidance_interval != EVERYWHERE:
            low, high = self.guidance_interval
            said.append(f"guidance only at noise levels {low:g} to {high:g}")
        if self.full_share < 1.0:
            said.append(f"all blocks in {self.full_share:.0%} of them only, the first block in the rest")
        return f"{self.name}: " + ", ".join(said)


QUALITIES: dict[str, Quality] = {
    "low": Quality(name="low", step_share=0.6, guidance_interval=(0.5, 1.0), full_share=0.4),
    "medium": Quality(name="medium", guidance_interval=(0.4, 1.0), full_share=0.4),
    "high": Quality(name="high", full_share=0.5),
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
