"""What an evaluator of details is worth on held-out crops: all of them, and each kind of damage or source by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from inkwash.data.loader import Batch
from inkwash.rl.rewards.detail import DetailNet, as_input
from inkwash.rl.rewards.detail_crops import DetailCrops

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DetailBoard:
    """ROC-AUC over all held-out crops, over those made by damage, over those that a decoder drew (None: no such).

    `threshold` tells whole from damaged best, `right` of the crops.
    """

    auc: float
    made: float
    drawn: float | None
    threshold: float
    right: float
    crops: int

    def __str__(self) -> str:
        drawn = "" if self.drawn is None else f", {self.drawn:.3f} on drawn ones"
        return (
            f"ROC-AUC {self.auc:.3f} on {self.crops} held-out crops ({self.made:.3f} on made ones{drawn}); "
            f"threshold {self.threshold:.3f}, {100 * self.right:.1f} % right"
        )


def roc_auc(scores: Scores, whole: Scores) -> float:
    """Chance that a whole crop has a higher score than a damaged one."""
    good, bad = scores[whole > 0.5], np.sort(scores[whole <= 0.5])
    below = (np.searchsorted(bad, good, "left") + np.searchsorted(bad, good, "right")) / 2
    return float(below.mean() / len(bad))


@torch.no_grad()
def detail_board(model: DetailNet, make: DetailCrops, batches: int) -> DetailBoard:
    """Held-out numbers of an evaluator: `batches` made ones, and every drawn crop."""
    makes = replace(make, drawn=None, turned=False)
    made = [_scores(model, makes(number)) for number in range(batches)]
    parts = [tuple(np.concatenate(each) for each in zip(*made, strict=True))]
    if make.drawn is not None:
        crops = np.concatenate([make.drawn.whole, make.drawn.failed])
        labels = np.repeat([1.0, 0.0], [len(make.drawn.whole), len(make.drawn.failed)])
        parts.append((_scores_of(model, crops), labels))
    scores, whole = (np.concatenate(each) for each in zip(*parts, strict=True))
    cuts = np.quantile(scores, np.linspace(0.02, 0.98, 49))
    right = [float(((scores >= cut) == (whole > 0.5)).mean()) for cut in cuts]
    best = int(np.argmax(right))
    return DetailBoard(
        auc=roc_auc(scores, whole),
        made=roc_auc(*parts[0]),
        drawn=roc_auc(*parts[1]) if len(parts) > 1 else None,
        threshold=float(cuts[best]),
        right=right[best],
        crops=len(scores),
    )


def _scores(model: DetailNet, batch: Batch) -> tuple[Scores, Scores]:
    return _scores_of(model, batch["crops"]), np.asarray(batch["whole"], dtype=np.float64)


def _scores_of(model: DetailNet, crops: NDArray[np.uint8]) -> Scores:
    parts = [model(as_input(part)).sigmoid().double().numpy() for part in np.array_split(crops, -(-len(crops) // 64))]
    return np.concatenate(parts)
