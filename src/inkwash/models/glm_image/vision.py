"""The ViT of GLM-Image: one feature per patch, attention inside one image, no final norm.

Pre-norm blocks with a two-layer MLP. The positions are a learned square that is sampled bilinearly at the centres
of the patches, so any grid works. All images of one call have one size.
"""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import ACTIVATIONS
from inkwash.models.glm_image.config import VisionConfig
from inkwash.nn.attention import attention
from inkwash.nn.grid import sample_grid


class PatchEmbed(nn.Module):
    """Cut into patches and project each; a convolution in the checkpoint, one matrix product here."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = rearrange(pixels, "b c (h p) (w q) -> b (h w) (c p q)", p=self.patch, q=self.patch)
        weight = self.proj.weight
        return F.linear(patches.to(weight.dtype), weight.flatten(1), self.proj.bias)  # (B, h*w, D)


class PositionEmbedding(nn.Module):
    """A learned square of positions, sampled for a grid of any size."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.position_embedding = nn.Embedding(side * side, width)

    def forward(self, height: int, width: int) -> Tensor:
        """(h*w, D): the value at the centre of every patch; points past the outermost centres take the border's."""
        return sample_grid(self.position_embedding.weight, self.side, height, width, mode="bilinear")


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        out: Tensor = self.proj(rearrange(attention(q, k, v), "b h l d -> b l (h d)"))
        return out


class VisionMLP(nn.Module):
    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.activation(self.fc1(x)))
        return out


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = VisionAttention(config.hidden_size, config.num_heads, config.attention_bias)
        self.mlp = VisionMLP(config.hidden_size, config.intermediate_size, config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        update: Tensor = self.mlp(self.norm2(x))
        return x + update


class VisionEncoder(nn.Module):
    """Pixels to patch features; parameter names as under `model.visual.` of the checkpoint."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = PositionEmbedding(config.grid, config.hidden_size)
        self.patch_embed = PatchEmbed(config.in_channels, config.patch_size, config.hidden_size)
        self.blocks = nn.ModuleList([VisionBlock(config) for _ in range(config.depth)])

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, C, H, W), both sides multiples of the patch -> features (B, h*w, D)."""
        height, width = self.grid(pixels)
        x: Tensor = self.patch_embed(pixels) + self.embeddings(height, width)
        for block in self.blocks:
            x = block(x)
        return x

    def grid(self, pixels: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of a batch of pictures."""
        patch = self.config.patch_size
        height, width = pixels.shape[-2:]
        if height % patch or width % patch or not height or not width:
            raise ConfigError(
                f"The ViT takes pictures whose sides are multiples of {patch}, got {height}x{width}; resize first."
            )
        return height // patch, width // patch


def init_weights(model: VisionEncoder, std: float | None = None) -> None:
    """Start from scratch: normal weights (``std`` defaults to the config's range), zero biases, unit norms."""
    std = model.config.initializer_range if std is None else std
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias)
