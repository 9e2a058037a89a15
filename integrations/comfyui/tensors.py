"""Between ComfyUI's tensors and pictures.

IMAGE is float (B, H, W, C) from 0 to 1, MASK is float (B, H, W) or (H, W) in which 1 may change.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inkwash import RequestError


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Every picture of a batch as 8-bit RGB; a fourth channel is left out, as ComfyUI's own nodes do."""
    batch = images[None] if images.ndim == 3 else images
    if batch.ndim != 4 or batch.shape[-1] not in (1, 3, 4):
        raise RequestError(f"An image must have the shape (B, H, W, 3), but has {tuple(images.shape)}.", param="image")
    pixels = (batch.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    return [Image.fromarray(np.ascontiguousarray(one[..., :3])) for one in pixels]


def to_images(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size as a batch; each 8-bit value comes back exactly from `to_pictures`."""
    arrays = [np.asarray(one.convert("RGB"), dtype=np.float32) / 255 for one in pictures]
    return torch.from_numpy(np.stack(arrays))


def to_mask(mask: Tensor, size: tuple[int, int], index: int = 0) -> Image.Image:
    """Mask `index` of a batch as grey in which white may change; brought to the size of its picture."""
    batch = mask[None] if mask.ndim == 2 else mask
    if batch.ndim != 3:
        raise RequestError(f"A mask must have the shape (B, H, W), but has {tuple(mask.shape)}.", param="mask")
    values = (batch[index if len(batch) > 1 else 0].detach().cpu().float().clamp(0, 1) * 255).round()
    if not bool(values.any()):
        raise RequestError(
            "The mask is empty: paint the part to change in the mask editor, or take the mask off to change the whole "
            "picture.",
            param="mask",
        )
    grey = Image.fromarray(values.to(torch.uint8).numpy())
    return grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)
