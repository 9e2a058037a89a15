"""What a request's caller is told while it runs: one frozen record for each thing that happened.

Events of one request arrive in order and never two at once, from threads of the engine, which hold no lock meanwhile: a
callback may submit and abort, but should return soon. The last one is `Finished`, `Failed` or `Aborted`, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from inkwash.engine.request import Progress, TokenCounts

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.core.errors import InkwashError
    from inkwash.engine.handle import GenerationResult

PartialKind: TypeAlias = Literal["preview", "x0"]


@dataclass(frozen=True, kw_only=True)
class Queued:
    """Accepted. `position` counts the requests before it; `eta_s` estimates the seconds until it is finished."""

    position: int
    eta_s: float


@dataclass(frozen=True, kw_only=True)
class Partial:
    """An unfinished look at picture `index`: drawn from the AR preview, or the decoder's guess `x0` of the result."""

    index: int
    image: Image.Image
    kind: PartialKind


@dataclass(frozen=True, kw_only=True)
class PictureDone:
    """Picture `index` is finished; others of its request may not be."""

    index: int
    image: Image.Image
    seed: int | None
    tokens: TokenCounts


@dataclass(frozen=True, kw_only=True)
class Finished:
    """All pictures are finished."""

    result: GenerationResult


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The request, and only it, came to an end with an error; pictures announced before stay valid.

    A deadline that passed is such an error (`DeadlinePassed`, status 408).
    """

    error: InkwashError


@dataclass(frozen=True, kw_only=True)
class Aborted:
    """The request was aborted; `reason` is a sentence."""

    reason: str


Event: TypeAlias = Queued | Progress | Partial | PictureDone | Finished | Failed | Aborted
END_EVENTS = (Finished, Failed, Aborted)
