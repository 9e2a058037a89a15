"""The AR generator: a GLM decoder that writes an image's semantic tokens, with its ViT and VQ.

The decoder is that of `models/glm/decoder.py`, with sandwich norms and halves of a head rotated together. One embedding
table holds semantic codes and text; the output head knows the vision vocabulary only. Parameter names are the released
ones.

The ViT gives one feature per patch, with attention inside one image and no final norm; its positions are a learned
square that is sampled bilinearly at the centres of the patches, so any grid works. The VQ model projects a feature,
puts it on the unit sphere and takes the nearest code there. Drawing needs its `encode` only; training also uses the
straight-through value, its loss and `post_quant_conv`, which leads back to the feature's width. Sources: van den Oord
et al. 2017, arXiv:1711.00937; the normalised codebook, Yu et al. 2021, arXiv:2110.04627.

Where tokens stand on the three axes of M-RoPE, in exact integers: text advances time, row and column together by one.
The tokens of an image whose block begins at p stand at (p, p + row, p + column), and what follows goes on at
p + max(rows, columns). A plan is a known sequence of grids (preview, then target, then the end token), so all its
positions are computed before the first token is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import ACTIVATIONS, TextDecoder
from inkwash.models.glm_image.config import ARConfig, VisionConfig, VQConfig
from inkwash.models.weights import ReferencePart
from inkwash.nn.attention import StaticCache, attention
from inkwash.nn.grid import sample_grid
from inkwash.nn.norm import RMSNorm


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


def init_vision_weights(model: VisionEncoder, std: float | None = None) -> None:
    """Start from scratch: normal weights (`std` defaults to the config's range), zero biases, unit norms."""
    std = model.config.initializer_range if std is None else std
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm) and module.bias is not None:
            nn.init.zeros_(module.bias)


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

        The gradient of `quantized` goes straight through to the features. The loss pulls features to their code
        with weight 1 and codes to their features with weight `beta`.
        """
        z, directions = self.project(features), self.quantize.directions()
        ids = self.quantize.nearest(z, directions)
        vectors = F.embedding(ids, directions)
        loss = F.mse_loss(z, vectors.detach()) + self.beta * F.mse_loss(vectors, z.detach())
        return z + (vectors - z).detach(), ids, loss

    def project(self, features: Tensor) -> Tensor:
        """Features on the unit sphere of the codes, fp32 (B, N, E)."""
        projected = F.linear(features.to(self.quant_conv.weight.dtype), *_as_linear(self.quant_conv))
        return F.normalize(projected.float(), dim=-1)

    def decode(self, quantized: Tensor) -> Tensor:
        """Quantized (B, N, E) back to the width of the features, for a reconstruction head."""
        return F.linear(quantized.to(self.post_quant_conv.weight.dtype), *_as_linear(self.post_quant_conv))


def init_vq_weights(model: VQModel, std: float | None = None) -> None:
    """Start from scratch: normal weights (`std` defaults to the config's range), zero biases."""
    std = model.config.initializer_range if std is None else std
    nn.init.normal_(model.quantize.embedding.weight, std=std)
    for conv in (model.quant_conv, model.post_quant_conv):
        nn.init.normal_(conv.weight, std=std)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)


def _as_linear(conv: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """A 1x1 convolution's weight (out, in) and bias."""
    return conv.weight.flatten(1), conv.bias


Grid = tuple[int, int]  # (rows, columns) in tokens


def grid_positions(start: int, grid: Grid) -> Tensor:
    """(3, rows * columns) of an image block whose first token stands at `start`."""
    rows, columns = grid
    row = torch.arange(rows).repeat_interleave(columns)
    column = torch.arange(columns).repeat(rows)
    return torch.stack([torch.zeros_like(row), row, column]) + start


def prompt_positions(
    ids: Sequence[int], grids: Sequence[Grid], *, image_start: int, image_end: int
) -> tuple[Tensor, int]:
    """Positions (3, L) of a prompt and the position where its plan begins.

    `grids` are those of the reference images, in order. Each fills the tokens between an `image_start` and the
    next `image_end`; an `image_start` that nothing closes (the one that asks for the plan) counts as text.
    """
    ids = [int(i) for i in ids]
    starts = [i + 1 for i, token in enumerate(ids) if token == image_start]
    ends = [i for i, token in enumerate(ids) if token == image_end]
    if len(ends) != len(grids) or len(starts) < len(ends):
        raise ConfigError(f"The prompt holds {len(ends)} finished images, but {len(grids)} image grids were given.")
    parts: list[Tensor] = []
    position = done = 0
    for number, (start, end, grid) in enumerate(zip(starts, ends, grids, strict=False), 1):
        if end - start != grid[0] * grid[1]:
            raise ConfigError(
                f"Reference image {number} fills {end - start} tokens of the prompt, but its grid of "
                f"{grid[0]}x{grid[1]} needs {grid[0] * grid[1]}."
            )
        parts += [_text_positions(position, start - done), grid_positions(position + start - done, grid)]
        position += start - done + max(grid)
        done = end
    parts.append(_text_positions(position, len(ids) - done))
    return torch.cat(parts, dim=1), position + len(ids) - done


def decode_positions(start: int, grids: Sequence[Grid]) -> Tensor:
    """(3, N + 1) of a plan of N tokens in the order they are drawn (preview first) and of its end token."""
    parts = []
    for grid in grids:
        parts.append(grid_positions(start, grid))
        start += max(grid)
    return torch.cat([*parts, _text_positions(start, 1)], dim=1)


def _text_positions(start: int, count: int) -> Tensor:
    return torch.arange(start, start + count).expand(3, count)


class ARModel(nn.Module):
    """The three networks under the checkpoint's `model.` prefix."""

    def __init__(self, config: ARConfig) -> None:
        super().__init__()
        self.visual = VisionEncoder(config.vision_config)
        self.language_model = TextDecoder(config.text_config)
        self.vqmodel = VQModel(config.vq_config)


class ARGenerator(ReferencePart):
    """Prompt ids in, hidden states out; `lm_head` turns those into logits over the vision vocabulary."""

    def __init__(self, config: ARConfig) -> None:
        super().__init__()
        self.config = config
        self.model = ARModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vision_vocab_size, bias=False)
        self.packs_rows = True  # whether decoding on a CPU may keep 16-bit matrices a second time, packed for speed

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        *,
        cache: StaticCache | None = None,
        start: int | Tensor = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, L) at positions (3, B, L) -> hidden states (B, L, D); the rest is as in `TextDecoder.forward`."""
        decoder = self.model.language_model
        hidden: Tensor = decoder(decoder.embed_tokens(input_ids), positions, cache, start, mask)
        return hidden

    def make_cache(self, batch: int, max_length: int) -> StaticCache:
        """An empty cache of this model's shape, dtype and device."""
        return self.model.language_model.make_cache(batch, max_length)

    @torch.no_grad()
    def image_ids(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> semantic tokens (B, h*w)."""
        return self.model.vqmodel.encode(self.model.visual(pixels))


def init_weights(model: ARGenerator, std: float | None = None) -> None:
    """Start from scratch, ViT and VQ included: normal weights, zero biases, unit norms."""
    text_std = model.config.text_config.initializer_range if std is None else std
    init_vision_weights(model.model.visual, std)
    init_vq_weights(model.model.vqmodel, std)
    for module in (*model.model.language_model.modules(), model.lm_head):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=text_std)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
