"""Matrix arithmetic of a training step, for throughput as a share of the chip's own matmul rate.

A product of (m, k) and (k, n) counts 2 m k n, a backward pass twice its forward. Attention counts all pairs of queries
and keys, masked or not, since that is what is computed. Element-wise work and the optimiser's own products count
nothing.
"""

from __future__ import annotations

from inkwash.models.glm_image.config import ARTextConfig, DecoderConfig

FORWARD_AND_BACKWARD = 3


def ar_step_flops(config: ARTextConfig, *, rows: int, length: int, counted: int) -> float:
    """A step on `rows` rows of `length` tokens, `counted` of which, over all rows, reach the output head."""
    width, head = config.hidden_size, config.head_width
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    block = width * head * 2 * (heads + kv_heads) + 3 * width * config.intermediate_size
    attention = 2 * length * heads * head
    matrices = config.num_hidden_layers * (block + attention) * rows * length
    return FORWARD_AND_BACKWARD * 2.0 * (matrices + counted * width * config.vision_vocab_size)


def decoder_step_flops(config: DecoderConfig, *, pictures: int, tokens: int, glyphs: int, references: int = 0) -> float:
    """A step on pictures of `tokens` patches beside `glyphs` glyph tokens and `references` reference patches each.

    The glyph encoder is left out: its share is below a hundredth.
    """
    width, patch = config.width, config.patch_size**2
    joint = tokens + glyphs
    block = 12 * width * width * (joint + references) + 2 * width * (
        joint * (joint + references) + references * references
    )
    modulation = 12 * width * config.time_embed_dim * (2 if references else 1)
    ends = (tokens + references) * width * (config.in_channels * patch + 2 * width)
    ends += tokens * width * config.out_channels * patch + glyphs * width * (config.text_embed_dim + width)
    return FORWARD_AND_BACKWARD * 2.0 * pictures * (config.num_layers * (block + modulation) + ends)
