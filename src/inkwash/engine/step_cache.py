"""Step caching: in some steps all blocks but the first are skipped, and what they last added is added again.

Which steps is decided before the first one, from the model's own AdaLN parameters: they say how differently two
timesteps are treated. Their relative change is summed from step to step, and a full step is due when the sum passes a
threshold, chosen so that a given share of the steps is full. Nothing of the picture enters the decision, so a picture
stays the same in any batch, no number is read back from the device, and the cost is known beforehand. The first block
always runs, so the newest latents count. Off by default (`engine.request.Quality`). Source of the idea: TeaCache,
arXiv:2411.19108.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inkwash.models.glm_image.decoder import DecoderConditions


class StepCache:
    """What the later blocks added last, for the pictures of one pass."""

    def __init__(self, full: Sequence[bool]) -> None:
        self.full = tuple(full)
        self._added: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is kept, so that the next step runs all blocks."""
        return self._added is None

    def runs(self, index: int) -> bool:
        """Whether all blocks run in this step."""
        return self.full[index] or self._added is None

    def note(self) -> None:
        """A step ran where these pictures are computed, which is elsewhere: something is kept there."""
        if self._added is None:
            self._added = torch.empty(0)

    def forget(self) -> None:
        """Let the next step run all blocks."""
        self._added = None

    def __call__(self, index: int, tokens: Tensor, rest: Callable[[Tensor], Tensor]) -> Tensor:
        """Tokens after the last block in step `index`, given those after the first; rows may end, never begin."""
        added = self._added
        if self.full[index] or added is None or added.shape[0] < tokens.shape[0]:
            before = tokens.clone()
            after = rest(tokens)
            self._added = after - before
            return after
        return tokens.add_(added[: tokens.shape[0]])


def full_steps(conditions: DecoderConditions, share: float) -> tuple[bool, ...]:
    """For each step whether all blocks run: in about `share` of them, always in the first and the last.

    Steps are full where the change summed since the last full one reaches a threshold; of all thresholds it is the
    lowest that keeps within the share, so that the cost is the same for every model.
    """
    changes = modulation_changes(conditions.modulations[0])
    allowed = max(1, round(share * conditions.steps))
    if allowed >= conditions.steps:
        return (True,) * conditions.steps
    low, high = 0.0, sum(changes) + 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(_passed(changes, middle)) <= allowed else (middle, high)
    return _passed(changes, high)


def _passed(changes: Sequence[float], threshold: float) -> tuple[bool, ...]:
    full, summed = [True], 0.0
    for change in changes:
        summed += change
        full.append(summed >= threshold)
        summed = 0.0 if full[-1] else summed
    full[-1] = True
    return tuple(full)


def modulation_changes(modulation: Tensor) -> list[float]:
    """Mean change of a block's modulations (steps, rows, 12, D) from each step to the next, over their mean size."""
    wide = modulation.float()
    size = wide[:-1].abs().mean(dim=(1, 2, 3))
    change = (wide[1:] - wide[:-1]).abs().mean(dim=(1, 2, 3))
    relative: list[float] = torch.nan_to_num(change / size, nan=1.0, posinf=1.0).tolist()
    return relative
