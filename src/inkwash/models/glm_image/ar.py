"""The AR generator: a GLM decoder that writes an image's semantic tokens, with its ViT and VQ.

Blocks with sandwich norms (before and after attention, before and after the MLP), grouped query heads, a partial
three-axis rotary embedding and a gated MLP whose two inputs share one matrix, gate first. One embedding table holds
semantic codes and text; the output head knows the vision vocabulary only. Parameter names are the released ones.
The same forward trains, prefills and decodes; `ar_step.py` holds the short way for one token at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inkwash.models.glm_image import vision, vq
from inkwash.models.glm_image.config import ARConfig, ARTextConfig
from inkwash.models.glm_image.reference_part import ReferencePart
from inkwash.models.glm_image.vision import ACTIVATIONS, VisionEncoder
from inkwash.models.glm_image.vq import VQModel
from inkwash.nn.cache import StaticCache
from inkwash.nn.decoder import FusedGatedMLP, GroupedAttention, Rotary, SandwichBlock, decoder_mask
from inkwash.nn.norm import RMSNorm
from inkwash.nn.rope import multi_axis_rotary


class ARBlock(SandwichBlock):
    def __init__(self, config: ARTextConfig) -> None:
        width = config.hidden_size
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        attn = GroupedAttention(width, heads, kv_heads, config.head_width, bias=config.attention_bias)
        mlp = FusedGatedMLP(width, config.intermediate_size, ACTIVATIONS[config.hidden_act])
        super().__init__(attn, mlp, width, config.rms_norm_eps)


class LanguageModel(nn.Module):
    """Embedding, blocks and the final norm; names as under `model.language_model.`."""

    def __init__(self, config: ARTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([ARBlock(config) for _ in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def rotary(self, positions: Tensor) -> Rotary:
        """Tables (B, 1, L, R) for positions (3, B, L), in the dtype of the weights as the released model has them."""
        rope = self.config.rope_parameters
        tables = multi_axis_rotary(positions, self.config.rotary_dim, rope.mrope_section, rope.rope_theta)
        cos, sin = (table.to(self.embed_tokens.weight.dtype).unsqueeze(1) for table in tables)
        return cos, sin

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        cache: StaticCache | None,
        start: int | Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        x: Tensor = self.embed_tokens(input_ids)
        rotary = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            x = layer(x, rotary, mask, cache, index, start)
        hidden: Tensor = self.norm(x)
        return hidden


class ARModel(nn.Module):
    """The three networks under the checkpoint's `model.` prefix."""

    def __init__(self, config: ARConfig) -> None:
        super().__init__()
        self.visual = VisionEncoder(config.vision_config)
        self.language_model = LanguageModel(config.text_config)
        self.vqmodel = VQModel(config.vq_config)


class ARGenerator(ReferencePart):
    """Prompt ids in, hidden states out; `lm_head` turns those into logits over the vision vocabulary."""

    def __init__(self, config: ARConfig) -> None:
        super().__init__()
        self.config = config
        self.model = ARModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vision_vocab_size, bias=False)

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        *,
        cache: StaticCache | None = None,
        start: int | Tensor = 0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, L) at positions (3, B, L) -> hidden states (B, L, D) after the final norm.

        ``start`` is where these tokens go in the cache: one int, or a (B,) tensor with a place per row. ``mask``
        None is plain causal attention; (B, S) bool is causal with keys hidden where False (left padding, S keys
        from the beginning of the cache on); (B, 1, L, S), bool or additive, is used as it is.
        """
        if cache is None:
            assert isinstance(start, int) and start == 0, "start needs a cache"
        length = input_ids.shape[1]
        mask = decoder_mask(mask, length, start, cache, input_ids.device)
        hidden: Tensor = self.model.language_model(input_ids, positions, cache, start, mask)
        return hidden

    def make_cache(self, batch: int, max_length: int) -> StaticCache:
        """An empty cache of this model's shape, dtype and device."""
        text, weight = self.config.text_config, self.lm_head.weight
        return StaticCache(
            text.num_hidden_layers,
            batch,
            text.num_key_value_heads,
            max_length,
            text.head_width,
            weight.dtype,
            weight.device,
        )

    @torch.no_grad()
    def image_ids(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (B, 3, H, W) -> semantic tokens (B, h*w)."""
        return self.model.vqmodel.encode(self.model.visual(pixels))


def init_weights(model: ARGenerator, std: float | None = None) -> None:
    """Start from scratch, ViT and VQ included: normal weights, zero biases, unit norms."""
    text_std = model.config.text_config.initializer_range if std is None else std
    vision.init_weights(model.model.visual, std)
    vq.init_weights(model.model.vqmodel, std)
    for module in (*model.model.language_model.modules(), model.lm_head):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=text_std)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
