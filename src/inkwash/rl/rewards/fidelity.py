"""High-frequency fidelity: how near a decoded picture is to the picture whose plan it was drawn from.

The distance is that of the frozen ViT's features at two depths, normalised at every place, plus half the relative gap
of the edge energy (Laplacian) in the cells with letters. It is divided by `scale`, the 95 % quantile of the decoder's
own pictures before training (`calibrated`), so that 0 is what the worst of them have and 1 the target itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from inkwash.data.scenes import half_size
from inkwash.models.glm_image.ar import VisionEncoder
from inkwash.models.glm_image.processor import PictureConfig
from inkwash.rl.rewards.base import RewardInput
from inkwash.scenes.scene import covered_cells
from inkwash.scenes.world import CELL

GAP_WEIGHT = 0.5
QUANTILE = 0.95


@dataclass(frozen=True, kw_only=True)
class FidelityReward:
    """Needs the target of every item; the ViT is that of the checkpoint and never learns."""

    vision: VisionEncoder
    pictures: PictureConfig
    scale: float = 1.0

    @property
    def name(self) -> str:
        return f"fidelity-1[scale={self.scale:.4g}]"

    @property
    def reads(self) -> bool:
        return False

    def calibrated(self, items: Sequence[RewardInput]) -> FidelityReward:
        """The same with the scale of these pictures."""
        return replace(self, scale=max(1e-6, float(np.quantile(self.distances(items), QUANTILE))))

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        return [1.0 - min(1.0, distance / self.scale) for distance in self.distances(items)]

    @torch.no_grad()
    def distances(self, items: Sequence[RewardInput]) -> list[float]:
        targets = [item.target for item in items if item.target is not None]
        assert len(targets) == len(items), "fidelity needs the picture aimed at"
        drawn, wanted = self._features([item.image for item in items]), self._features(targets)
        far = torch.stack([(a - b).square().sum(-1).mean(1) for a, b in zip(drawn, wanted, strict=True)]).mean(0)
        gaps = [energy_gap(item) for item in items]
        return [float(d) + GAP_WEIGHT * gap for d, gap in zip(far, gaps, strict=True)]

    def _features(self, images: Sequence[Image.Image]) -> list[Tensor]:
        """Unit features (B, cells, D) after the middle and the last block."""
        weight = next(self.vision.parameters())
        pixels = torch.from_numpy(np.stack([half_size(image) for image in images])).float()
        normal = (pixels * self.pictures.rescale_factor - torch.tensor(self.pictures.image_mean)) / torch.tensor(
            self.pictures.image_std
        )
        kept: list[Tensor] = []
        blocks = [self.vision.blocks[len(self.vision.blocks) // 2], self.vision.blocks[-1]]
        hooks = [block.register_forward_hook(_keeper(kept)) for block in dict.fromkeys(blocks)]
        try:
            self.vision(rearrange(normal, "b h w c -> b c h w").to(weight.device, weight.dtype))
        finally:
            for hook in hooks:
                hook.remove()
        return [F.normalize(each.float(), dim=-1).cpu() for each in kept]


def _keeper(kept: list[Tensor]) -> Any:
    def keep(_module: object, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    return keep


def energy_gap(item: RewardInput) -> float:
    """Relative gap of the Laplacian's energy in the cells with letters, 0 to 1."""
    assert item.target is not None
    cells = [cell for text in item.ask.scene.texts for cell in covered_cells(text.box)]
    if not cells:
        return 0.0
    drawn, wanted = (_energy(image, cells) for image in (item.image, item.target))
    return abs(drawn - wanted) / max(drawn, wanted, 1e-6)


def _energy(image: Image.Image, cells: Sequence[tuple[int, int]]) -> float:
    gray: NDArray[np.float32] = np.asarray(image.convert("L"), dtype=np.float32) / 255.0
    laplacian = np.zeros_like(gray)
    laplacian[1:-1, 1:-1] = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    squares = laplacian**2
    parts = [squares[r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL] for r, c in cells]
    return float(np.mean([part.mean() for part in parts if part.size]))


def fidelity_of(reward: FidelityReward, file: Path, make: Callable[[], Sequence[RewardInput]]) -> FidelityReward:
    """The reward with the scale in `file`, measured and written there once on the pictures of `make`."""
    if file.exists():
        return replace(reward, scale=float(json.loads(file.read_text(encoding="utf-8"))["scale"]))
    measured = reward.calibrated(make())
    temporary = file.with_suffix(".new")
    temporary.write_text(json.dumps({"scale": measured.scale}), encoding="utf-8")
    temporary.replace(file)
    return measured
