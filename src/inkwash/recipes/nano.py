"""Nano from nothing: the sizes of the small model and the four stages that train it.

Each stage continues where it was killed. The order is VAE and tokenizer (independent of each other), then
the decoder on their outputs and the AR generator on the tokenizer's. `export` writes the released layout.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from inkwash.data.scenes import LABELS, LabelledScenes, PixelCrops
from inkwash.models.glm_image.config import VisionConfig, VQConfig
from inkwash.models.glm_image.decoder_config import VAEConfig
from inkwash.models.glm_image.vae import AutoencoderKL, init_weights
from inkwash.models.glm_image.vision import VisionEncoder
from inkwash.models.glm_image.vision import init_weights as init_vision
from inkwash.models.glm_image.vq import VQModel
from inkwash.models.glm_image.vq import init_weights as init_vq
from inkwash.train.tokenizer import TokenizerTraining, train_tokenizer
from inkwash.train.vae import VAETraining, latent_statistics, train_vae

LATENT_CHANNELS = 16
VAE = VAEConfig(
    block_out_channels=(16, 32, 64, 96),
    layers_per_block=1,
    latent_channels=LATENT_CHANNELS,
    norm_num_groups=8,
    scaling_factor=1.0,
    use_quant_conv=False,
    use_post_quant_conv=False,
    sample_size=256,
    latents_mean=(0.0,) * LATENT_CHANNELS,
    latents_std=(1.0,) * LATENT_CHANNELS,
)


def _pixels(batch: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def save_grid(pixels: torch.Tensor, path: Path, columns: int = 8) -> None:
    """Pictures (B, 3, H, W) in [-1, 1] side by side as one PNG."""
    images = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    height, width = images.shape[1:3]
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for i, array in enumerate(images):
        sheet.paste(Image.fromarray(array), ((i % columns) * width, (i // columns) * height))
    sheet.save(path)


def vae_stage(folder: Path, steps: int = 4200) -> None:
    """Train the autoencoder, then measure its latent statistics; weights in `folder`/vae.pt."""
    torch.manual_seed(0)
    vae = AutoencoderKL(VAE)
    init_weights(vae)
    held = _pixels(PixelCrops(seed=99, phases=((0, 256, 8),))(0)["pixels"])

    def sample(step: int) -> None:
        with torch.no_grad():
            output = vae.decode(vae.encode(held)[0])
        print(f"step {step}: held-out error {float((output - held).abs().mean()):.4f}", flush=True)
        save_grid(torch.cat([held, output]), folder / f"sample_{step:06d}.png")

    make = PixelCrops(seed=1, phases=((0, 64, 8), (steps * 5 // 6, 256, 2)))
    train_vae(vae, make, folder, VAETraining(steps=steps), device=torch.device("cpu"), sample=sample)
    batches = (_pixels(PixelCrops(seed=98, phases=((0, 256, 16),))(i)["pixels"]) for i in range(8))
    mean, std = latent_statistics(vae, batches)
    vae.config = replace(VAE, latents_mean=tuple(mean), latents_std=tuple(std))
    torch.save({"weights": vae.state_dict(), "mean": mean, "std": std}, folder / "vae.pt")


CODES = 4096
VISION = VisionConfig(depth=4, hidden_size=192, num_heads=3, intermediate_size=768, image_size=256, patch_size=16)
VQ = VQConfig(embed_dim=64, num_embeddings=CODES, latent_channels=192)


def tokenizer_stage(folder: Path, steps: int = 3000, batch: int = 32) -> None:
    """Train ViT and codebook; weights in `folder`/tokenizer.pt."""
    torch.manual_seed(0)
    vision, vq = VisionEncoder(VISION), VQModel(VQ)
    init_vision(vision)
    init_vq(vq)
    make = LabelledScenes(seed=2, batch=batch)
    config = TokenizerTraining(steps=steps)
    train_tokenizer(vision, vq, LABELS, make, folder, config, device=torch.device("cpu"))
    torch.save({"vision": vision.state_dict(), "vq": vq.state_dict()}, folder / "tokenizer.pt")
