"""Between latents and the pictures a caller gets: VAE decoding, output types, and edits that stay inside a mask.

Pictures are decoded one at a time, so that memory is bounded by one picture and each comes out the same in any
batch; large ones in tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.nn.finite import check_finite

OutputType: TypeAlias = Literal["pil", "np", "pt", "latent"]
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
