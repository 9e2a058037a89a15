"""Details that are whole: a small evaluator of 64 x 64 crops, trained here on true and damaged letters and shapes.

What hands are to photographs, corners and strokes are to this world. A crop of a rendered scene, sharp or through the
autoencoder, is whole; the same crop with a missing point, a doubled stroke or a broken edge is not, nor is a crop that
the decoder drew and a checker refused, where such are given. The evaluator is frozen before reinforcement begins.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from inkwash.core.errors import WeightsError
from inkwash.data.loader import Batch
from inkwash.data.scenes import step_rng, training_scene
from inkwash.rl.rewards.base import RewardInput
from inkwash.scenes.render import render
from inkwash.scenes.scene import Box, Scene

SIDE = 64
WIDTHS = (24, 48, 96)
VERSION = "detail-1"
RoundTrip = Callable[[Image.Image], Image.Image]


class DetailNet(nn.Module):
    """Three convolution blocks and a mean: crops (B, 3, 64, 64) in [-1, 1] -> logits (B,); fewer than 0.1 M numbers."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.GroupNorm(4, width), nn.SiLU()]
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * before, 1)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.body(crops)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)  # one bad place is enough
        out: Tensor = self.head(pooled)[:, 0]
        return out


def places_of(scene: Scene) -> list[Box]:
    """Boxes of the texts and shapes of a scene."""
    return [item.box for item in (*scene.texts, *scene.pictures)]


def crop_at(image: Image.Image, x: float, y: float) -> Image.Image:
    """The 64 x 64 pixels around a point, moved inside the picture."""
    left = int(min(max(0, x - SIDE / 2), max(0, image.width - SIDE)))
    top = int(min(max(0, y - SIDE / 2), max(0, image.height - SIDE)))
    return image.crop((left, top, left + SIDE, top + SIDE))


def crops_of(image: Image.Image, scene: Scene, most: int = 8) -> list[Image.Image]:
    """Crops along the texts and shapes of a scene, in a fixed order."""
    spots: list[tuple[float, float]] = []
    for left, top, right, bottom in places_of(scene):
        steps = max(1, round((right - left) / SIDE))
        spots += [(left + (i + 0.5) * (right - left) / steps, (top + bottom) / 2) for i in range(steps)]
    thin = max(1, -(-len(spots) // most))
    return [crop_at(image, x, y) for x, y in spots[::thin]]


def damaged(crop: Image.Image, rng: random.Random) -> Image.Image:
    """A crop with one fault in its ink: a missing point, a doubled stroke or a broken edge."""
    pixels: NDArray[np.float32] = np.asarray(crop, dtype=np.float32)
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    ys, xs = np.nonzero(np.abs(pixels - ground).sum(-1) > 90)
    place = rng.randrange(len(ys)) if len(ys) else 0
    y, x = (int(ys[place]), int(xs[place])) if len(ys) else (SIDE // 2, SIDE // 2)
    out, color = crop.copy(), tuple(int(v) for v in ground)
    kind = rng.choice(("point", "double", "edge"))
    if kind == "double":
        dx, dy = rng.choice(((4, 0), (0, 4), (-4, 0), (3, 3), (-3, 3)))
        moved = np.roll(pixels, (dy, dx), axis=(0, 1))
        inked = (np.abs(moved - ground).sum(-1, keepdims=True) > 90) & _near(y, x, 14)
        return Image.fromarray(np.where(inked, 0.6 * moved + 0.4 * pixels, pixels).round().astype(np.uint8))
    draw = ImageDraw.Draw(out)
    if kind == "point":
        radius = rng.randint(3, 6)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    else:
        length, width = rng.randint(8, 16), rng.randint(3, 4)
        dx, dy = rng.choice(((1, 0), (0, 1), (1, 1), (1, -1)))
        draw.line((x - length * dx, y - length * dy, x + length * dx, y + length * dy), fill=color, width=width)
    return out


def _near(y: int, x: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    near: NDArray[np.bool_] = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2)[..., None]
    return near


@dataclass(frozen=True, kw_only=True)
class DetailCrops:
    """{"crops": uint8 (B, 64, 64, 3), "whole": float (B,)}, half of them damaged, some through the autoencoder."""

    seed: int
    batch: int = 32
    level: str = "second"
    side: int = 256
    round_trip: RoundTrip | None = None

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        crops: list[NDArray[np.uint8]] = []
        whole: list[float] = []
        while len(crops) < self.batch:
            scene = training_scene(rng, self.side, self.side, self.level)
            image = render(scene)
            if self.round_trip is not None and rng.random() < 0.5:
                image = self.round_trip(image)
            for crop in crops_of(image, scene):
                good = rng.random() < 0.5
                crops.append(np.asarray(crop if good else damaged(crop, rng), dtype=np.uint8))
                whole.append(float(good))
        return {
            "crops": np.stack(crops[: self.batch]),
            "whole": np.array(whole[: self.batch], dtype=np.float32),
            "prompts": [""],
        }


def as_input(crops: Sequence[Image.Image] | NDArray[np.uint8]) -> Tensor:
    """Crops as the network takes them."""
    arrays = torch.from_numpy(np.stack([np.asarray(crop, dtype=np.uint8) for crop in crops]))
    return arrays.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def detail_loss(model: DetailNet, batch: Batch) -> Tensor:
    """Binary cross-entropy of a batch."""
    return F.binary_cross_entropy_with_logits(model(as_input(batch["crops"])), torch.from_numpy(batch["whole"]))


def roc_auc(scores: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Chance that a whole crop has a higher score than a damaged one."""
    good, bad = scores[whole > 0.5], scores[whole <= 0.5]
    above = (good[:, None] > bad[None]).mean() + 0.5 * (good[:, None] == bad[None]).mean()
    return float(above)


@torch.no_grad()
def detail_auc(model: DetailNet, make: Callable[[int], Batch], batches: int) -> tuple[float, float]:
    """ROC-AUC on held-out batches, and the score that tells whole from damaged best."""
    scores, whole = [], []
    for step in range(batches):
        batch = make(step)
        scores.append(model(as_input(batch["crops"])).sigmoid().double().numpy())
        whole.append(batch["whole"].astype(np.float64))
    joined, truth = np.concatenate(scores), np.concatenate(whole)
    cuts = np.quantile(joined, np.linspace(0.02, 0.98, 49))
    right = [((joined >= cut) == (truth > 0.5)).mean() for cut in cuts]
    return roc_auc(joined, truth), float(cuts[int(np.argmax(right))])


def save_detail(model: DetailNet, path: Path, *, auc: float, threshold: float) -> Path:
    """Write the evaluator with what it was measured to be worth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = json.dumps({"version": VERSION, "auc": round(auc, 4), "threshold": round(threshold, 4)})
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path, metadata={"facts": facts})
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
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} is no evaluator of details ({error}): train one with inkwash rl detail.") from error
    return DetailReward(model=model.eval().requires_grad_(False), threshold=float(facts["threshold"]))
