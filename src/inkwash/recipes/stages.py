"""The stages that make a model, each as a frozen configuration with everything that a run depends on.

A recipe returns one of them; `run()` builds the networks, trains, and writes the result. State lies in one folder per
stage below `work`; a stage that was killed continues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from inkwash.data.loader import Batch
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, label_sizes
from inkwash.models.glm_image import ar
from inkwash.models.glm_image.ar import VisionEncoder, VQModel
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.recipes import sizes
from inkwash.recipes.nano_parts import (
    frozen_parts,
    frozen_parts_of,
    load_vae,
    new_ar,
    new_decoder,
    write_nano_processor,
)
from inkwash.recipes.samples import draw_from_tokens, read_back, save_grid, to_pixels
from inkwash.train.ar import ARTraining, train_ar
from inkwash.train.checkpoint import write_result
from inkwash.train.decoder import DecoderTraining, train_decoder
from inkwash.train.device import training_device
from inkwash.train.encode_in_worker import CanonicalPrompts, EncodePictures, EncodePlans
from inkwash.train.glm4 import load_glm4
from inkwash.train.tokenizer import TokenizerTraining, train_tokenizer
from inkwash.train.vae import VAETraining, init_vae, latent_statistics, train_vae

HELD = PictureBatches(seed=97, phases=(Phase(first=0, batch=16, canvases=((256, 256),)),))
NOWHERE = Path()


@dataclass(frozen=True, kw_only=True)
class VAEStage:
    """The autoencoder; `refine` trains its pixel half alone, on the finished latents of `work`/vae or `start`."""

    work: Path
    train: VAETraining
    data: PixelCrops
    refine: bool = False
    start: Path = NOWHERE  # a checkpoint
    sample_every: int = 500

    def run(self) -> None:
        torch.manual_seed(0)
        device = training_device()
        folder = self.work / ("vae_refined" if self.refine else "vae")
        if self.refine:
            model = load_vae(self.work) if self.start == NOWHERE else load_pipeline_parts(self.start).vae
            model.requires_grad_(False).decoder.requires_grad_(True)
        else:
            model = AutoencoderKL(sizes.VAE)
            init_vae(model)
        held = to_pixels(replace(self.data, seed=99, phases=((0, 256, 8),))(0)["pixels"])

        def sample(step: int) -> Path:
            with torch.no_grad():
                output = model.decode(model.encode(held.to(device))[0]).cpu()
            print(f"step {step}: held-out error {float((output - held).abs().mean()):.4f}", flush=True)
            return save_grid(torch.cat([held, output]), folder / f"sample_{step:06d}.png")

        train_vae(model, self.data, folder, self.train, device=device, sample=sample, sample_every=self.sample_every)
        model.cpu()
        if self.refine:
            state = {"mean": list(model.config.latents_mean or ()), "std": list(model.config.latents_std or ())}
        else:
            statistics = PixelCrops(seed=98, phases=((0, 256, 16),))
            mean, std = latent_statistics(model, (to_pixels(statistics(i)["pixels"]) for i in range(8)))
            state = {"mean": mean, "std": std}
        write_result(folder / "vae.pt", state | {"weights": model.state_dict()})


@dataclass(frozen=True, kw_only=True)
class TokenizerStage:
    """ViT and codebook of `codes`: `work`/tokenizer/tokenizer.pt; the ViT of a checkpoint `start` is continued."""

    work: Path
    train: TokenizerTraining
    data: LabelledScenes
    codes: int = sizes.CODES
    start: Path = NOWHERE

    def run(self) -> None:
        torch.manual_seed(0)
        encoder, codebook = VisionEncoder(sizes.VISION), VQModel(replace(sizes.VQ, num_embeddings=self.codes))
        ar.init_vision_weights(encoder)
        ar.init_vq_weights(codebook)
        if self.start != NOWHERE:
            encoder.load_state_dict(load_pipeline_parts(self.start).ar.model.visual.state_dict())
        labels = label_sizes(self.data.level)
        folder = self.work / "tokenizer"
        train_tokenizer(encoder, codebook, labels, self.data, folder, self.train, device=training_device())
        states = {"vision": encoder.cpu().state_dict(), "vq": codebook.cpu().state_dict()}
        write_result(folder / "tokenizer.pt", states)


@dataclass(frozen=True, kw_only=True)
class DecoderStage:
    """Decoder and glyph encoder on teacher tokens: `work`/decoder/decoder.pt; `start` is a checkpoint to continue."""

    work: Path
    train: DecoderTraining
    data: PictureBatches
    start: Path = NOWHERE
    held: PictureBatches = field(default=HELD)
    sample_every: int = 1000

    def run(self) -> None:
        torch.manual_seed(0)
        device, folder = training_device(), self.work / "decoder"
        if self.start == NOWHERE:
            frozen = frozen_parts(self.work)
            model, texts = new_decoder()
        else:
            parts = load_pipeline_parts(self.start)
            model, texts = parts.decoder, parts.glyph
            frozen = frozen_parts_of(parts)
        held = self.held(0)

        def sample(step: int) -> Path:
            pixels = draw_from_tokens(model, texts, frozen, held, steps=12, guidance=1.5)
            print(f"step {step}: {read_back(pixels, held['texts'])}", flush=True)
            return save_grid(pixels, folder / f"sample_{step:06d}.png")

        make = EncodePictures(make=self.data, frozen=frozen) if _encode_ahead(device, self.train.workers) else self.data
        decoder_state, glyph_state = train_decoder(
            model,
            texts,
            frozen,
            make,
            folder,
            self.train,
            device=device,
            sample=sample,
            sample_every=self.sample_every,
        )
        write_result(folder / "decoder.pt", {"decoder": decoder_state, "glyph": glyph_state})


@dataclass(frozen=True, kw_only=True)
class ARStage:
    """The AR generator, edits included: `work`/ar/ar.pt.

    It starts from scratch, from `start`, a finished checkpoint, or from `language`, a GLM-4-0414 checkpoint of the same
    sizes; then `train.frozen_text` keeps the language model's embeddings.
    """

    work: Path
    train: ARTraining
    data: PlanBatches
    start: Path = NOWHERE
    language: Path = NOWHERE

    def run(self) -> None:
        torch.manual_seed(0)
        device = training_device()
        if self.start == NOWHERE:
            processor = write_nano_processor(self.work)
            model, canonical = new_ar(self.work, processor), False
        else:
            parts = load_pipeline_parts(self.start)
            model, processor, canonical = parts.ar.float(), parts.processor, parts.drawing.canonical_quotes
        if self.language != NOWHERE:
            load_glm4(model, self.language)
        encoder, codebook = model.model.visual, model.model.vqmodel
        ahead = _encode_ahead(device, self.train.workers)
        data: Callable[[int], Batch] = CanonicalPrompts(make=self.data) if canonical else self.data
        make = EncodePlans(make=data, vision=encoder, vq=codebook) if ahead else data
        state = train_ar(model, processor.tokenizer, make, self.work / "ar", self.train, device=device)
        write_result(self.work / "ar" / "ar.pt", state)


def _encode_ahead(device: torch.device, workers: int) -> bool:
    """On a CPU the data process encodes; an accelerator is faster than any data process."""
    return device.type == "cpu" and workers > 0
