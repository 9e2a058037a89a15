"""The variational autoencoder between pixels and the decoder's latents (AutoencoderKL).

One picture of H x W pixels becomes `latent_channels` x H/8 x W/8 numbers and back. Parameter names are
those of the released `vae/` folder, so a checkpoint loads without renaming. Latents are normalised per
channel with the mean and the standard deviation kept in the configuration; the decoder only ever sees
normalised latents. `decode_tiled` bounds the memory of large pictures by decoding overlapping tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.config import VAEConfig
from inkwash.models.weights import ReferencePart
from inkwash.nn.attention import attention
from inkwash.nn.linear import linear

_EPS = 1e-6


class Pointwise(nn.Conv2d):
    """A 1x1 convolution. On a CPU the product of `nn`: a convolution's sums depend on the number of threads there,
    and those of MKL's small products on where the weights lie in memory."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        pixels = rearrange(x, "b c h w -> b (h w) c").contiguous()
        mixed = linear(pixels, self.weight[:, :, 0, 0], self.bias)
        return rearrange(mixed, "b (h w) c -> b c h w", h=x.shape[2]).contiguous()


class ResnetBlock(nn.Module):
    """Two 3x3 convolutions with group normalisation and a skip: (B, C_in, H, W) -> (B, C_out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, eps=_EPS)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels_out, eps=_EPS)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        if channels_in != channels_out:
            self.conv_shortcut = Pointwise(channels_in, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        skip = self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x
        return skip + h


class SpatialAttention(nn.Module):
    """Single-head self-attention over all positions of a feature map (B, C, H, W)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=_EPS)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        tokens = rearrange(self.group_norm(x), "b c h w -> b 1 (h w) c")
        mixed = attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return x + rearrange(self.to_out[0](mixed), "b 1 (h w) c -> b c h w", h=height)


class ResolutionLevel(nn.Module):
    """One resolution of the encoder or the decoder: resnet blocks, then the sides halved, doubled or left alone."""

    def __init__(self, channels_in: int, channels_out: int, blocks: int, groups: int, resample: str | None) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(channels_in if i == 0 else channels_out, channels_out, groups) for i in range(blocks)
        )
        if resample == "down":
            conv = nn.Conv2d(channels_out, channels_out, 3, stride=2)
            self.downsamplers = nn.ModuleList([nn.ModuleDict({"conv": conv})])
        elif resample == "up":
            conv = nn.Conv2d(channels_out, channels_out, 3, padding=1)
            self.upsamplers = nn.ModuleList([nn.ModuleDict({"conv": conv})])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        if hasattr(self, "downsamplers"):  # padded on the right and below only, as the released weights expect
            return self.get_submodule("downsamplers.0.conv")(F.pad(x, (0, 1, 0, 1)))
        if hasattr(self, "upsamplers"):
            return self.get_submodule("upsamplers.0.conv")(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class MidBlock(nn.Module):
    """The coarsest resolution: resnet, attention over all positions, resnet."""

    def __init__(self, channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups) for _ in range(2))
        self.attentions = nn.ModuleList([SpatialAttention(channels, groups)] if attention else [])

    def forward(self, x: Tensor) -> Tensor:
        x = self.resnets[0](x)
        for mix in self.attentions:
            x = mix(x)
        return self.resnets[1](x)


class PixelEncoder(nn.Module):
    """Pixels (B, 3, H, W) -> mean and log-variance stacked (B, 2 * latent, H/8, W/8)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            ResolutionLevel(
                widths[max(i - 1, 0)],
                width,
                config.layers_per_block,
                groups,
                "down" if i + 1 < len(widths) else None,
            )
            for i, width in enumerate(widths)
        )
        self.mid_block = MidBlock(widths[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class PixelDecoder(nn.Module):
    """Latents (B, latent, h, w) -> pixels (B, 3, 8h, 8w)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths, groups = tuple(reversed(config.block_out_channels)), config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = MidBlock(widths[0], groups, config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList(
            ResolutionLevel(
                widths[max(i - 1, 0)],
                width,
                config.layers_per_block + 1,
                groups,
                "up" if i + 1 < len(widths) else None,
            )
            for i, width in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], eps=_EPS)
        self.conv_out = nn.Conv2d(widths[-1], config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(z))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class AutoencoderKL(ReferencePart):
    """Encoder and decoder with the released parameter names; pixels are in [-1, 1]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = PixelEncoder(config)
        self.decoder = PixelDecoder(config)
        latent = config.latent_channels
        self.quant_conv = nn.Conv2d(2 * latent, 2 * latent, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(latent, latent, 1) if config.use_post_quant_conv else None

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, 3, H, W) -> mean and log-variance, each (B, latent, H/8, W/8), not normalised."""
        moments = self.encoder(pixels)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean, logvar = moments.chunk(2, dim=1)
        return mean, logvar.clamp(-30.0, 20.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, latent, h, w), not normalised -> pixels (B, 3, 8h, 8w)."""
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        return self.decoder(latents)

    def enable_tiling(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the pipeline decodes large pictures in tiles (`decode_tiled`)."""

    def enable_slicing(self) -> None:
        """Nothing to do: the pipeline decodes pictures one at a time."""

    def disable_tiling(self) -> None:
        """Warns; the pixels would be the same but for rounding."""
        text = (
            "Large pictures are always decoded in tiles, which bounds memory; the pixels are the same but for rounding."
        )
        warnings.warn(text, UserWarning, stacklevel=2)

    def disable_slicing(self) -> None:
        """Warns; the pixels would be the same."""
        warnings.warn("Pictures are always decoded one at a time; the pixels are the same.", UserWarning, stacklevel=2)

    def decode_tiled(
        self,
        latents: Tensor,
        *,
        tile: int = 128,
        overlap: int = 32,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """`decode` in square tiles of `tile` latent cells that share at least `overlap` cells with their neighbours.

        Shared strips fade from one tile into the next. Norms and attention see one tile at a time, so the result is
        close to `decode` but not equal; latents that fit into one tile are decoded exactly. `on_tile(done, total)`
        is called after each tile; it may raise to stop.
        """
        if not 0 <= overlap < tile:
            raise ConfigError(f"The overlap of tiles is {overlap} cells, but must be at least 0 and below {tile}.")
        height, width = latents.shape[2:]
        tops, lefts = tile_starts(height, tile, overlap), tile_starts(width, tile, overlap)
        if len(tops) * len(lefts) == 1:
            return self.decode(latents)
        scale = self.config.scale_factor
        rows = fades([y * scale for y in tops], height * scale, tile * scale, overlap * scale).to(latents.device)
        columns = fades([x * scale for x in lefts], width * scale, tile * scale, overlap * scale).to(latents.device)
        shape = latents.shape[0], self.config.out_channels, height * scale, width * scale
        canvas = torch.zeros(shape, device=latents.device)
        for n, (i, j) in enumerate(product(range(len(tops)), range(len(lefts)))):
            y, x = tops[i], lefts[j]
            pixels = self.decode(latents[:, :, y : y + tile, x : x + tile])
            down = slice(y * scale, (y + tile) * scale)
            right = slice(x * scale, (x + tile) * scale)
            canvas[:, :, down, right] += pixels * (rows[i, down, None] * columns[j, right])
            if on_tile is not None:
                on_tile(n + 1, len(tops) * len(lefts))
        return canvas.to(latents.dtype)

    def normalize(self, latents: Tensor) -> Tensor:
        """Per-channel (z - mean) / std: what the diffusion decoder sees."""
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    def denormalize(self, latents: Tensor) -> Tensor:
        """Inverse of `normalize`."""
        mean, std = self._statistics(latents)
        return latents * std + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (1, latent, 1, 1); a VAE without any uses its shift and scaling factors."""
        mean, std = self.config.latents_mean, self.config.latents_std
        if mean is None or std is None:
            mean, std = (self.config.shift_factor or 0.0,), (1.0 / self.config.scaling_factor,)
        shape = (1, -1, 1, 1)
        return (
            torch.tensor(mean, device=like.device, dtype=like.dtype).view(shape),
            torch.tensor(std, device=like.device, dtype=like.dtype).view(shape),
        )


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of one axis begin: as few as keep the overlap, evenly spread, the last one flush with the end."""
    if length <= tile:
        return [0]
    gaps = -(-(length - tile) // (tile - overlap))
    return [round(i * (length - tile) / gaps) for i in range(gaps + 1)]


def fades(starts: list[int], length: int, tile: int, ramp: int) -> Tensor:
    """Weights (tiles, length) of tiles along one axis: they rise and fall over `ramp` places and sum to 1."""
    places = torch.arange(length) + 0.5
    first = torch.tensor(starts)[:, None]
    rise, fall = (places - first) / max(ramp, 1), (first + tile - places) / max(ramp, 1)
    inside = (rise > 0) & (fall > 0)
    rise = torch.where(first == 0, 1.0, rise)  # the border of the picture is no seam
    fall = torch.where(first + tile >= length, 1.0, fall)
    weights = torch.minimum(rise, fall).clamp(0.0, 1.0) * inside
    return weights / weights.sum(0)
