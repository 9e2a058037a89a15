"""Nano from nothing: the stages that train the small model, and the export in the released layout.

Every recipe returns the frozen configuration of one stage; everything in it follows from a few numbers. VAE and
tokenizer are independent of each other; the decoder learns from both, the AR generator from the tokenizer. Resolutions
grow: small canvases first, then whole and mixed ones.
"""

from __future__ import annotations

from pathlib import Path

from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops
from inkwash.recipes.nano_parts import export_nano
from inkwash.recipes.stages import NOWHERE, ARStage, DecoderStage, TokenizerStage, VAEStage
from inkwash.train.ar import ARTraining
from inkwash.train.decoder import DecoderTraining
from inkwash.train.tokenizer import TokenizerTraining
from inkwash.train.vae import VAETraining

__all__ = ["export_nano"]

SMALL = ((256, 128), (256, 128), (128, 128), (128, 256), (192, 192), (256, 160))
FULL = ((256, 256), (256, 256), (256, 256), (256, 128), (128, 256), (192, 256), (384, 256), (256, 384))


def nano_vae(work: Path, steps: int = 4200) -> VAEStage:
    """The autoencoder on crops, then on whole pictures, whose statistics group normalisation meets in use."""
    data = PixelCrops(seed=1, phases=((0, 64, 8), (steps * 5 // 6, 256, 2)))
    return VAEStage(work=work, train=VAETraining(steps=steps), data=data)


def nano_vae_refined(work: Path, steps: int = 3000) -> VAEStage:
    """A sharper pixel half on the same latents; the diffusion decoder need not know."""
    data = PixelCrops(seed=5, phases=((0, 96, 6), (steps * 2 // 3, 256, 1)))
    train = VAETraining(steps=steps, lr=5e-4, edges=1.5, noise=0.1)
    return VAEStage(work=work, train=train, data=data, refine=True)


def nano_tokenizer(work: Path, steps: int = 3000, batch: int = 32) -> TokenizerStage:
    """ViT and codebook."""
    return TokenizerStage(work=work, train=TokenizerTraining(steps=steps), data=LabelledScenes(seed=2, batch=batch))


def nano_decoder(work: Path, steps: int = 7000, batch: int = 8) -> DecoderStage:
    """Decoder and glyph encoder on teacher tokens, edits at the end."""
    phases = (
        Phase(first=0, batch=batch, canvases=SMALL),
        Phase(first=steps * 7 // 10, batch=batch // 2, canvases=FULL),
    )
    data = PictureBatches(seed=3, phases=phases, edits_from=steps * 7 // 10)
    return DecoderStage(work=work, train=DecoderTraining(steps=steps), data=data)


def nano_ar(work: Path, steps: int = 8600, batch: int = 16, language: Path = NOWHERE) -> ARStage:
    """The AR generator, edits included, previews at the end; `language` is a GLM-4-0414 checkpoint to start from."""
    phases = (Phase(first=0, batch=batch, canvases=SMALL), Phase(first=steps // 3, batch=batch, canvases=FULL))
    data = PlanBatches(seed=4, phases=phases, preview_from=steps * 55 // 100)
    train = ARTraining(steps=steps, frozen_text=language != NOWHERE)
    return ARStage(work=work, train=train, data=data, language=language)
