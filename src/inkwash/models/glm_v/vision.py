"""The ViT of GLM-V: patches of two frames in, one feature per 2 x 2 patches out, in the decoder's width.

Pictures and videos of any sizes go through in one call. Every frame attends to itself only, so frames of one size
form a batch whatever they belong to. Patches come in the order of the processor: within a frame, 2 x 2 blocks row
by row, and the four patches of a block together. Parameter names are those under `model.visual.` of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import ACTIVATIONS, GatedMLP, Rotary
from inkwash.models.glm_v.config import GlmVVisionConfig
from inkwash.nn.attention import apply_rotary_half, attention, image_rotary
from inkwash.nn.grid import sample_grid
from inkwash.nn.norm import RMSNorm

PatchGrid: TypeAlias = tuple[int, int, int]  # temporal patches, rows and columns of patches


class GlmVPatchEmbed(nn.Module):
    """Rows of patch values to features; a 3-D convolution in the checkpoint, one matrix product here."""

    def __init__(self, config: GlmVVisionConfig) -> None:
        super().__init__()
        size = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(config.in_channels, config.hidden_size, kernel_size=size, stride=size)

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight
        return F.linear(patches.to(weight.dtype), weight.flatten(1), self.proj.bias)


class GlmVPositionEmbedding(nn.Module):
    """A learned square of positions, sampled bicubically for a grid of any size."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        self.position_embedding = nn.Embedding(side * side, width)

    def forward(self, height: int, width: int) -> Tensor:
        return sample_grid(self.position_embedding.weight, self.side, height, width, mode="bicubic")


class GlmVVisionAttention(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "f l (three h d) -> three f h l d", three=3, h=self.heads)
        q, k = (apply_rotary_half(part, *rotary) for part in (q, k))
        out: Tensor = self.proj(rearrange(attention(q, k, v), "f h l d -> f l (h d)"))
        return out


class GlmVVisionBlock(nn.Module):
    def __init__(self, config: GlmVVisionConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm1 = RMSNorm(width, config.rms_norm_eps)
        self.norm2 = RMSNorm(width, config.rms_norm_eps)
        self.attn = GlmVVisionAttention(width, config.num_heads, config.attention_bias)
        self.mlp = GatedMLP(width, config.out_hidden_size, ACTIVATIONS[config.hidden_act])

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        x = x + self.attn(self.norm1(x), rotary)
        update: Tensor = self.mlp(self.norm2(x))
        return x + update


class Merger(nn.Module):
    """A projection, its norm, and a gated MLP; no residual."""

    def __init__(self, config: GlmVVisionConfig) -> None:
        super().__init__()
        width, inner = config.out_hidden_size, config.intermediate_size
        self.proj = nn.Linear(width, width, bias=False)
        self.post_projection_norm = nn.LayerNorm(width)
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)
        self.activation = ACTIVATIONS[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.post_projection_norm(self.proj(x)))
        out: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return out


class GlmVVisionEncoder(nn.Module):
    """Patches of any number of pictures and videos to the features that the decoder reads."""

    def __init__(self, config: GlmVVisionConfig) -> None:
        super().__init__()
        self.config = config
        width, merge = config.hidden_size, config.spatial_merge_size
        self.embeddings = GlmVPositionEmbedding(config.grid, width)
        self.patch_embed = GlmVPatchEmbed(config)
        self.blocks = nn.ModuleList([GlmVVisionBlock(config) for _ in range(config.depth)])
        self.merger = Merger(config)
        self.post_conv_layernorm = RMSNorm(width, config.rms_norm_eps)
        self.downsample = nn.Conv2d(width, config.out_hidden_size, kernel_size=merge, stride=merge)
        self.post_layernorm = RMSNorm(width, config.rms_norm_eps)

    def forward(self, patches: Tensor, grids: Sequence[PatchGrid]) -> Tensor:
        """Patch values (N, C*T*P*P) of pictures and videos one after another -> features (N / merge**2, D)."""
        frames = self._frames(patches, grids)
        sizes = [size[0] * size[1] for size in frames]
        pieces = patches.split(sizes)
        features: list[Tensor] = [patches] * len(frames)
        for size in dict.fromkeys(frames):
            members = [number for number, frame in enumerate(frames) if frame == size]
            encoded = self.encode_frames(torch.stack([pieces[number] for number in members]), *size)
            for number, feature in zip(members, encoded, strict=True):
                features[number] = feature
        return torch.cat(features)

    def encode_frames(self, patches: Tensor, height: int, width: int) -> Tensor:
        """Frames of one size: (F, height*width, C*T*P*P) -> (F, height*width / merge**2, D)."""
        merge = self.config.spatial_merge_size
        cos, sin = image_rotary(height, width, self.config.head_dim, self.config.rope_theta, patches.device)
        rotary = (_in_blocks(cos, height, width, merge), _in_blocks(sin, height, width, merge))
        x = self.post_conv_layernorm(self.patch_embed(patches))
        x = x + _in_blocks(self.embeddings(height, width), height, width, merge)
        for block in self.blocks:
            x = block(x, rotary)
        weight = rearrange(self.downsample.weight, "o c a b -> o (a b c)")
        x = rearrange(self.post_layernorm(x), "f (n block) d -> f n (block d)", block=merge * merge)
        features: Tensor = self.merger(F.linear(x, weight, self.downsample.bias))
        return features

    def _frames(self, patches: Tensor, grids: Sequence[PatchGrid]) -> list[tuple[int, int]]:
        merge = self.config.spatial_merge_size
        for grid in grids:
            if min(grid) < 1 or grid[1] % merge or grid[2] % merge:
                raise ConfigError(
                    f"A grid of patches has a time above 0 and sides that are multiples of {merge}, got "
                    f"{'x'.join(map(str, grid))}."
                )
        frames = [(height, width) for time, height, width in grids for _ in range(time)]
        needed = sum(height * width for height, width in frames)
        if not frames or patches.shape != (needed, self.config.patch_values):
            raise ConfigError(
                f"The grids need patches of shape {(needed, self.config.patch_values)}, got {tuple(patches.shape)}."
            )
        return frames


def init_weights(model: GlmVVisionEncoder, std: float | None = None) -> None:
    """Start from scratch: normal weights (`std` defaults to the config's range), zero biases, unit norms."""
    std = model.config.initializer_range if std is None else std
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm | RMSNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _in_blocks(x: Tensor, height: int, width: int, merge: int) -> Tensor:
    """Rows of a grid from reading order to the order of the patches."""
    return rearrange(x, "(h a w b) d -> (h w a b) d", h=height // merge, a=merge, w=width // merge, b=merge)
