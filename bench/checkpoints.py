"""Checkpoints of other sizes with random weights, written once into a temporary folder: time needs no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from inkwash.models.glm_image import ar, decoder
from inkwash.models.glm_image.weights import load_pipeline_parts, save_pipeline_parts
from inkwash.models.registry import resolve

LARGE = "300M"


def parameters(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def write_large(folder: Path) -> Path:
    """A generator of 155 M and a decoder of 166 M parameters, bf16, around nano's processor, ViT, VAE and glyphs."""
    parts = load_pipeline_parts(resolve("nano"), dtype=torch.float32)
    torch.manual_seed(0)
    text = replace(
        parts.ar.config.text_config,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=13,
        num_attention_heads=16,
        num_key_value_heads=2,
    )
    generator = ar.ARGenerator(replace(parts.ar.config, text_config=text))
    ar.init_weights(generator)
    with torch.no_grad():  # the reference stops at an image's end: outside of every nucleus, it is never drawn
        generator.lm_head.weight.mul_(8)
        generator.lm_head.weight[generator.config.vq_config.num_embeddings :] = 0
    denoiser = decoder.Decoder(
        replace(parts.decoder.config, num_layers=10, num_attention_heads=16, time_embed_dim=256, condition_dim=128)
    )
    decoder.init_weights(denoiser)
    for block in denoiser.blocks:
        torch.nn.init.normal_(block.norm1.linear.weight, std=0.02)
    torch.nn.init.normal_(denoiser.proj_out.weight, std=0.02)
    save_pipeline_parts(replace(parts, ar=generator, decoder=denoiser), folder, dtype=torch.bfloat16)
    return folder
