"""A loader whose batch number n is a pure function of n.

Workers only change the speed: the order is the same for any number of them, and a run that continues at
step n asks for batch n and all later ones. Rendering happens in the workers, beside the training process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from inkwash.core.errors import InkwashError
from inkwash.core.heap import release_memory

Batch = dict[str, Any]
RELEASE_EVERY = 32  # batches: their shapes differ, and what one leaves free is too small for the next


class StepDataset(Dataset[Batch | InkwashError]):
    """`make(step)` as a map-style dataset; `make` must be picklable for worker processes."""

    def __init__(self, make: Callable[[int], Batch], total: int) -> None:
        self.make = make
        self.total = total
        self._made = 0

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, step: int) -> Batch | InkwashError:
        """The batch, or what it failed with: the loader would make its own sentence of an error that was raised."""
        self._made += 1
        if self._made % RELEASE_EVERY == 0:
            release_memory()
        try:
            return self.make(step)
        except InkwashError as error:
            return error


def step_batches(make: Callable[[int], Batch], *, first: int, total: int, workers: int = 1) -> Iterator[Batch]:
    """Batches first, first + 1, ..., total - 1 in this order."""
    loader = DataLoader(
        StepDataset(make, total),
        batch_size=None,
        sampler=range(first, total),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        # An own generator: the loader would otherwise draw from the global one, and a resumed run would differ.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, InkwashError):
            raise batch
        yield batch
