"""A complete GLM-Image pipeline folder with tiny random weights, written by the reference libraries.

`make_tiny_reference(path)` builds every part with `transformers` and `diffusers` and lets them write it, so that
what our code reads in a test is what users' files look like. No weight is left at a value that would hide a mistake:
norms are near one but not one, biases and modulations are not zero, logits spread far enough for greedy decoding.
Import it as `tests.parity.tiny`, or ask for the fixture `tiny_folder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from inkwash.models.glm_image.tokenizer_files import (
    END_OF_TEXT,
    GRID_END,
    GRID_START,
    IMAGE,
    TokenLayout,
    chat_template,
    train_bpe,
)

CODES = 96
LINES = (
    'A poster that says "HELLO" in red on a yellow background with two blue circles.',
    "Replace the background of this picture with green, and keep the words.",
    "一张海报，上面写着“你好”，下面有三个红色的圆。",
) * 40
SIZES: dict[str, dict[str, Any]] = {
    "text": {
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
            "mrope_section": [2, 3, 3],
        },
    },
    "vision": {
        "depth": 2,
        "hidden_size": 64,
        "num_heads": 4,
        "intermediate_size": 128,
        "image_size": 160,
        "patch_size": 16,
    },
    "vq": {"embed_dim": 48, "latent_channels": 64},
    "decoder": {
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 3,
        "attention_head_dim": 32,
        "num_attention_heads": 2,
        "text_embed_dim": 48,
        "time_embed_dim": 64,
        "condition_dim": 16,
    },
    "glyph": {
        "vocab_size": 384,
        "d_model": 48,
        "d_kv": 16,
        "d_ff": 96,
        "num_layers": 2,
        "num_heads": 3,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
        "dropout_rate": 0.0,
    },
    "vae": {
        "block_out_channels": (8, 16, 16, 24),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": 16,
        "sample_size": 128,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
        "mid_block_add_attention": False,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
        "force_upcast": False,
    },
    "scheduler": {
        "use_dynamic_shifting": True,
        "time_shift_type": "linear",
        "base_shift": 0.25,
        "max_shift": 0.75,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
    },
}


def make_tiny_reference(path: Path, *, seed: int = 0, **changes: dict[str, Any]) -> Path:
    """Write the folder and return it; `changes` replaces sizes by part, such as `vae={"sample_size": 64}`."""
    build_tiny_pipeline(seed=seed, **changes).save_pretrained(path)
    return path


def build_tiny_pipeline(*, seed: int = 0, **changes: dict[str, Any]) -> Any:
    """The same as a `diffusers.GlmImagePipeline` in memory, fp32, in `eval` mode."""
    import diffusers
    import transformers

    sizes = {part: {**values, **changes.get(part, {})} for part, values in SIZES.items()}
    tokenizer = train_bpe(LINES, vocab_size=CODES + 1000, codes=CODES)
    generator = torch.Generator().manual_seed(seed)
    stats = torch.randn(2, sizes["vae"]["latent_channels"], generator=generator)
    vae = {**sizes["vae"], "latents_mean": stats[0].mul(0.1).tolist(), "latents_std": stats[1].mul(0.2).exp().tolist()}
    parts = {
        "vision_language_encoder": _generator(sizes, tokenizer),
        "text_encoder": transformers.T5EncoderModel(transformers.T5Config(**sizes["glyph"])),
        "transformer": diffusers.GlmImageTransformer2DModel(**sizes["decoder"], prior_vq_quantizer_codebook_size=CODES),
        "vae": diffusers.AutoencoderKL(**vae),
    }
    for part in parts.values():
        randomise(part, generator)
    _speak_in_codes(parts["vision_language_encoder"].lm_head.weight)
    return diffusers.GlmImagePipeline(
        **parts,
        tokenizer=transformers.ByT5Tokenizer(),
        processor=_processor(tokenizer),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**sizes["scheduler"]),
    )


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter a value that matters: nothing stays at zero, one or the library's tiny init."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(noise * 0.1 + (1.0 if name.endswith("weight") else 0.0))
            elif "embed" in name or "shared" in name or "relative_attention_bias" in name:
                parameter.copy_(noise)
            else:
                gain = 0.3 if "norm" in name or "proj_out" in name else 1.0
                parameter.copy_(noise * (gain / parameter[0].numel() ** 0.5))
    module.eval()


def _speak_in_codes(head: torch.Tensor) -> None:
    """Spread the logits of codes wide and leave those of reserved ids at zero, so that none of these is drawn."""
    with torch.no_grad():
        head[:CODES] *= 4.0
        head[CODES:] = 0.0


def _generator(sizes: dict[str, dict[str, Any]], tokenizer: Any) -> Any:
    import transformers

    layout = TokenLayout(codes=CODES)
    text = {
        **sizes["text"],
        "vocab_size": tokenizer.get_vocab_size(),
        "vision_vocab_size": layout.vision_vocab_size,
        "pad_token_id": tokenizer.token_to_id(END_OF_TEXT),
        "eos_token_id": layout.image_end,
    }
    config = transformers.GlmImageConfig(
        text_config=text,
        vision_config=sizes["vision"],
        vq_config={**sizes["vq"], "num_embeddings": CODES},
        image_token_id=tokenizer.token_to_id(IMAGE),
        image_start_token_id=layout.image_start,
        image_end_token_id=layout.image_end,
    )
    model = transformers.GlmImageForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True,
        temperature=0.9,
        top_p=0.75,
        top_k=layout.vision_vocab_size,
        eos_token_id=layout.image_end,
        pad_token_id=text["pad_token_id"],
    )
    return model


def _processor(tokenizer: Any) -> Any:
    import transformers
    from transformers.models.glm_image.image_processing_pil_glm_image import GlmImageImageProcessorPil

    layout = TokenLayout(codes=CODES)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=layout.token(layout.image_start),
        eos_token=layout.token(layout.image_end),
        pad_token=END_OF_TEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": IMAGE, "grid_bos_token": GRID_START, "grid_eos_token": GRID_END},
    )
    pictures = GlmImageImageProcessorPil(
        size={"shortest_edge": 128 * 128, "longest_edge": 512 * 512}, patch_size=16, merge_size=1, temporal_patch_size=1
    )
    return transformers.GlmImageProcessor(image_processor=pictures, tokenizer=fast, chat_template=chat_template(layout))
