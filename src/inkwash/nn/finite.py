"""Whether numbers are numbers: NaN and infinity end a request in one sentence, where else a black picture came out.

Called once at the end of a stage, on what the next one reads. Weights, adapters and 16-bit overflow all show there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inkwash.core.errors import InkwashError


class NotFiniteError(InkwashError):
    """A stage computed NaN or infinity: a failure of weights or number type, not of the request."""

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"{stage} computed numbers that are not finite (NaN or infinity): check the weights and adapters that are "
            "loaded, or use float32 where it ran in 16 bits."
        )


def is_finite(values: Tensor) -> bool:
    """Whether no entry is NaN or infinite; whole numbers always are."""
    return not values.is_floating_point() or bool(torch.isfinite(values).all())


def check_finite(stage: str, values: Tensor) -> Tensor:
    """The values, if all of them are finite; `stage` begins the sentence that says whose they are."""
    if not is_finite(values):
        raise NotFiniteError(stage)
    return values


def check_logits(stage: str, logits: Tensor) -> Tensor:
    """The same for logits (..., V), of which some may be barred by minus infinity."""
    check_finite(stage, logits.amax(dim=-1))
    return logits
