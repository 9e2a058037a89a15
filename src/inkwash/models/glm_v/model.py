"""GLM-V: a ViT and a GLM decoder, dense or with a mixture of experts, that reads its features among the words.

One forward trains, prefills and decodes: ids, positions and, where pictures or videos are, their features. Pictures
and videos may share a prompt, because features go where `modality` says and not where an id says. Parameter names are
the released ones, so a checkpoint loads without a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm.decoder import ACTIVATIONS, GatedMLP, TextDecoder
from inkwash.models.glm_v import vision
from inkwash.models.glm_v.config import GlmVConfig, MoETextConfig
from inkwash.models.glm_v.moe import MixtureOfExperts, Router
from inkwash.models.glm_v.vision import GlmVVisionEncoder, PatchGrid
from inkwash.nn.attention import StaticCache
from inkwash.nn.norm import RMSNorm


class GlmVModel(nn.Module):
    """The two networks under the checkpoint's `model.` prefix."""

    def __init__(self, config: GlmVConfig) -> None:
        super().__init__()
        self.visual = GlmVVisionEncoder(config.vision_config)
        text = config.text_config
        self.language_model = TextDecoder(text, partial(_mlp, text) if isinstance(text, MoETextConfig) else None)


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

        `features` (N, D) of `see`, in the order of the prompts, replace the N tokens whose `modality` (B, L) is
        not zero. The rest is as in `TextDecoder.forward`.
        """
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
        return self.model.language_model.make_cache(batch, max_length)


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


def _mlp(config: MoETextConfig, layer: int) -> nn.Module:
    if layer < config.first_k_dense_replace:
        return GatedMLP(config.hidden_size, config.intermediate_size, ACTIVATIONS[config.hidden_act])
    return MixtureOfExperts(config)
