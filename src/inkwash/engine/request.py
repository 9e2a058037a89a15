"""What is asked of the engine and how a run is watched: request, progress, cancel.

A request is checked when it is made, so that everything behind it may trust its fields. A run reports through a
`Watch`, which every stage calls between two tokens or two steps: it forwards exact progress and raises `Cancelled`
as soon as the token says so. The tiers of quality say what a drawing may leave out. Loads neither torch nor Pillow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from inkwash.core import limits
from inkwash.core.errors import Cancelled, ConfigError, RequestError
from inkwash.core.types import Size

if TYPE_CHECKING:
    from PIL import Image


Stage: TypeAlias = Literal["prior", "denoise"]
Layout: TypeAlias = Literal["new", "same"]
LAYOUTS: tuple[Layout, ...] = ("new", "same")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a stage: semantic tokens of all pictures in "prior", their steps in "denoise"."""

    stage: Stage
    done: int
    total: int


ProgressCallback: TypeAlias = Callable[[Progress], None]


class CancelToken:
    """A switch that any thread may throw once; the run stops before its next token or step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Throw the switch, from any thread."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the switch was thrown."""
        return self._event.is_set()

    def is_cancelled(self) -> bool:
        """The same as a function, for what asks again and again."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the switch was thrown."""
        if self._event.is_set():
            raise Cancelled()


class Watch:
    """Progress and cancellation of one run, stage after stage."""

    def __init__(self, progress: ProgressCallback | None = None, cancel: CancelToken | None = None) -> None:
        self._progress = progress
        self._cancel = cancel
        self._state: Progress | None = None

    def begin(self, stage: Stage, total: int) -> None:
        """Start a stage of `total` units."""
        self.check()
        self._state = Progress(stage, 0, total)
        if self._progress is not None:
            self._progress(self._state)

    def advance(self, units: int = 1) -> None:
        """Count finished units, then stop here if asked to."""
        assert self._state is not None, "advance before begin"
        self._state = Progress(self._state.stage, self._state.done + units, self._state.total)
        if self._progress is not None:
            self._progress(self._state)
        self.check()

    def silent(self) -> Watch:
        """The same run without its progress."""
        return Watch(cancel=self._cancel)

    def check(self) -> None:
        if self._cancel is not None:
            self._cancel.check()


@dataclass(frozen=True, kw_only=True)
class SamplingOverrides:
    """How semantic tokens are to be sampled; None leaves a value to the checkpoint."""

    temperature: float | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None:
            limits.check_temperature(self.temperature)
        if self.top_p is not None:
            limits.check_nucleus("top_p", self.top_p)


SAMPLING_FIELDS = tuple(each.name for each in fields(SamplingOverrides))


@dataclass(frozen=True, kw_only=True)
class PlanOverrides(SamplingOverrides):
    """How a plan is to be made: sampled, and chosen among at most so many (`plan_choice.py`)."""

    plan_candidates: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plan_candidates is not None:
            limits.check_candidates(self.plan_candidates)

    def asked_plan(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in PLAN_FIELDS}


PLAN_FIELDS = tuple(each.name for each in fields(PlanOverrides))


@dataclass(frozen=True, kw_only=True)
class DrawRequest(PlanOverrides):
    """One prompt and its settings, checked when it is made; None leaves a setting to the checkpoint.

    prompt: what to draw; words to be written stand in quotation marks.
    images, mask: reference pictures; the mask has the first one's size, and where it is white may change.
    height, width: pixels, multiples of 32; one alone means a square.
    num_inference_steps: denoising steps of an exact drawing; `quality` may take a share of them.
    guidance_scale: 1 turns guidance off.
    negative_prompt: its quoted texts are kept out.
    num_images: picture k of n has seed `seed + k`; a request without a seed gets one when it is drawn.
    layout: "new" samples a plan for each of the n pictures, "same" one plan for n noises.
    temperature, top_p: how the plan is sampled.
    plan_candidates: at most so many plans are sampled, the best is drawn.
    quality: "exact", or what may be left out for speed.
    adapters: loaded ones by name, with their weights; None: those that act.

    Raises RequestError, which names the field, for a value that is not allowed.
    """

    prompt: str
    images: tuple[Image.Image, ...] = ()
    mask: Image.Image | None = None
    height: int | None = None
    width: int | None = None
    num_inference_steps: int = 50
    guidance_scale: float = 1.5
    negative_prompt: str | None = None
    num_images: int = 1
    layout: Layout = "new"
    seed: int | None = None
    quality: Tier | Quality = "exact"
    adapters: tuple[tuple[str, float], ...] | None = None

    def __post_init__(self) -> None:
        limits.check_prompt(self.prompt)
        find_quality(self.quality)
        if self.height is not None or self.width is not None:
            picture_size(self.height, self.width)
        limits.check_steps(self.num_inference_steps)
        limits.check_guidance(self.guidance_scale)
        limits.check_count(self.num_images)
        if self.layout not in LAYOUTS:
            raise RequestError(
                f"The layout is {self.layout!r}, but must be 'new' (a plan for each picture) or 'same' (one plan, n "
                "noises).",
                param="layout",
            )
        super().__post_init__()
        if self.seed is not None:
            limits.check_seed(self.seed)
        for _, weight in self.adapters or ():
            limits.check_adapter_weight(weight)
        if self.mask is not None and not self.images:
            raise RequestError("A mask was given without a picture: pass the picture to edit as well.", param="mask")


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """What one picture of a request costs in tokens: its text, its references, and what is sampled."""

    text: int
    image: int
    drawn: int


def picture_size(height: int | None, width: int | None, natural: tuple[int, int] = (1024, 1024)) -> tuple[int, int]:
    """Height and width in pixels: as given, one side alone meaning a square, else the natural size."""
    if height is None and width is None:
        height, width = natural
    height, width = (width if height is None else height), (height if width is None else width)
    for side in (height, width):
        if isinstance(side, bool) or not isinstance(side, int):
            raise RequestError(f"The size holds {side!r}, but sides are whole numbers of pixels.", param="size")
    assert height is not None and width is not None
    limits.check_size(Size(width, height))
    return height, width


Tier: TypeAlias = Literal["low", "medium", "high", "exact"]
TIERS: tuple[Tier, ...] = ("low", "medium", "high", "exact")
EVERYWHERE = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What may be left out for speed. The defaults leave nothing out: every block of every step, as the reference does.

    Three tricks, whose speed and loss are measured alone and together by `bench/quality.py` (table in docs/speed.md):
    fewer steps, a share of those asked for; a guidance interval, so that the unconditional half is computed only while
    the noise level lies in it (arXiv:2404.07724); a step cache, so that all blocks but the first are skipped in the
    steps whose time embedding moves least, and what they last added is added again (arXiv:2411.19108; decided before
    the first step, so a picture stays the same in any batch).
    """

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

    def steps(self, steps: int) -> int:
        """Steps to take where `asked` are an exact drawing's."""
        return max(1, round(steps * self.step_share))

    def guided(self, sigma: float) -> bool:
        """Whether guidance is computed at this noise level."""
        low, high = self.guidance_interval
        return low <= sigma <= high

    def trade(self, steps: int) -> str:
        """What is traded, in one line for the user."""
        if self.exact:
            return "exact: nothing is left out"
        parts = []
        if self.steps(steps) != steps:
            parts.append(f"{self.steps(steps)} of {steps} steps")
        else:
            parts.append(f"{steps} steps")
        if self.guidance_interval != EVERYWHERE:
            low, high = self.guidance_interval
            parts.append(f"guidance only at noise levels {low:g} to {high:g}")
        if self.full_share < 1.0:
            parts.append(f"all blocks in {self.full_share:.0%} of them only, the first block in the rest")
        return f"{self.name}: " + ", ".join(parts)


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
