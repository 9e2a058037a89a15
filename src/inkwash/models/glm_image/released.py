"""The sizes of the released checkpoint, for planning and benchmarks before it is on disk.

Loading never uses them: a checkpoint states its own sizes. The VAE's are those of CogView4, whose latents have the same
shape and whose decoder is the parent of this one; its file is not public knowledge here, so treat it as an estimate.
"""

from __future__ import annotations

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

NAME = "zai-org/GLM-Image"

AR = ARConfig(
    text_config=ARTextConfig(
        vocab_size=168064,
        vision_vocab_size=16512,
        hidden_size=4096,
        intermediate_size=13696,
        num_hidden_layers=40,
        num_attention_heads=32,
        num_key_value_heads=2,
        head_dim=128,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(8, 12, 12)),
        pad_token_id=167841,
        eos_token_id=16385,
    ),
    vision_config=VisionConfig(
        depth=40, hidden_size=1536, num_heads=16, intermediate_size=6144, image_size=2048, patch_size=16
    ),
    vq_config=VQConfig(embed_dim=2048, num_embeddings=16384, latent_channels=1536),
    image_token_id=167855,
    image_start_token_id=16384,
    image_end_token_id=16385,
)
DECODER = DecoderConfig(
    num_layers=30,
    num_attention_heads=32,
    attention_head_dim=128,
    text_embed_dim=1472,
    time_embed_dim=512,
    condition_dim=256,
    prior_vq_quantizer_codebook_size=16384,
)
GLYPH = GlyphConfig(
    vocab_size=384, d_model=1472, d_kv=64, d_ff=3584, num_layers=12, num_heads=6, feed_forward_proj="gated-gelu"
)
VAE = VAEConfig(
    block_out_channels=(128, 512, 1024, 1024),
    layers_per_block=3,
    latent_channels=16,
    norm_num_groups=32,
    sample_size=1024,
    use_quant_conv=False,
    use_post_quant_conv=False,
    mid_block_add_attention=False,
)
SCHEDULER = SchedulerConfig(
    use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, base_image_seq_len=256, time_shift_type="linear"
)
