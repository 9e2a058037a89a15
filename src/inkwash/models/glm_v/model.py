"""GLM-V: a ViT and a GLM decoder, dense or with a mixture of experts, that reads its features among the words.

One forward trains, prefills and decodes: ids, positions and, where pictures or videos are, their features. Pictures
and videos may share a prompt, because features go where `modality` says and not where an id says. Parameter names are
the released ones, so a checkpoint loads without a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.vision import ACTIVATIONS
from inkwash.models.glm_v import vision
from inkwash.models.glm_v.config import GlmVConfig, MoETextConfig, TextConfig
from inkwash.models.glm_v.moe import MixtureOfExperts, Router
from inkwash.models.glm_v.vision import PatchGrid, VisionEncoder
from inkwash.nn.cache import StaticCache
from inkwash.nn.decoder import (
    FusedGatedMLP,
    GatedMLP,
    GroupedAttention,
    PreNormBlock,
    Rotary,
    SandwichBlock,
    decoder_mask,
)
from inkwash.nn.norm import RMSNorm
from inkwash.nn.rope import apply_rotary_half, apply_rotary_pairs, multi_axis_rotary


class LanguageModel(nn.Module):
    """Embedding, blocks and the final norm; names as under `model.language_model.`."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([_block(config, layer) for layer in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def rotary(self, positions: Tensor) -> Rotary:
        """Tables (B, 1, L, R) for positions (3, B, L), in the dtype of the weights as the released model has them."""
        rope = self.config.rope_parameters
        tables = multi_axis_rotary(positions, self.config.rotary_dim, rope.mrope_section, rope.rope_theta)
        cos, sin = (table.to(self.embed_tokens.weight.dtype).unsqueeze(1) for table in tables)
        return cos, sin

    def forward(
        self, x: Tensor, positions: Tensor, cache: StaticCache | None, start: int | Tensor, mask: Tensor | None
    ) -> Tensor:
        rotary = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, mask, cache, index, start)
        hidden: Tensor = self.norm(x)
        return hidden


class GlmVModel(nn.Module):
    """The two networks under the checkpoint's `model.` prefix."""

    def __init__(self, config: GlmVConfig) -> None:
        super().__init__()
        self.visual = VisionEncoder(config.vision_config)
        self.language_model = LanguageModel(config.text_config)


class GlmV(nn.Module):
    """Ids and features in, hidden states out; `lm_head` turns those into logits over the vocabulary."""

    def __init__(self, config: GlmVConfig) -> None:
        super().__init__()
        self.config = config
        self.model = GlmVModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.language_model.embed_tokens.weight

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        *,
        features: Tensor | None = None,
        modality: Tensor | None = None,
        cache: StaticCache | None = None,
        start: int | Tensor = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, L) at positions (3, B, L) -> hidden states (B, L, D) after the final norm.

        ``features`` (N, D) of `see`, in the order of the prompts, replace the N tokens whose ``modality`` (B, L) is
        not zero. ``start`` is where these tokens go in the cache: one int, or a (B,) tensor with a place per row.
        ``mask`` None is plain causal attention; (B, S) bool is causal with keys hidden where False (left padding, S
        keys from the beginning of the cache on); (B, 1, L, S), bool or additive, is used as it is.
        """
        if cache is None:
            assert isinstance(start, int) and start == 0, "start needs a cache"
        mask = decoder_mask(mask, input_ids.shape[1], start, cache, input_ids.device)
        x = self.embed(input_ids, features, modality)
        hidden: Tensor = self.model.language_model(x, positions, cache, start, mask)
        return hidden

    def see(self, patches: Tensor, grids: Sequence[PatchGrid]) -> Tensor:
        """Features (N, D) of pictures and videos, one after another; keep them to encode a picture once."""
        features: Tensor = self.model.visual(patches, grids)
        return features

    def embed(self, input_ids: Tensor, features: Tensor | None = None, modality: Tensor | None = None) -> Tensor:
        """Word embeddings (B, L, D) with the features in their places."""
        x: Tensor = self.model.language_model.embed_tokens(input_ids)
        if features is None:
            return x
        places = torch.zeros_like(input_ids, dtype=torch.bool) if modality is None else modality != 0
        count = int(places.sum())
        if count != features.shape[0]:
            raise ConfigError(
                f"The prompt holds {count} places for what is seen, but {features.shape[0]} features were given."
            )
        return x.masked_scatter(places[..., None], features.to(x.dtype))

    def make_cache(self, batch: int, max_length: int) -> StaticCache:
        """An empty cache of this model's shape, dtype and device; as many heads as the network at hand has."""
        text, weight = self.config.text_config, self.lm_head.weight
        layers, attn = text.num_hidden_layers, self.model.language_model.layers[0].self_attn
        assert isinstance(attn, GroupedAttention)
        heads = attn.k_proj.weight.shape[0] // text.head_width
        return StaticCache(layers, batch, heads, max_length, text.head_width, weight.dtype, weight.device)


def init_weights(model: GlmV, std: float | None = None) -> None:
    """Start from scratch, ViT included: normal weights, zero biases, unit norms."""
    text_std = model.config.text_config.initializer_range if std is None else std
    vision.init_weights(model.model.visual, std)
    for module in (*model.model.language_model.modules(), model.lm_head):
        if isinstance(module, nn.Linear | nn.Embedding | Router):
            nn.init.normal_(module.weight, std=text_std)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        elif isinstance(module, Router):
            nn.init.zeros_(module.e_score_correction_bias)


def _block(config: TextConfig, layer: int) -> nn.Module:
    width, eps, activation = config.hidden_size, config.rms_norm_eps, ACTIVATIONS[config.hidden_act]
    experts = isinstance(config, MoETextConfig)
    attn = GroupedAttention(
        width,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_width,
        bias=config.attention_bias,
        rotate=apply_rotary_half if experts else apply_rotary_pairs,
    )
    if not isinstance(config, MoETextConfig):
        return SandwichBlock(attn, FusedGatedMLP(width, config.intermediate_size, activation), width, eps)
    dense = layer < config.first_k_dense_replace
    mlp = GatedMLP(width, config.intermediate_size, activation) if dense else MixtureOfExperts(config)
    return PreNormBlock(attn, mlp, width, eps)
