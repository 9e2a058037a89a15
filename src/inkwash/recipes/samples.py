"""Pictures during training: draw from teacher tokens, lay out a grid, read the words back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from inkwash.core.errors import MissingExtraError
from inkwash.eval.metrics import mean_closeness, score_words, word_accuracy
from inkwash.eval.ocr import Reader
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.schedule import euler_step, schedule
from inkwash.train.decoder import FrozenParts, upsample_tokens


def to_pixels(batch: np.ndarray) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Pictures (B, 3, H, W) in [-1, 1] as Pillow images."""
    arrays = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(array) for array in arrays]


def save_grid(pixels: Tensor, path: Path, columns: int = 8) -> Path:
    """Pictures (B, 3, H, W) in [-1, 1] side by side as one PNG; returns its path."""
    images = to_images(pixels)
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for i, image in enumerate(images):
        sheet.paste(image, ((i % columns) * width, (i // columns) * height))
    sheet.save(path)
    return path


@torch.no_grad()
def draw_from_tokens(
    decoder: Decoder, glyph: GlyphEncoder, frozen: FrozenParts, batch: dict[str, Any], *, steps: int, guidance: float
) -> Tensor:
    """Pictures (B, 3, H, W) from the teacher tokens and texts of a batch of `data.scenes.PictureBatches`."""
    device = decoder.proj_out.weight.device
    half = torch.as_tensor(batch["half"]).to(device)
    ids = upsample_tokens(frozen.tokens(half))
    count, height, width = len(half), half.shape[1] * 2, half.shape[2] * 2
    glyphs, mask = glyph.encode([*batch["texts"], *([[]] * count)])
    drop = torch.arange(2 * count, device=device) >= count
    size = torch.tensor([[float(height), float(width)]], device=device).expand(2 * count, -1)
    channels = frozen.vae.config.latent_channels
    latents = torch.randn(count, channels, height // 8, width // 8, generator=torch.Generator().manual_seed(0)).to(
        device
    )
    plan = schedule(frozen.scheduler, ids.shape[1], steps)
    for i in range(steps):
        time = plan.model_timesteps[i].to(device).expand(2 * count)
        velocity = decoder(
            torch.cat([latents, latents]),
            glyphs,
            torch.cat([ids, ids]),
            time,
            size,
            torch.zeros_like(size),
            glyph_mask=mask,
            prior_drop=drop,
        )
        cond, uncond = velocity.float().chunk(2)
        latents = euler_step(latents, uncond + guidance * (cond - uncond), plan.sigmas[i], plan.sigmas[i + 1])
    return frozen.vae.decode(frozen.vae.denormalize(latents)).cpu()


def read_back(pixels: Tensor, texts: list[list[str]]) -> str:
    """Word accuracy and edit distance by OCR as one line; says so where the reader is not installed."""
    try:
        reader = Reader()
    except MissingExtraError as error:
        return str(error)
    scores = [score_words(words, reader.texts(image)) for image, words in zip(to_images(pixels), texts, strict=True)]
    return f"word accuracy {word_accuracy(scores):.3f}, closeness {mean_closeness(scores):.3f}"
