"""The autoencoder against the reference one, on tiny random weights, with every kind of optional layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL as Reference
from torch import Tensor

from inkwash.models.glm_image.config import VAEConfig
from inkwash.models.glm_image.vae import AutoencoderKL

SIZES: dict[str, Any] = {"block_out_channels": (4, 8, 8), "latent_channels": 3, "norm_num_groups": 2}
KINDS = [
    {"use_quant_conv": False, "use_post_quant_conv": False},
    {"use_quant_conv": True, "use_post_quant_conv": True},
    {"use_quant_conv": True, "use_post_quant_conv": False, "layers_per_block": 2},
    {"use_quant_conv": False, "use_post_quant_conv": True, "mid_block_add_attention": False},
    {"block_out_channels": (4, 4, 8, 12), "layers_per_block": 3, "in_channels": 4, "out_channels": 5},
]


def pair(kind: dict[str, Any]) -> tuple[Reference, AutoencoderKL]:
    torch.manual_seed(0)
    config = VAEConfig(**{**SIZES, **kind})
    reference = Reference.from_config(config.to_dict()).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    ours = AutoencoderKL(config).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return reference, ours


def close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 32), (40, 24)])
@torch.no_grad()
def test_encode_and_decode(kind: dict[str, Any], height: int, width: int) -> None:
    reference, ours = pair(kind)
    pixels = torch.rand(2, ours.config.in_channels, height, width) * 2 - 1
    expected = reference.encode(pixels).latent_dist
    mean, logvar = ours.encode(pixels)
    close(mean, expected.mean)
    close(logvar, expected.logvar)
    close(ours.decode(mean), reference.decode(expected.mean).sample)


@torch.no_grad()
def test_extreme_variances_are_bounded_alike() -> None:
    reference, ours = pair(KINDS[0])
    for model in (reference, ours):
        model.encoder.conv_out.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 90.0, -90.0, 1.0]))
    pixels = torch.rand(1, 3, 8, 8)
    close(ours.encode(pixels)[1], reference.encode(pixels).latent_dist.logvar)


@torch.no_grad()
def test_tiles_stray_no_further_than_the_references() -> None:
    """Both tile schemes approximate the whole decode; with equal tiles and overlap ours must not be the worse one."""
    reference, ours = pair({"sample_size": 64})
    latents = torch.randn(1, 3, 40, 28)
    whole = reference.decode(latents).sample
    reference.enable_tiling()
    theirs = reference.decode(latents).sample
    tiled = ours.decode_tiled(latents, tile=16, overlap=4)
    assert tiled.shape == whole.shape == theirs.shape
    assert (theirs - whole).abs().max() > 1e-3
    assert (tiled - whole).square().mean() <= 1.1 * (theirs - whole).square().mean()
