"""What comes out of a drawing: the plan, pixels from latents, and the result with seeds and times.

A plan holds semantic tokens in the form the reference pipeline hands around: on the decoder's grid, repeated twice
along both axes, one for each 16 x 16 pixels. A plan taken from an output redraws its pictures with other noise, other
steps or other guidance without the AR stage.

Pictures are decoded one at a time, so that memory is bounded by one picture and each comes out the same in any
batch; large ones in tiles. An edit with a mask stays inside the mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import repeat
from PIL import Image
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.models.glm_image.processor import Grid
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.nn.finite import check_finite

OUTPUT_TYPES = ("pil", "np", "pt", "latent")
TILED_AREA = 1024 * 1024  # output pixels above which the VAE works in tiles: its memory grows with the area


def check_output_type(output_type: str) -> None:
    if output_type not in OUTPUT_TYPES:
        raise RequestError(
            f"The output type is {output_type!r}, but must be one of {', '.join(OUTPUT_TYPES)}.", param="output_type"
        )


def _go_on() -> None:
    """The check of a decoding that nobody stops."""


@torch.no_grad()
def decode_latents(vae: AutoencoderKL, latents: Tensor, check: Callable[[], None] = _go_on) -> Tensor:
    """Normalised latents (B, C, h, w) -> pictures (B, 3, H, W) in [0, 1], fp32; `check` may raise between tiles."""
    latents = vae.denormalize(latents.to(next(vae.parameters()).dtype))
    scale = vae.config.scale_factor
    tiled = latents.shape[2] * latents.shape[3] * scale**2 > TILED_AREA
    pixels = []
    for one in latents.unsqueeze(1):
        check()
        pixels.append(vae.decode_tiled(one, on_tile=lambda *_: check()) if tiled else vae.decode(one))
    made = check_finite("The VAE", torch.cat(pixels).float())
    return (made / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def encode_picture(vae: AutoencoderKL, picture: Tensor) -> Tensor:
    """A picture (3, H, W) in [-1, 1] -> its normalised latents (1, C, h, w)."""
    weight = next(vae.parameters())
    mean, _ = vae.encode(picture[None].to(weight.device, weight.dtype))
    return check_finite("The VAE", vae.normalize(mean))


def to_output(pixels: Tensor, output_type: str) -> Any:
    """Pictures (B, 3, H, W) in [0, 1] as a list of PIL images, an array (B, H, W, 3) or the tensor itself."""
    if output_type == "pt":
        return pixels
    array = pixels.cpu().permute(0, 2, 3, 1).float().numpy()
    if output_type == "np":
        return array
    return [Image.fromarray(one) for one in (array * 255).round().astype(np.uint8)]


class MaskedEdit:
    """An edit of `picture` inside the white part of `mask`, at the size of the output."""

    def __init__(self, picture: Image.Image, mask: Image.Image, width: int, height: int) -> None:
        if mask.size != picture.size:
            raise RequestError(
                f"The mask is {mask.width}x{mask.height} pixels, but its picture is {picture.width}x{picture.height}: "
                "make them equally large.",
                param="mask",
            )
        size = (width, height)
        picture = picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)
        mask = mask.convert("L")
        mask = mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)
        self.original = torch.from_numpy(np.array(picture, dtype=np.float32).transpose(2, 0, 1)[None] / 255)
        self.change = torch.from_numpy(np.array(mask, dtype=np.float32)[None, None] / 255)  # (1, 1, H, W)
        if not bool(self.change.any()):
            raise RequestError("The mask is black everywhere: paint the part to change white.", param="mask")

    def kept_cells(self, scale: int) -> Tensor:
        """Latent cells (1, 1, h, w) in which nothing may change."""
        return F.max_pool2d(self.change, scale) == 0

    def compose(self, pixels: Tensor) -> Tensor:
        """New pixels inside the mask, untouched ones outside, a mixture on soft edges."""
        change, original = self.change.to(pixels), self.original.to(pixels)
        return torch.where(change == 0, original, change * pixels + (1 - change) * original)


UPSAMPLE = 2  # cells of the decoder along one side of a semantic token


@dataclass(frozen=True)
class Plan:
    """prior_token_ids (B, N) of B pictures; for each prompt with references their ids, joined, and grids (k, 3)."""

    prior_token_ids: Tensor
    prior_token_image_ids: list[Tensor] | None = None
    source_image_grid_thw: list[Tensor] | None = None

    def of_picture(self, index: int) -> Plan:
        """Picture `index` alone; a plan of one picture serves all."""
        rows = self.prior_token_ids
        return replace(self, prior_token_ids=rows[index : index + 1] if len(rows) > 1 else rows)


def join_pictures(plans: Sequence[Plan]) -> Plan:
    """Plans of several pictures of one prompt as one, on the CPU, with the references of the first."""
    return replace(plans[0], prior_token_ids=torch.cat([plan.prior_token_ids.cpu() for plan in plans]))


def upsample(tokens: Tensor, grid: Grid) -> Tensor:
    """Tokens (rows * columns,) of a grid -> (4 * rows * columns,) on the decoder's grid."""
    rows, columns = grid
    square = tokens.view(rows, columns)
    return repeat(square, "h w -> (h p w q)", p=UPSAMPLE, q=UPSAMPLE)


def join_references(semantic_ids: Sequence[Tensor], grids: Sequence[Grid]) -> tuple[Tensor, Tensor]:
    """Semantic ids of a prompt's references as one tensor of upsampled ids, and their upsampled grids (k, 3)."""
    ids = [upsample(each, grid) for each, grid in zip(semantic_ids, grids, strict=True)]
    sizes = [[1, rows * UPSAMPLE, columns * UPSAMPLE] for rows, columns in grids]
    joined = torch.cat(ids) if ids else torch.empty(0, dtype=torch.long)
    return joined, torch.tensor(sizes, dtype=torch.long).reshape(-1, 3)


def split_references(ids: Tensor, sizes: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
    """The ids of each reference; the sizes must be those of the pictures at hand."""
    expected = [[1, rows * UPSAMPLE, columns * UPSAMPLE] for rows, columns in grids]
    if sizes.tolist() != expected:
        raise RequestError(
            f"source_image_grid_thw is {sizes.tolist()}, but the given pictures have the grids {expected}: pass the "
            "pictures that the prior tokens were made with.",
            param="source_image_grid_thw",
        )
    lengths = [rows * columns for _, rows, columns in expected]
    if ids.ndim != 1 or ids.shape[0] != sum(lengths):
        raise RequestError(
            f"prior_token_image_ids has shape {tuple(ids.shape)}, but the pictures need {sum(lengths)} ids.",
            param="prior_token_image_ids",
        )
    return [ids[end - length : end] for length, end in zip(lengths, accumulate(lengths), strict=True)]


@dataclass(frozen=True)
class GlmImagePipelineOutput:
    """`images` in the asked type; the seed of each picture (None if its generator was used before); the plan; seconds
    of each stage ("prepare", "prior", "denoise", "decode", "total")."""

    images: Any
    seeds: list[int | None]
    plan: Plan
    timings: dict[str, float]

    def __getitem__(self, index: int) -> Any:
        """`output[0]` is the images, as in the tuple that `return_dict=False` gives."""
        return (self.images,)[index]


@dataclass
class Stopwatch:
    """Seconds of each stage, waiting for the accelerator at the borders."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
            if self.device.type not in ("cpu", "meta"):
                torch.accelerator.synchronize(self.device)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def finished(self) -> dict[str, float]:
        return {**self.seconds, "total": sum(self.seconds.values())}
