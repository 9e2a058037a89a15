"""Tiny networks and short stages: small enough that every training loop runs in a second or two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image import ar, decoder, glyph
from inkwash.models.glm_image.ar import ARGenerator, VisionEncoder, VQModel
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
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, TokenLayout, train_bpe, write_processor_files
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.train.decoder import FrozenParts
from inkwash.train.vae import init_vae

CODES = 32
CPU = torch.device("cpu")
VISION = VisionConfig(depth=1, hidden_size=16, num_heads=2, intermediate_size=32, image_size=64, patch_size=16)
VQ = VQConfig(embed_dim=8, num_embeddings=CODES, latent_channels=16)
VAE = VAEConfig(
    block_out_channels=(8, 8, 8, 8),
    latent_channels=4,
    norm_num_groups=2,
    use_quant_conv=False,
    use_post_quant_conv=False,
    latents_mean=(0.0,) * 4,
    latents_std=(1.0,) * 4,
)
SCHEDULER = SchedulerConfig(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, time_shift_type="linear")


def tiny_vae() -> AutoencoderKL:
    torch.manual_seed(1)
    model = AutoencoderKL(VAE)
    init_vae(model)
    return model


def tiny_tokenizer() -> tuple[VisionEncoder, VQModel]:
    torch.manual_seed(2)
    encoder, codebook = VisionEncoder(VISION), VQModel(VQ)
    ar.init_vision_weights(encoder, 0.2)
    ar.init_vq_weights(codebook, 0.2)
    return encoder, codebook


def tiny_decoder() -> tuple[Decoder, GlyphEncoder]:
    torch.manual_seed(3)
    config = DecoderConfig(
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        text_embed_dim=8,
        time_embed_dim=8,
        condition_dim=4,
        prior_vq_quantizer_codebook_size=CODES,
    )
    texts = GlyphConfig(
        vocab_size=384, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    model, encoder = Decoder(config), GlyphEncoder(texts)
    decoder.init_weights(model)
    glyph.init_weights(encoder)
    return model, encoder


def tiny_frozen() -> FrozenParts:
    encoder, codebook = tiny_tokenizer()
    return FrozenParts(vae=tiny_vae().requires_grad_(False), vision=encoder, vq=codebook, scheduler=SCHEDULER)


def tiny_ar(tokenizer: Tokenizer) -> ARGenerator:
    torch.manual_seed(4)
    layout = TokenLayout(codes=CODES)
    pad_id, image_id = tokenizer.token_to_id(END_OF_TEXT), tokenizer.token_to_id(IMAGE)
    assert pad_id is not None
    assert image_id is not None
    text = ARTextConfig(
        vocab_size=tokenizer.get_vocab_size(),
        vision_vocab_size=layout.vision_vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        rope_parameters=RopeParameters(partial_rotary_factor=1.0, mrope_section=(2, 1, 1)),
        pad_token_id=pad_id,
        eos_token_id=layout.image_end,
    )
    config = ARConfig(
        text_config=text,
        vision_config=VISION,
        vq_config=VQ,
        image_token_id=image_id,
        image_start_token_id=layout.image_start,
        image_end_token_id=layout.image_end,
    )
    model = ARGenerator(config)
    ar.init_weights(model, 0.2)
    return model


@pytest.fixture(scope="session")
def processor(tmp_path_factory: pytest.TempPathFactory) -> GlmImageProcessor:
    folder: Path = tmp_path_factory.mktemp("processor")
    bpe = train_bpe(['A poster that says "HELLO"'] * 4, vocab_size=500, codes=CODES)
    write_processor_files(folder, bpe, codes=CODES, min_pixels=128**2, max_pixels=1024**2)
    return GlmImageProcessor.from_folder(folder)
