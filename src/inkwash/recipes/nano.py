"""Nano from nothing: the stages that train the small model, and the export in the released layout.

Each stage continues where it was killed. VAE and tokenizer are independent of each other; the decoder learns from
both, the AR generator from the tokenizer. State lies in one folder per stage below `work`.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch

from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LABELS, LabelledScenes, Phase, PictureBatches, PixelCrops, prompt_lines
from inkwash.models.glm_image import ar, decoder, glyph, vision, vq
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, train_bpe, write_processor_files
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.vision import VisionEncoder
from inkwash.models.glm_image.vq import VQModel
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.recipes import nano_sizes as sizes
from inkwash.recipes.samples import draw_from_tokens, read_back, save_grid, to_pixels
from inkwash.train.ar import ARTraining, train_ar
from inkwash.train.decoder import DecoderTraining, FrozenParts, train_decoder
from inkwash.train.tokenizer import TokenizerTraining, train_tokenizer
from inkwash.train.vae import VAETraining, init_vae, latent_statistics, train_vae

CPU = torch.device("cpu")
SHIPPED = Path(__file__).resolve().parent.parent / "assets" / "nano"
EDIT_KINDS = ("background", "background", "words", "words", "words", "recolor", "add", "remove", "move", "combine")
VOCABULARY = 6400
SMALL = ((256, 128), (256, 128), (128, 128), (128, 256), (192, 192), (256, 160))
FULL = ((256, 256), (256, 256), (256, 256), (256, 128), (128, 256), (192, 256), (384, 256), (256, 384))
REFINED = ((256, 256), (256, 256), (256, 256), (256, 256), (256, 256), (256, 128), (128, 256), (256, 192), (192, 256))


def train_nano_vae(work: Path, steps: int = 4200) -> None:
    """Train the autoencoder and measure its latent statistics: `work`/vae/vae.pt."""
    torch.manual_seed(0)
    folder, model = work / "vae", AutoencoderKL(sizes.VAE)
    init_vae(model)
    held = to_pixels(PixelCrops(seed=99, phases=((0, 256, 8),))(0)["pixels"])

    def sample(step: int) -> None:
        with torch.no_grad():
            output = model.decode(model.encode(held)[0])
        print(f"step {step}: held-out error {float((output - held).abs().mean()):.4f}", flush=True)
        save_grid(torch.cat([held, output]), folder / f"sample_{step:06d}.png")

    make = PixelCrops(seed=1, phases=((0, 64, 8), (steps * 5 // 6, 256, 2)))
    train_vae(model, make, folder, VAETraining(steps=steps), device=CPU, sample=sample)
    statistics = PixelCrops(seed=98, phases=((0, 256, 16),))
    mean, std = latent_statistics(model, (to_pixels(statistics(i)["pixels"]) for i in range(8)))
    torch.save({"weights": model.state_dict(), "mean": mean, "std": std}, folder / "vae.pt")


def refine_nano_vae(work: Path, steps: int = 3000) -> None:
    """Sharpen the autoencoder's pixel half on its finished latents; the diffusion decoder need not know."""
    torch.manual_seed(0)
    folder, model = work / "vae_refined", load_vae(work)
    model.decoder.requires_grad_(True)
    make = PixelCrops(seed=5, phases=((0, 96, 6), (steps * 2 // 3, 256, 1)))
    train_vae(model, make, folder, VAETraining(steps=steps, lr=5e-4, edges=1.5, noise=0.1), device=CPU)
    state = torch.load(work / "vae" / "vae.pt", weights_only=True)
    torch.save(state | {"weights": model.state_dict()}, folder / "vae.pt")


def train_nano_tokenizer(work: Path, steps: int = 3000, batch: int = 32) -> None:
    """Train ViT and codebook: `work`/tokenizer/tokenizer.pt."""
    torch.manual_seed(0)
    encoder, codebook = VisionEncoder(sizes.VISION), VQModel(sizes.VQ)
    vision.init_weights(encoder)
    vq.init_weights(codebook)
    make = LabelledScenes(seed=2, batch=batch)
    folder = work / "tokenizer"
    train_tokenizer(encoder, codebook, LABELS, make, folder, TokenizerTraining(steps=steps), device=CPU)
    torch.save({"vision": encoder.state_dict(), "vq": codebook.state_dict()}, folder / "tokenizer.pt")


def load_vae(work: Path) -> AutoencoderKL:
    """The trained autoencoder with its latent statistics, sharpened where that has been done."""
    refined = work / "vae_refined" / "vae.pt"
    state = torch.load(refined if refined.exists() else work / "vae" / "vae.pt", weights_only=True)
    config = replace(sizes.VAE, latents_mean=tuple(state["mean"]), latents_std=tuple(state["std"]))
    model = AutoencoderKL(config)
    model.load_state_dict(state["weights"])
    return model.eval().requires_grad_(False)


def load_tokenizer(work: Path) -> tuple[VisionEncoder, VQModel]:
    """The trained ViT and codebook."""
    state = torch.load(work / "tokenizer" / "tokenizer.pt", weights_only=True)
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


def train_nano_decoder(work: Path, steps: int = 7000, batch: int = 8) -> None:
    """Train decoder and glyph encoder on teacher tokens: `work`/decoder/decoder.pt."""
    torch.manual_seed(0)
    folder, frozen = work / "decoder", frozen_parts(work)
    model, texts = new_decoder()
    phases = (
        Phase(first=0, batch=batch, canvases=SMALL),
        Phase(first=steps * 7 // 10, batch=batch // 2, canvases=FULL),
    )
    held = PictureBatches(seed=97, phases=(Phase(first=0, batch=16, canvases=((256, 256),)),))(0)

    def sample(step: int) -> None:
        pixels = draw_from_tokens(model, texts, frozen, held, steps=12, guidance=1.5)
        print(f"step {step}: {read_back(pixels, held['texts'])}", flush=True)
        save_grid(pixels, folder / f"sample_{step:06d}.png")

    make = PictureBatches(seed=3, phases=phases, edits_from=steps * 7 // 10)
    train_decoder(
        model, texts, frozen, make, folder, DecoderTraining(steps=steps), device=CPU, sample=sample, sample_every=1000
    )
    torch.save({"decoder": model.state_dict(), "glyph": texts.state_dict()}, folder / "decoder.pt")


def write_nano_processor(work: Path) -> GlmImageProcessor:
    """Train the BPE on captions and instructions once, and write the `processor/` folder."""
    folder = work / "processor"
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(prompt_lines(random.Random("bpe"), 20000), vocab_size=VOCABULARY, codes=sizes.CODES)
        least, most = sizes.MIN_REFERENCE_SIDE**2, sizes.MAX_REFERENCE_SIDE**2
        write_processor_files(folder, bpe, codes=sizes.CODES, min_pixels=least, max_pixels=most)
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


def train_nano_ar(work: Path, steps: int = 8600, batch: int = 16) -> None:
    """Train the AR generator, edits included: `work`/ar/ar.pt."""
    torch.manual_seed(0)
    processor = write_nano_processor(work)
    model = new_ar(work, processor)
    phases = (Phase(first=0, batch=batch, canvases=SMALL), Phase(first=steps // 3, batch=batch, canvases=FULL))
    make = PlanBatches(seed=4, phases=phases, preview_from=steps * 55 // 100)
    train_ar(model, processor.tokenizer, make, work / "ar", ARTraining(steps=steps), device=CPU)
    torch.save(model.state_dict(), work / "ar" / "ar.pt")


def refine_nano_ar(work: Path, start: Path = SHIPPED, steps: int = 5000, batch: int = 16, edits: float = 0.65) -> None:
    """Continue the AR generator of a finished checkpoint, mostly on edits, previews kept: `work`/ar/ar.pt."""
    torch.manual_seed(0)
    parts = load_pipeline_parts(start)
    model = parts.ar.float()
    phases = (Phase(first=0, batch=batch, canvases=REFINED),)
    make = PlanBatches(seed=6, phases=phases, preview_from=0, edits=edits, edit_kinds=EDIT_KINDS)
    config = ARTraining(steps=steps, lr=5e-4, warmup=50, ema=0.995, ns_steps=3)
    train_ar(model, parts.processor.tokenizer, make, work / "ar", config, device=CPU)
    torch.save(model.state_dict(), work / "ar" / "ar.pt")


def refine_nano_decoder(work: Path, start: Path = SHIPPED, steps: int = 6000, batch: int = 4) -> None:
    """Continue the decoder of a finished checkpoint on whole pictures: `work`/decoder/decoder.pt."""
    torch.manual_seed(0)
    parts = load_pipeline_parts(start)
    frozen = FrozenParts(
        vae=parts.vae.eval().requires_grad_(False),
        vision=parts.ar.model.visual.eval().requires_grad_(False),
        vq=parts.ar.model.vqmodel.eval().requires_grad_(False),
        scheduler=parts.scheduler,
    )
    folder, model, texts = work / "decoder", parts.decoder, parts.glyph
    held = PictureBatches(seed=97, phases=(Phase(first=0, batch=16, canvases=((256, 256),)),))(0)

    def sample(step: int) -> None:
        pixels = draw_from_tokens(model, texts, frozen, held, steps=12, guidance=1.5)
        print(f"step {step}: {read_back(pixels, held['texts'])}", flush=True)
        save_grid(pixels, folder / f"sample_{step:06d}.png")

    make = PictureBatches(seed=7, phases=(Phase(first=0, batch=batch, canvases=REFINED),), edits_from=0)
    config = DecoderTraining(steps=steps, lr=5e-4, warmup=50, ema=0.995)
    train_decoder(model, texts, frozen, make, folder, config, device=CPU, sample=sample, sample_every=1000)
    torch.save({"decoder": model.state_dict(), "glyph": texts.state_dict()}, folder / "decoder.pt")


def _averaged(folder: Path, final: Path, modules: list[torch.nn.Module], names: list[str]) -> None:
    """Load finished weights, or the running average of an unfinished stage."""
    if final.exists():
        state = torch.load(final, weights_only=True)
        for module, name in zip(modules, names, strict=True):
            module.load_state_dict(state[name] if len(names) > 1 else state)
        return
    state = torch.load(folder / "state.pt", weights_only=True)
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
    _averaged(work / "ar", work / "ar" / "ar.pt", [generator], ["model"])
    model, texts = new_decoder()
    _averaged(work / "decoder", work / "decoder" / "decoder.pt", [model, texts], ["decoder", "glyph"])
    parts = GlmImageParts(
        ar=generator,
        decoder=model,
        vae=load_vae(work),
        glyph=texts,
        processor=processor,
        scheduler=sizes.SCHEDULER,
    )
    return save_pipeline_parts(parts, output, dtype=torch.bfloat16)
