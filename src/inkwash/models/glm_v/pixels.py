"""From pictures and frames to rows of patch values, in the order and to the digit of the released processors.

A size is rounded to whole blocks of 2 x 2 patches and scaled into a budget that counts frames: a picture counts as
two. Pictures are resized by Pillow, frames as a batch of 8-bit tensors by torch, as the reference does either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import Tensor

from inkwash.core.errors import ConfigError, RequestError
from inkwash.models.glm_v.vision import PatchGrid

_MAX_ASPECT = 200


@dataclass(frozen=True, kw_only=True)
class PixelConfig:
    """How pictures, or the frames of videos, are prepared."""

    patch_size: int
    temporal_patch_size: int
    merge_size: int
    shortest_edge: int  # in pixels of volume, frames counted, as the file has it
    longest_edge: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    rescale_factor: float = 1 / 255
    resample: int = int(Image.Resampling.BICUBIC)

    def __post_init__(self) -> None:
        if min(self.patch_size, self.temporal_patch_size, self.merge_size) < 1:
            raise ConfigError("patch_size, temporal_patch_size and merge_size must be whole numbers above zero.")
        if not 0 < self.shortest_edge <= self.longest_edge:
            raise ConfigError(
                f"The size of a preprocessor must satisfy 0 < shortest_edge <= longest_edge, got {self.shortest_edge} "
                f"and {self.longest_edge}."
            )
        if self.resample != int(Image.Resampling.BICUBIC):
            raise ConfigError(f"resample must be 3 (bicubic), got {self.resample!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str) -> PixelConfig:
        """Read the keys of a preprocessor's file, called `name` in errors."""
        size = values.get("size") or {}
        try:
            return cls(
                patch_size=values["patch_size"],
                temporal_patch_size=values["temporal_patch_size"],
                merge_size=values["merge_size"],
                shortest_edge=size["shortest_edge"],
                longest_edge=size["longest_edge"],
                image_mean=tuple(values["image_mean"]),
                image_std=tuple(values["image_std"]),
                rescale_factor=values.get("rescale_factor", 1 / 255),
                resample=values.get("resample", int(Image.Resampling.BICUBIC)),
            )
        except KeyError as missing:
            raise ConfigError(f"{name} lacks {missing.args[0]!r}; add it.") from None

    def resized(self, frames: int, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels that a picture (2 frames) or video is resized to."""
        factor = self.patch_size * self.merge_size
        if min(height, width) < 1:
            raise RequestError(f"A picture of {width}x{height} pixels is empty; give one that is not.", param="image")
        if min(height, width) < factor:
            scale = max(factor / height, factor / width)
            height, width = int(height * scale), int(width * scale)
        if max(height, width) / min(height, width) > _MAX_ASPECT:
            raise RequestError(
                f"A picture of {width}x{height} pixels is longer than {_MAX_ASPECT}:1; crop it first.", param="image"
            )
        rows, columns = (round(side / factor) * factor for side in (height, width))
        pairs = round(frames / self.temporal_patch_size) * self.temporal_patch_size
        volume = frames * height * width
        if pairs * rows * columns > self.longest_edge:
            shrink = math.sqrt(volume / self.longest_edge)
            rows, columns = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
        elif pairs * rows * columns < self.shortest_edge:
            grow = math.sqrt(self.shortest_edge / volume)
            rows, columns = (math.ceil(side * grow / factor) * factor for side in (height, width))
        return rows, columns

    def grid(self, frames: int, height: int, width: int) -> PatchGrid:
        """Temporal patches, rows and columns of a video; of a picture for as many frames as one patch has."""
        frames = max(frames, self.temporal_patch_size)
        rows, columns = self.resized(frames, height, width)
        return -(-frames // self.temporal_patch_size), rows // self.patch_size, columns // self.patch_size

    def tokens(self, grid: PatchGrid) -> int:
        """Places that a grid takes in a prompt, timestamps not counted."""
        return math.prod(grid) // self.merge_size**2

    def size(self, grid: PatchGrid) -> tuple[int, int]:
        """Width and height in pixels of a grid."""
        return grid[2] * self.patch_size, grid[1] * self.patch_size

    def fitted(self, image: Image.Image, grid: PatchGrid) -> Image.Image:
        """A picture resized to the grid."""
        size = self.size(grid)
        return image if image.size == size else image.resize(size, Image.Resampling(self.resample))

    def picture(self, image: Image.Image) -> tuple[Tensor, PatchGrid]:
        """An RGB picture as patch values (h*w, C*T*P*P) and its grid."""
        grid = self.grid(self.temporal_patch_size, image.height, image.width)
        return self.picture_values(image, grid), grid

    def picture_values(self, image: Image.Image, grid: PatchGrid) -> Tensor:
        """Patch values (h*w, C*T*P*P) of an RGB picture on a grid."""
        small = self.fitted(image, grid)
        # float64 then float32, step by step, so that the result equals the reference to the last bit
        values = (np.asarray(small).astype(np.float64) * self.rescale_factor).astype(np.float32)
        mean, std = (np.array(numbers, dtype=np.float32) for numbers in (self.image_mean, self.image_std))
        pixels = torch.from_numpy(np.ascontiguousarray(((values - mean) / std).transpose(2, 0, 1)))
        return self._patches(pixels.expand(self.temporal_patch_size, -1, -1, -1))

    def video(self, frames: Sequence[Image.Image] | Tensor) -> tuple[Tensor, PatchGrid]:
        """RGB frames of one size, pictures or 8-bit (T, 3, H, W), as patch values (t*h*w, C*T*P*P) and their grid."""
        stack = frames if isinstance(frames, Tensor) else _stack(frames)
        if stack.dtype != torch.uint8 or stack.dim() != 4 or not stack.shape[0] or stack.shape[1] != 3:
            raise RequestError(
                f"A video must be 8-bit RGB frames (T, 3, H, W), got {stack.dtype} {tuple(stack.shape)}.", param="video"
            )
        grid = self.grid(*stack.shape[:1], *stack.shape[2:])
        return self.frames(stack, grid), grid

    def fitted_frames(self, stack: Tensor, grid: PatchGrid) -> Tensor:
        """8-bit frames (T, 3, H, W) resized to the grid."""
        width, height = self.size(grid)
        if tuple(stack.shape[2:]) == (height, width):
            return stack
        return F.interpolate(stack, (height, width), mode="bicubic", align_corners=False, antialias=True)

    def frames(self, stack: Tensor, grid: PatchGrid) -> Tensor:
        """Patch values of some frames, 8-bit (T, 3, H, W), of a video with that grid; every piece but its last is even.

        A frame comes out the same in any piece, so that a long video need not be in memory as a whole.
        """
        stack = self.fitted_frames(stack, grid)
        mean, std = (
            (torch.tensor(numbers) * (1.0 / self.rescale_factor))[:, None, None]
            for numbers in (self.image_mean, self.image_std)
        )
        pixels = (stack.float() - mean) / std
        missing = -pixels.shape[0] % self.temporal_patch_size
        return self._patches(torch.cat([pixels, pixels[-1:].expand(missing, -1, -1, -1)]))

    def _patches(self, pixels: Tensor) -> Tensor:
        """Frames (T, C, H, W) as rows: frame pairs, blocks of merged patches, patches of a block; values C, T, P, P."""
        return rearrange(
            pixels,
            "(t a) c (h m p) (w n q) -> (t h w m n) (c a p q)",
            a=self.temporal_patch_size,
            m=self.merge_size,
            n=self.merge_size,
            p=self.patch_size,
            q=self.patch_size,
        )


def _stack(frames: Sequence[Image.Image]) -> Tensor:
    if not frames or len({frame.size for frame in frames}) != 1:
        raise RequestError(
            f"A video must have frames of one size, got {sorted({frame.size for frame in frames})}.", param="video"
        )
    arrays = [np.asarray(frame.convert("RGB")) for frame in frames]
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays).transpose(0, 3, 1, 2)))
