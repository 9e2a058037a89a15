"""Train the diffusion decoder and the glyph encoder: flow matching on the autoencoder's latents.

The picture's own semantic tokens are the prior (teacher tokens) and its texts are the glyph condition; each is
dropped now and then, together or alone, so that guidance works. The noise level is logit-normal
(arXiv:2403.03206); the decoder is told the unshifted time that inference would tell it at that level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_config import SchedulerConfig
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import CELL
from inkwash.models.glm_image.references import References
from inkwash.models.glm_image.schedule import add_noise, shift_amount
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.vision import VisionEncoder
from inkwash.models.glm_image.vq import VQModel
from inkwash.train.device import autocast, to_device
from inkwash.train.optim import EMA, descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.run import Run
from inkwash.train.tokenizer import token_grid


@dataclass(frozen=True, kw_only=True)
class DecoderTraining:
    """Settings of the stage; the drop rates are for the glyph texts, the prior, and both together."""

    steps: int
    lr: float = 1e-3
    warmup: int = 100
    ema: float = 0.998
    drop_glyphs: float = 0.06
    drop_prior: float = 0.04
    drop_both: float = 0.08
    corrupt: float = 0.02
    ns_steps: int = 3
    workers: int = 1
    save_every_s: float = 180.0


@dataclass(frozen=True, kw_only=True)
class FrozenParts:
    """What the decoder learns from and does not change: autoencoder, ViT, codebook, schedule."""

    vae: AutoencoderKL
    vision: VisionEncoder
    vq: VQModel
    scheduler: SchedulerConfig

    @torch.no_grad()
    def latents(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) -> normalised latents (B, C, H/8, W/8), fp32."""
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        with autocast(pixels.device):
            mean = self.vae.encode(x)[0]
        return self.vae.normalize(mean.float())

    def tokens(self, half: Tensor) -> Tensor:
        """Half-size uint8 pictures (B, H/2, W/2, 3) -> semantic tokens (B, rows, columns)."""
        return token_grid(self.vision, self.vq, half)


def upsample_tokens(ids: Tensor) -> Tensor:
    """Semantic tokens (B, h, w) -> prior ids (B, 4 h w) on the decoder's grid, each repeated 2 x 2."""
    return ids.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).flatten(1)


def sample_times(batch: int, mu: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Logit-normal noise levels (B,) and the unshifted times in (0, 1] that a linear shift by mu maps to them."""
    sigma = torch.sigmoid(torch.randn(batch, device=device))
    return sigma, sigma / (mu - mu * sigma + sigma)


def train_decoder(
    decoder: Decoder,
    glyph: GlyphEncoder,
    frozen: FrozenParts,
    make: Callable[[int], Batch],
    folder: Path,
    config: DecoderTraining,
    *,
    device: torch.device,
    sample: Callable[[int], None] | None = None,
    sample_every: int = 500,
) -> None:
    """Run or continue the stage; averaged weights are in `decoder` and `glyph` afterwards."""
    trained: list[nn.Module] = [decoder.train().to(device), glyph.train().to(device)]
    optimizers = make_optimizers(trained, lr=config.lr, muon_marker="transformer_blocks.", ns_steps=config.ns_steps)
    ema = EMA(trained, config.ema)
    run = Run(
        folder,
        {"decoder": decoder, "glyph": glyph},
        optimizers,
        ema,
        total=config.steps,
        save_every_s=config.save_every_s,
    )
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, config.lr * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        loss = decoder_loss(decoder, glyph, frozen, batch, config, device)
        descend(loss, optimizers, clip=[p for m in trained for p in m.parameters()])
        ema.update()
        run.log(step, len(batch["pixels"]), velocity=float(loss.detach()))
        if sample is not None and (step + 1) % sample_every == 0:
            ema.swap()
            sample(step + 1)
            ema.swap()
    ema.swap()


def decoder_loss(
    decoder: Decoder,
    glyph: GlyphEncoder,
    frozen: FrozenParts,
    batch: Batch,
    config: DecoderTraining,
    device: torch.device,
) -> Tensor:
    """Mean squared error of the velocity over one batch of pixels."""
    pixels = to_device(batch["pixels"], device)
    clean, ids = frozen.latents(pixels), frozen.tokens(to_device(batch["half"], device))
    make_references = None
    if "sources" in batch:
        make_references = partial(_references, decoder, frozen, batch, device)
    return velocity_loss(
        decoder, glyph, clean, ids, batch["texts"], config, frozen.scheduler, make_references=make_references
    )


def velocity_loss(
    decoder: Decoder,
    glyph: GlyphEncoder,
    clean: Tensor,
    ids: Tensor,
    texts: Sequence[Sequence[str]],
    config: DecoderTraining,
    scheduler: SchedulerConfig,
    *,
    make_references: Callable[[], References | None] | None = None,
) -> Tensor:
    """The same from latents (B, C, h, w) and semantic tokens (B, rows, columns) that are already there.

    `make_references` is called under autocast and gives the rows' reference pictures as keys and values.
    """
    device, count = clean.device, len(clean)
    height, width = ids.shape[1] * CELL, ids.shape[2] * CELL
    drop = torch.rand(count)
    no_glyphs = drop < config.drop_glyphs + config.drop_both
    no_prior = (drop >= config.drop_glyphs) & (drop < config.drop_glyphs + config.drop_both + config.drop_prior)
    kept = [[] if no_glyphs[i] else list(row) for i, row in enumerate(texts)]
    wrong = torch.rand(ids.shape) < config.corrupt
    codes = decoder.config.prior_vq_quantizer_codebook_size
    ids = torch.where(wrong.to(device), torch.randint_like(ids, codes), ids)
    tokens = ids[0].numel() * 4
    sigma, times = sample_times(count, shift_amount(scheduler, tokens), device)
    noise = torch.randn_like(clean)
    noisy = add_noise(clean, noise, sigma.view(-1, 1, 1, 1))
    timestep = (times * scheduler.num_train_timesteps - 1).clamp(min=0)
    size = torch.tensor([[height, width]], device=device, dtype=torch.float32).expand(count, -1)
    with autocast(device):
        references = None if make_references is None else make_references()
        glyphs, mask = _round_up(*glyph.encode(kept))
        velocity = decoder(
            noisy,
            glyphs,
            upsample_tokens(ids),
            timestep,
            size,
            torch.zeros_like(size),
            glyph_mask=mask,
            prior_drop=no_prior.to(device),
            references=references,
        )
    return (velocity.float() - (noise - clean)).square().mean()


def _round_up(glyphs: Tensor, mask: Tensor, step: int = 8) -> tuple[Tensor, Tensor]:
    """Pad (B, L, D) and (B, L) to a multiple of `step`: fewer shapes, fewer kernels to build."""
    missing = -glyphs.shape[1] % step
    return nn.functional.pad(glyphs, (0, 0, 0, missing)), nn.functional.pad(mask, (0, missing))


def _references(decoder: Decoder, frozen: FrozenParts, batch: Batch, device: torch.device) -> References:
    """Every row's own reference picture as keys and values, with gradient."""
    sources = to_device(batch["sources"], device)
    latents, ids = frozen.latents(sources), frozen.tokens(to_device(batch["sources_half"], device))
    size = torch.tensor([sources.shape[1:3]], device=device, dtype=torch.float32).expand(len(sources), -1)
    layers = decoder.encode_reference(latents, upsample_tokens(ids), size)
    return References(layers=tuple(layers), rows=len(sources))
