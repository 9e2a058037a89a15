"""The sizes of nano: the released module structure at small widths.

Lower time and condition widths than the released ratio: the AdaLN matrices would otherwise outweigh the blocks.
"""

from __future__ import annotations

from dataclasses import replace

from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image.config import (
    ARConfig,
    ARTextConfig,
    DecoderConfig,
    GlyphConfig,
    SchedulerConfig,
    VAEConfig,
    VisionConfig,
    VQConfig,
)
from inkwash.models.glm_image.folder import DrawingDefaults, min_p_sampling
from inkwash.models.glm_image.tokenizer_files import TokenLayout

CODES = 4096
LATENT_CHANNELS = 16
MIN_REFERENCE_SIDE, MAX_REFERENCE_SIDE = 256, 1024

VAE = VAEConfig(
    block_out_channels=(16, 32, 64, 96),
    layers_per_block=1,
    latent_channels=LATENT_CHANNELS,
    # Few, wide groups: two flat channels normalised by themselves keep only their signs, and colour is lost.
    norm_num_groups=2,
    scaling_factor=1.0,
    use_quant_conv=False,
    use_post_quant_conv=False,
    sample_size=256,
    latents_mean=(0.0,) * LATENT_CHANNELS,
    latents_std=(1.0,) * LATENT_CHANNELS,
)

VISION = VisionConfig(depth=4, hidden_size=192, num_heads=3, intermediate_size=768, image_size=256, patch_size=16)
VQ = VQConfig(embed_dim=64, num_embeddings=CODES, latent_channels=192)

DECODER = DecoderConfig(
    num_layers=8,
    num_attention_heads=4,
    attention_head_dim=64,
    text_embed_dim=128,
    time_embed_dim=128,
    condition_dim=64,
    prior_vq_quantizer_codebook_size=CODES,
)
GLYPH = GlyphConfig(
    vocab_size=384, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
)
# A linear shift with mu = 1 at 256 x 256: no shift there, towards noise above, as the released schedule does.
SCHEDULER = SchedulerConfig(
    use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, base_image_seq_len=256, time_shift_type="linear"
)
# More guidance than the released model: more letters come out right, and up to here their edges stay clean.
DRAWING = DrawingDefaults(num_inference_steps=20, guidance_scale=2.2)
# A nucleus of 0.75 cuts what is unlikely in every cell, such as a line's beginning here and not a row below.
SAMPLING = min_p_sampling(0.1)


def ar_config(vocab_size: int, *, pad_id: int, image_id: int, codes: int = CODES) -> ARConfig:
    """The AR generator's configuration for a tokenizer of `vocab_size` ids."""
    layout = TokenLayout(codes=codes)
    text = ARTextConfig(
        vocab_size=vocab_size,
        vision_vocab_size=layout.vision_vocab_size,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(4, 6, 6)),
        max_position_embeddings=4096,
        pad_token_id=pad_id,
        eos_token_id=layout.image_end,
    )
    return ARConfig(
        text_config=text,
        vision_config=VISION,
        vq_config=replace(VQ, num_embeddings=codes),
        image_token_id=image_id,
        image_start_token_id=layout.image_start,
        image_end_token_id=layout.image_end,
    )
