"""The networks of nano: made anew, or read from the folders that its stages have written; and its export."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from inkwash.core.files import staging_folder
from inkwash.data.scenes import prompt_lines
from inkwash.models.glm_image import ar, decoder, glyph
from inkwash.models.glm_image.ar import ARGenerator, VisionEncoder, VQModel
from inkwash.models.glm_image.config import ARConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, train_bpe, write_processor_files
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import GlmImageParts, save_pipeline_parts
from inkwash.recipes import sizes
from inkwash.recipes.trained import finished, load_trained
from inkwash.train.decoder import FrozenParts

VOCABULARY = 6400


def load_vae(work: Path) -> AutoencoderKL:
    """The trained autoencoder with its latent statistics, sharpened where that has been done."""
    refined = work / "vae_refined" / "vae.pt"
    state = finished(refined if refined.exists() else work / "vae" / "vae.pt", "nano-vae")
    config = replace(sizes.VAE, latents_mean=tuple(state["mean"]), latents_std=tuple(state["std"]))
    model = AutoencoderKL(config)
    model.load_state_dict(state["weights"])
    return model.eval().requires_grad_(False)


def load_tokenizer(work: Path) -> tuple[VisionEncoder, VQModel]:
    """The trained ViT and codebook."""
    state = finished(work / "tokenizer" / "tokenizer.pt", "the edition's tokenizer stage")
    codes = len(state["vq"]["quantize.embedding.weight"])
    encoder, codebook = VisionEncoder(sizes.VISION), VQModel(replace(sizes.VQ, num_embeddings=codes))
    encoder.load_state_dict(state["vision"])
    codebook.load_state_dict(state["vq"])
    return encoder.eval().requires_grad_(False), codebook.eval().requires_grad_(False)


def frozen_parts(work: Path) -> FrozenParts:
    """What the decoder learns from."""
    encoder, codebook = load_tokenizer(work)
    return FrozenParts(vae=load_vae(work), vision=encoder, vq=codebook, scheduler=sizes.SCHEDULER)


def frozen_parts_of(parts: GlmImageParts) -> FrozenParts:
    """What the decoder of a checkpoint learns from."""
    vision, vq = parts.ar.model.visual, parts.ar.model.vqmodel
    for module in (parts.vae, vision, vq):
        module.eval().requires_grad_(False)
    return FrozenParts(vae=parts.vae, vision=vision, vq=vq, scheduler=parts.scheduler)


def new_decoder() -> tuple[Decoder, GlyphEncoder]:
    """Fresh decoder and glyph encoder."""
    model, texts = Decoder(sizes.DECODER), GlyphEncoder(sizes.GLYPH)
    decoder.init_weights(model)
    glyph.init_weights(texts)
    return model, texts


def write_nano_processor(work: Path) -> GlmImageProcessor:
    """The processor of the first edition: `work`/processor."""
    lines = functools.partial(prompt_lines, random.Random("bpe"), 20000)
    return write_processor(work, lines, codes=sizes.CODES, vocabulary=VOCABULARY, spelled=False)


def write_processor(
    work: Path, lines: Callable[[], Sequence[str]], *, codes: int, vocabulary: int, spelled: bool = True
) -> GlmImageProcessor:
    """Train the BPE on captions and instructions once, and write `work`/processor whole or not at all.

    spelled: every quoted character is a token of its own.
    """
    folder = work / "processor"
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(lines(), vocab_size=vocabulary, codes=codes, spelled=spelled)
        least, most = sizes.MIN_REFERENCE_SIDE**2, sizes.MAX_REFERENCE_SIDE**2
        with staging_folder(folder) as partial:
            write_processor_files(partial, bpe, codes=codes, min_pixels=least, max_pixels=most)
            with suppress(OSError):  # another process was first, with the same files
                partial.rename(folder)
    return GlmImageProcessor.from_folder(folder)


def generator_config(processor: GlmImageProcessor, codes: int = sizes.CODES) -> ARConfig:
    """The AR generator's configuration for a processor."""
    tokens = processor.tokenizer
    pad_id, image_id = tokens.token_to_id(END_OF_TEXT), tokens.token_to_id(IMAGE)
    assert pad_id is not None and image_id is not None
    return sizes.ar_config(tokens.get_vocab_size(), pad_id=pad_id, image_id=image_id, codes=codes)


def new_ar(work: Path, processor: GlmImageProcessor) -> ARGenerator:
    """A fresh AR generator around the trained ViT and codebook."""
    model = ARGenerator(generator_config(processor))
    ar.init_weights(model)
    encoder, codebook = load_tokenizer(work)
    model.model.visual.load_state_dict(encoder.state_dict())
    model.model.vqmodel.load_state_dict(codebook.state_dict())
    return model


def new_parts(work: Path) -> GlmImageParts:
    """Fresh generator, decoder and glyph encoder beside the trained autoencoder, ViT and codebook."""
    processor = write_nano_processor(work)
    model, texts = new_decoder()
    return GlmImageParts(
        ar=new_ar(work, processor),
        decoder=model,
        vae=load_vae(work),
        glyph=texts,
        processor=processor,
        scheduler=sizes.SCHEDULER,
        drawing=sizes.DRAWING,
    )


def export(parts: GlmImageParts, work: Path, output: Path, stages: Sequence[str] = ("ar", "decoder")) -> Path:
    """Write a checkpoint in bf16 with what finished or unfinished `stages` in `work` have made of its networks."""
    for part in (parts.ar.model.visual, parts.ar.model.vqmodel):
        part.requires_grad_(False)
    modules: dict[str, dict[str, nn.Module]] = {
        "ar": {"model": parts.ar},
        "decoder": {"decoder": parts.decoder, "glyph": parts.glyph},
    }
    for stage in stages:
        load_trained(work / stage / f"{stage}.pt", f"nano-{stage}", modules[stage])
    return save_pipeline_parts(parts, output, dtype=torch.bfloat16)
