"""The networks of nano: made anew, or read from the folders that its stages have written; and its export."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from inkwash.core.errors import ConfigError
from inkwash.core.files import staging_folder
from inkwash.data.scenes import prompt_lines
from inkwash.models.glm_image import ar, decoder, glyph
from inkwash.models.glm_image.ar import ARGenerator, VisionEncoder, VQModel
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, train_bpe, write_processor_files
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import GlmImageParts, save_pipeline_parts
from inkwash.recipes import sizes
from inkwash.train.decoder import FrozenParts

VOCABULARY = 6400


def finished(file: Path, recipe: str) -> dict[str, Any]:
    """What an earlier stage has written; a ConfigError says which one is missing."""
    if not file.exists():
        raise ConfigError(f"{file} is not there: run inkwash train {recipe} with the same work first.")
    state = torch.load(file, map_location="cpu", weights_only=True)
    assert isinstance(state, dict)
    return state


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
    state = finished(work / "tokenizer" / "tokenizer.pt", "nano-tokenizer")
    encoder, codebook = VisionEncoder(sizes.VISION), VQModel(sizes.VQ)
    encoder.load_state_dict(state["vision"])
    codebook.load_state_dict(state["vq"])
    return encoder.eval().requires_grad_(False), codebook.eval().requires_grad_(False)


def frozen_parts(work: Path) -> FrozenParts:
    """What the decoder learns from."""
    encoder, codebook = load_tokenizer(work)
    return FrozenParts(vae=load_vae(work), vision=encoder, vq=codebook, scheduler=sizes.SCHEDULER)


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


def new_ar(work: Path, processor: GlmImageProcessor) -> ARGenerator:
    """A fresh AR generator around the trained ViT and codebook."""
    tokens = processor.tokenizer
    pad_id, image_id = tokens.token_to_id(END_OF_TEXT), tokens.token_to_id(IMAGE)
    assert pad_id is not None and image_id is not None
    model = ARGenerator(sizes.ar_config(tokens.get_vocab_size(), pad_id=pad_id, image_id=image_id))
    ar.init_weights(model)
    encoder, codebook = load_tokenizer(work)
    model.model.visual.load_state_dict(encoder.state_dict())
    model.model.vqmodel.load_state_dict(codebook.state_dict())
    return model


def averaged(folder: Path, final: Path, modules: list[torch.nn.Module], names: list[str]) -> None:
    """Load finished weights, or the running average of an unfinished stage."""
    if final.exists():
        state = torch.load(final, weights_only=True)
        for module, name in zip(modules, names, strict=True):
            module.load_state_dict(state[name] if len(names) > 1 else state)
        return
    state = finished(folder / "state.pt", f"nano-{folder.name}")
    for module, name in zip(modules, names, strict=True):
        module.load_state_dict(state["modules"][name])
    shadow = iter(state["ema"]["shadow"])
    with torch.no_grad():
        for module in modules:
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.copy_(next(shadow))


def export_nano(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16 from finished or unfinished stages."""
    processor = write_nano_processor(work)
    generator = new_ar(work, processor)
    for part in (generator.model.visual, generator.model.vqmodel):
        part.requires_grad_(False)
    averaged(work / "ar", work / "ar" / "ar.pt", [generator], ["model"])
    model, texts = new_decoder()
    averaged(work / "decoder", work / "decoder" / "decoder.pt", [model, texts], ["decoder", "glyph"])
    parts = GlmImageParts(
        ar=generator,
        decoder=model,
        vae=load_vae(work),
        glyph=texts,
        processor=processor,
        scheduler=sizes.SCHEDULER,
        drawing=sizes.DRAWING,
    )
    return save_pipeline_parts(parts, output, dtype=torch.bfloat16)
