"""The AR generator: a GLM decoder that writes an image's semantic tokens, with its ViT and VQ.

The decoder is that of `models/glm/decoder.py`, with sandwich norms and halves of a head rotated together. One embedding
table holds semantic codes and text; the output head knows the vision vocabulary only. Parameter names are the released
ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inkwash.models.glm.decoder import TextDecoder
from inkwash.models.glm_image import vision, vq
from inkwash.models.glm_image.config import ARConfig
from inkwash.models.glm_image.reference_part import ReferencePart
from inkwash.models.glm_image.vision import VisionEncoder
from inkwash.models.glm_image.vq import VQModel
from inkwash.nn.cache import StaticCache
from inkwash.nn.norm import RMSNorm


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
    vision.init_weights(model.model.visual, std)
    vq.init_weights(model.model.vqmodel, std)
    for module in (*model.model.language_model.modules(), model.lm_head):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=text_std)
        elif isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
