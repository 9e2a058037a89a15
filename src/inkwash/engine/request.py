"""What is asked of the engine and how a run is watched: request, progress, cancel.

A request is checked when it is made, so that everything behind it may trust its fields. A run reports through a
`Watch`, which every stage calls between two tokens or two steps: it forwards exact progress and raises `Cancelled`
as soon as the token says so. Loads neither torch nor Pillow.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from inkwash.core import limits
from inkwash.core.errors import Cancelled, RequestError
from inkwash.core.types import Size
from inkwash.engine.quality import Quality, Tier, find_quality

if TYPE_CHECKING:
    from PIL import Image

Stage: TypeAlias = Literal["prior", "denoise"]
Layout: TypeAlias = Literal["new", "same"]
LAYOUTS: tuple[Layout, ...] = ("new", "same")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a stage: semantic tokens of all pictures in "prior", steps in "denoise"."""

    stage: Stage
    done: int
    total: int


ProgressCallback: TypeAlias = Callable[[Progress], None]


class CancelToken:
    """A switch that any thread may throw once; the run stops before its next token or step."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
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
        self._report(Progress(stage, 0, total))

    def advance(self, units: int = 1) -> None:
        """Count finished units, then stop here if asked to."""
        assert self._state is not None, "advance before begin"
        self._report(Progress(self._state.stage, self._state.done + units, self._state.total))
        self.check()

    def check(self) -> None:
        if self._cancel is not None:
            self._cancel.check()

    def _report(self, state: Progress) -> None:
        self._state = state
        if self._progress is not None:
            self._progress(state)


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """One prompt and its settings, checked when it is made; None leaves a setting to the checkpoint.

    Picture k of n has seed `seed + k`; a request without a seed gets one when it is drawn. Command line, API and page
    each make one, and everything behind them takes it.
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
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    quality: Tier | Quality = "exact"

    def __post_init__(self) -> None:
        limits.check_prompt(self.prompt)
        find_quality(self.quality)
        if self.height is not None or self.width is not None:
            picture_size(self.height, self.width)
        limits.check_steps(self.num_inference_steps)
        limits.check_guidance(self.guidance_scale)
        limits.check_count(self.num_images)
        check_layout(self.layout)
        if self.temperature is not None:
            limits.check_temperature(self.temperature)
        if self.top_p is not None:
            limits.check_top_p(self.top_p)
        if self.seed is not None:
            limits.check_seed(self.seed)
        if self.mask is not None and not self.images:
            raise RequestError("A mask was given without a picture: pass the picture to edit as well.", param="mask")


@dataclass(frozen=True, kw_only=True)
class TokenCounts:
    """What one picture of a request costs in tokens: its text, its references, and what is sampled."""

    text: int
    image: int
    drawn: int


def check_layout(layout: str) -> None:
    if layout not in LAYOUTS:
        raise RequestError(
            f"The layout is {layout!r}, but must be 'new' (a plan for each picture) or 'same' (one plan, n noises).",
            param="layout",
        )


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
