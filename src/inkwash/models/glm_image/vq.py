"""Semantic VQ: project a ViT feature, put it on the unit sphere, take the nearest code there.

Drawing needs `encode` only; training also uses the straight-through value, its loss and `post_quant_conv`, which
leads back to the feature's width. Sources: van den Oord et al. 2017, arXiv:1711.00937; the normalised codebook,
Yu et al. 2021, arXiv:2110.04627.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.models.glm_image.config import VQConfig


class VectorQuantizer(nn.Module):
    """A codebook of directions."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)

    def directions(self) -> Tensor:
        """The codes on the unit sphere, fp32 (K, E)."""
        return F.normalize(self.embedding.weight.float(), dim=-1)

    def nearest(self, z: Tensor, directions: Tensor) -> Tensor:
        """Index of the nearest code; z (..., E) and directions (K, E) are of unit length.

        fp32 island, autocast or not: in bf16 neighbouring codes tie and the first of them would win. The squared
        lengths stay in the formula although they are one up to rounding: near ties then fall as in the reference.
        """
        with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
            flat = z.flatten(0, -2)
            distances = flat.square().sum(1, keepdim=True) + directions.square().sum(1) - 2 * (flat @ directions.T)
            return distances.argmin(dim=1).view(z.shape[:-1])


class VQModel(nn.Module):
    """Features to code ids; parameter names as under `model.vqmodel.` of the checkpoint."""

    def __init__(self, config: VQConfig, beta: float = 0.25) -> None:
        super().__init__()
        self.config = config
        self.beta = beta
        self.quantize = VectorQuantizer(config.num_embeddings, config.embed_dim)
        self.quant_conv = nn.Conv2d(config.latent_channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.latent_channels, 1)

    def encode(self, features: Tensor) -> Tensor:
        """Features (B, N, latent_channels) -> ids (B, N), int64."""
        return self.quantize.nearest(self.project(features), self.quantize.directions())

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, N, latent_channels) -> (quantized (B, N, E) of unit length, ids (B, N), loss).

        The gradient of ``quantized`` goes straight through to the features. The loss pulls features to their code
        with weight 1 and codes to their features with weight ``beta``.
        """
        z, directions = self.project(features), self.quantize.directions()
        ids = self.quantize.nearest(z, directions)
        codes = F.embedding(ids, directions)
        loss = F.mse_loss(z, codes.detach()) + self.beta * F.mse_loss(codes, z.detach())
        return z + (codes - z).detach(), ids, loss

    def project(self, features: Tensor) -> Tensor:
        """Features on the unit sphere of the codes, fp32 (B, N, E)."""
        projected = F.linear(features.to(self.quant_conv.weight.dtype), *_as_linear(self.quant_conv))
        return F.normalize(projected.float(), dim=-1)

    def decode(self, quantized: Tensor) -> Tensor:
        """Quantized (B, N, E) back to the width of the features, for a reconstruction head."""
        return F.linear(quantized.to(self.post_quant_conv.weight.dtype), *_as_linear(self.post_quant_conv))


def init_weights(model: VQModel, std: float | None = None) -> None:
    """Start from scratch: normal weights (``std`` defaults to the config's range), zero biases."""
    std = model.config.initializer_range if std is None else std
    nn.init.normal_(model.quantize.embedding.weight, std=std)
    for conv in (model.quant_conv, model.post_quant_conv):
        nn.init.normal_(conv.weight, std=std)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)


def _as_linear(conv: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """A 1x1 convolution's weight (out, in) and bias."""
    return conv.weight.flatten(1), conv.bias
