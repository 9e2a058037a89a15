"""Details that are whole: a small evaluator of 64 x 64 crops, trained on true and damaged letters and pictures.

What hands are to photographs, corners and strokes are to this world. What it learns from is in `detail_crops.py` and
`detail_drawn.py`. It is frozen before reinforcement begins; the one that ships is that of `inkwash rl detail` with the
settings in the README beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inkwash.core.errors import WeightsError
from inkwash.data.loader import Batch
from inkwash.rl.rewards.base import RewardInput
from inkwash.scenes.scene import Box, Scene

SIDE = 64
WIDTHS = (24, 48, 96)
VERSION = "detail-1"


class DetailFacts(Protocol):
    """What is recorded of an evaluator: its ROC-AUC on held-out crops, and the score that tells whole from damaged."""

    @property
    def auc(self) -> float: ...

    @property
    def threshold(self) -> float: ...


class DetailNet(nn.Module):
    """Three blocks of two convolutions, then evidence of damage at every place: crops (B, 3, 64, 64) -> logits (B,).

    Crops lie in [-1, 1]; a logit is that of being whole. One bad place is enough: the evidence is joined by a smooth
    maximum. 0.16 M numbers; a place sees 43 pixels, a letter and its neighbours' edges.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            for inside, stride in ((before, 2), (width, 1)):
                layers += [nn.Conv2d(inside, width, 3, stride=stride, padding=1), nn.GroupNorm(4, width), nn.SiLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.evidence = nn.Conv2d(before, 1, 1)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, crops: Tensor) -> Tensor:
        places = self.evidence(self.body(crops)).flatten(1)
        damage: Tensor = places.logsumexp(1) - math.log(places.shape[1])
        return self.bias - damage


def places_of(scene: Scene) -> list[Box]:
    """Boxes of the texts and pictures of a scene."""
    return [item.box for item in (*scene.texts, *scene.pictures)]


def corner_at(image: Image.Image, x: float, y: float) -> tuple[int, int]:
    """Left and top of the 64 x 64 pixels around a point, moved inside the picture."""
    left = int(min(max(0, x - SIDE / 2), max(0, image.width - SIDE)))
    top = int(min(max(0, y - SIDE / 2), max(0, image.height - SIDE)))
    return left, top


def crop_at(image: Image.Image, x: float, y: float) -> Image.Image:
    """The 64 x 64 pixels around a point."""
    left, top = corner_at(image, x, y)
    return image.crop((left, top, left + SIDE, top + SIDE))


def spots_along(box: Box) -> list[tuple[float, float]]:
    """Middles of crops along a box, from the left."""
    left, top, right, bottom = box
    steps = max(1, round((right - left) / SIDE))
    return [(left + (i + 0.5) * (right - left) / steps, (top + bottom) / 2) for i in range(steps)]


def spots_of(scene: Scene, most: int = 8) -> list[tuple[float, float]]:
    """Middles of at most so many crops along the texts and pictures of a scene, in a fixed order."""
    spots = [middle for box in places_of(scene) for middle in spots_along(box)]
    thin = max(1, -(-len(spots) // most))
    return spots[::thin]


def crops_of(image: Image.Image, scene: Scene, most: int = 8) -> list[Image.Image]:
    """Crops along the texts and pictures of a scene."""
    return [crop_at(image, x, y) for x, y in spots_of(scene, most)]


def as_input(crops: Sequence[Image.Image] | NDArray[np.uint8]) -> Tensor:
    """Crops as the network takes them."""
    arrays = torch.from_numpy(np.stack([np.asarray(crop, dtype=np.uint8) for crop in crops]))
    return arrays.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def detail_loss(model: DetailNet, batch: Batch) -> Tensor:
    """Binary cross-entropy of a batch, whose arrays the loader makes tensors of."""
    return F.binary_cross_entropy_with_logits(model(as_input(batch["crops"])), torch.as_tensor(batch["whole"]))


@torch.no_grad()
def rounded(model: DetailNet) -> DetailNet:
    """The evaluator with its numbers as the file holds them, in 16 bits."""
    for parameter in model.parameters():
        parameter.copy_(parameter.half())
    return model


def save_detail(model: DetailNet, path: Path, found: DetailFacts) -> Path:
    """Write the evaluator with what it was measured to be worth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = json.dumps({"version": VERSION, "auc": round(found.auc, 4), "threshold": round(found.threshold, 4)})
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, path, metadata={"facts": facts})
    return path


@dataclass(frozen=True, kw_only=True)
class DetailReward:
    """Mean chance that the crops of a picture are whole; 1 for a scene without anything in it."""

    model: DetailNet
    threshold: float

    @property
    def name(self) -> str:
        return f"{VERSION}[threshold={self.threshold:.3f}]"

    @property
    def reads(self) -> bool:
        return False

    @torch.no_grad()
    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [self._one(item) for item in items]

    def _one(self, item: RewardInput) -> float:
        crops = crops_of(item.image, item.ask.scene)
        return float(self.model(as_input(crops)).sigmoid().mean()) if crops else 1.0


def load_detail(path: Path) -> DetailReward:
    """An evaluator that `save_detail` wrote; WeightsError for anything else."""
    model = DetailNet()
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            model.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is no evaluator of details ({error}): train one with inkwash rl detail.") from error
    return DetailReward(model=model.eval().requires_grad_(False), threshold=float(facts["threshold"]))
