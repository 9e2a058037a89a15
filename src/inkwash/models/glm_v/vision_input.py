"""What is seen in a prompt: pictures and videos whose cost is known before they are decoded.

A `Picture` or `Video` may hold its pixels or only the way to them. A `VisionInput` is one of them on its grid of
patches; its patch values come in pieces, so that a long video or many pages are never in memory as a whole.
`VisionPrompt.decoded` has the pixels of a prompt read beforehand, at the size of the grid in 8 bits, where reading them
later would hold others up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.models.glm_v.pixels import PixelConfig
from inkwash.models.glm_v.sampling import USUAL_FPS, timestamps
from inkwash.models.glm_v.vision import PatchGrid

Size = tuple[int, int]  # width, height


class LoadPicture(Protocol):
    """Reads an RGB picture, whole or resized to `size` by Pillow's bicubic filter."""

    def __call__(self, size: Size | None = None) -> Image.Image: ...


class LoadVideo(Protocol):
    """Reads frames in stacks; `wanted` is what they will be resized to."""

    def __call__(self, wanted: Size | None = None) -> Iterable[Tensor]: ...


@dataclass(frozen=True)
class Picture:
    """A picture of a known size that is decoded when it is looked at; `key` tells equal pictures, if given."""

    width: int
    height: int
    load: LoadPicture
    key: str | None = None


@dataclass(frozen=True)
class Video:
    """Frames that were chosen from a video, their numbers in it, and its rate; a plain list of frames has neither.

    `size` (width, height) and `load` stand for frames that are decoded when they are looked at: as many as
    `indices`, in stacks of 8-bit (T, 3, H, W) with an even T but for the last.
    """

    frames: Sequence[Image.Image] | Tensor = ()  # RGB pictures of one size, or 8-bit (T, 3, H, W)
    indices: Sequence[int] | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    load: LoadVideo | None = None
    key: str | None = None

    @property
    def count(self) -> int:
        return len(self.indices or ()) if self.load is not None else len(self.frames)

    @property
    def seconds(self) -> list[float]:
        """The second at which each pair of frames begins."""
        indices = range(self.count) if self.indices is None else self.indices
        if len(indices) != self.count:
            raise RequestError(
                f"A video has {self.count} frames but {len(indices)} frame numbers; give one for each.", param="video"
            )
        return timestamps(indices, self.fps or USUAL_FPS)


@dataclass(frozen=True)
class VisionInput:
    """One picture or video in a prompt: its grid, the places it takes, its pixels, and what makes patch values of them.

    `pixels` reads pieces at the size of the grid, `patches` takes one of them; `size_bytes` is what all of them
    take as 8-bit values.
    """

    grid: PatchGrid
    tokens: int
    pixels: Callable[[], Iterator[Any]]
    patches: Callable[[Any], tuple[Tensor, PatchGrid]]
    size_bytes: int
    key: str | None = None
    held: bool = False

    def pieces(self) -> Iterator[tuple[Tensor, PatchGrid]]:
        """Patch values, piece by piece."""
        return (self.patches(piece) for piece in self.pixels())

    def decoded(self) -> VisionInput:
        """The same with its pixels in memory."""
        if self.held:
            return self
        pieces = list(self.pixels())
        return replace(self, pixels=lambda: iter(pieces), held=True)


@dataclass(frozen=True)
class VisionPrompt:
    """Everything a model needs to answer; what is seen lies in the order of the prompt."""

    ids: Tensor  # (L,)
    modality: Tensor  # (L,): 0 text, 1 picture, 2 video
    positions: Tensor  # (3, L)
    next_position: int  # of the first generated token
    vision_inputs: tuple[VisionInput, ...]
    text: str  # as the tokenizer read it

    @property
    def grids(self) -> tuple[PatchGrid, ...]:
        return tuple(vision_input.grid for vision_input in self.vision_inputs)

    def decoded(self, numbers: Collection[int]) -> VisionPrompt:
        """The same with the pixels of these inputs in memory."""
        vision_inputs = (
            vision_input.decoded() if number in numbers else vision_input
            for number, vision_input in enumerate(self.vision_inputs)
        )
        return replace(self, vision_inputs=tuple(vision_inputs))

    @cached_property
    def patches(self) -> Tensor | None:
        """(N, C*T*P*P) of everything that is seen; None where nothing is."""
        pieces = [patches for vision_input in self.vision_inputs for patches, _ in vision_input.pieces()]
        return torch.cat(pieces) if pieces else None


def picture_input(image: Image.Image | Picture, config: PixelConfig) -> VisionInput:
    """A picture on its grid; a pixel is touched only when the pieces are asked for."""
    grid = config.grid(config.temporal_patch_size, image.height, image.width)
    size = config.size(grid)

    def pixels() -> Iterator[Image.Image]:
        if not isinstance(image, Picture):
            yield image
            return
        loaded = image.load(size)
        if loaded.size not in (size, (image.width, image.height)):
            raise RequestError(
                f"A picture of {image.width}x{image.height} pixels turned out to have {loaded.width}x{loaded.height}.",
                param="image",
            )
        yield config.fitted(loaded, grid)

    key = image.key if isinstance(image, Picture) else None
    return VisionInput(
        grid=grid,
        tokens=config.tokens(grid),
        pixels=pixels,
        patches=lambda loaded: (config.picture_values(loaded, grid), grid),
        size_bytes=4 * math.prod(size),  # as Pillow stores them
        key=key,
    )


def video_input(video: Video, config: PixelConfig) -> VisionInput:
    """A video on its grid, whole or decoded stack by stack."""
    if video.load is None or video.size is None:
        values, grid = config.video(video.frames)
        return VisionInput(
            grid=grid,
            tokens=config.tokens(grid),
            pixels=lambda: iter([(values, grid)]),
            patches=lambda piece: piece,
            size_bytes=values.nbytes,
            key=video.key,
            held=True,
        )
    load, (width, height) = video.load, video.size
    grid = config.grid(video.count, height, width)

    def pixels() -> Iterator[Tensor]:
        seen = 0
        for stack in load(config.size(grid)):
            seen += -(-stack.shape[0] // config.temporal_patch_size)
            yield config.fitted_frames(stack, grid)
        if seen != grid[0]:
            raise RequestError(
                f"The video gave {seen} of {grid[0]} pairs of frames; it is damaged or cut short.", param="video"
            )

    def patches(stack: Tensor) -> tuple[Tensor, PatchGrid]:
        return config.frames(stack, grid), (-(-stack.shape[0] // config.temporal_patch_size), *grid[1:])

    return VisionInput(
        grid=grid,
        tokens=config.tokens(grid),
        pixels=pixels,
        patches=patches,
        size_bytes=3 * video.count * math.prod(config.size(grid)),
        key=video.key,
    )
