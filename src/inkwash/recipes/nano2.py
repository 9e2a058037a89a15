"""Nano's second edition: the stages that teach the small model of `recipes/nano.py` what level ``second`` shows.

One to five lines of several words, two sizes, every case, digits, signs, ten styles and Chinese need a codebook of
8192 and a prompt in which every quoted character is a token of its own. The autoencoder stays; ViT, decoder and AR
generator go on from a finished checkpoint: `nano2-start` gives every new code the mean of what the old codes of the
same cells knew, and every text token the row of the same text.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.data.limits import second_limits
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, prompt_lines
from inkwash.models.glm_image import ar, decoder
from inkwash.models.glm_image.ar import ARGenerator, VisionEncoder, VQModel
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.folder import Abilities, DrawingDefaults
from inkwash.models.glm_image.processor import GlmImageProcessor
from inkwash.models.glm_image.tokenizer_files import END_OF_TEXT, IMAGE, TokenLayout
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.recipes import sizes
from inkwash.recipes.nano_parts import averaged, finished, write_processor
from inkwash.recipes.stages import ARStage, DecoderStage, TokenizerStage, VAEStage
from inkwash.train.ar import ARTraining
from inkwash.train.decoder import DecoderTraining
from inkwash.train.tokenizer import TokenizerTraining, token_grid
from inkwash.train.vae import VAETraining

FIRST = Path("work/nano/checkpoint")  # the first edition, where runs/nano.sh leaves it
CODES = 8192
SIDE = 384  # px of a square picture without an asked size
VOCABULARY = CODES + 1536
CHINESE = 0.4
EDIT_KINDS = (
    *["background"] * 2, *["words"] * 3, "recolor", "add", "remove", "move", "combine", *["words"] * 4,
)  # fmt: skip
SMALL = ((256, 256), (256, 256), (384, 192), (192, 256), (320, 256))
WHOLE = ((384, 384), (384, 384), (384, 256), (256, 384), (512, 256), (320, 320), (256, 256))
BANNERS = ((768, 256),)  # wide enough for six words in a line


def nano2_tokenizer(work: Path, start: Path = FIRST, steps: int = 2400, batch: int = 24) -> TokenizerStage:
    """ViT and codebook: one code for every kind of cell."""
    data = LabelledScenes(seed=12, batch=batch, level="second", canvases=(*SMALL, *WHOLE), chinese=0.3)
    train = TokenizerTraining(steps=steps, free_steps=steps // 2, start_batches=500, warmup=50)
    return TokenizerStage(work=work, train=train, data=data, codes=CODES, start=start)


def nano2_vae_refined(work: Path, steps: int = 3000) -> VAEStage:
    """The autoencoder's pixel half on small letters and Chinese; its latents, which the decoder draws, stay."""
    phases = ((0, 128, 6), (steps * 2 // 3, 256, 2))
    data = PixelCrops(seed=16, phases=phases, size=SIDE, levels=("second", "second", "second", "first"), chinese=0.35)
    train = VAETraining(steps=steps, lr=5e-4, edges=1.5, noise=0.1)
    return VAEStage(work=work, train=train, data=data, refine=True, start=work / "start")


def nano2_decoder(work: Path, steps: int = 24800, batch: int = 6) -> DecoderStage:
    """Decoder and glyph encoder from `work`/start, first on small canvases."""
    phases = (
        Phase(first=0, batch=batch, canvases=SMALL),
        Phase(first=steps // 10, batch=max(1, batch * 2 // 3), canvases=(*WHOLE, *SMALL, *BANNERS)),
    )
    data = PictureBatches(seed=13, phases=phases, level="second", chinese=CHINESE, edits_from=steps // 10)
    held = PictureBatches(
        seed=97, phases=(Phase(first=0, batch=8, canvases=((SIDE, SIDE),)),), level="second", chinese=0.0
    )
    train = DecoderTraining(steps=steps, warmup=100, ema=0.998, schedule="wsd", decay=0.3)
    return DecoderStage(work=work, train=train, data=data, start=work / "start", held=held)


def nano2_ar(work: Path, steps: int = 20100, batch: int = 16) -> ARStage:
    """The AR generator from `work`/start, first on small canvases, edits and previews from the start."""
    phases = (
        Phase(first=0, batch=batch, canvases=SMALL),
        Phase(first=steps // 8, batch=batch, canvases=(*WHOLE, *SMALL, *BANNERS)),
    )
    data = PlanBatches(
        seed=14, phases=phases, preview_from=steps // 16, edits=0.55, edit_kinds=EDIT_KINDS,
        level="second", chinese=0.35, small_letters=0.0,
    )  # fmt: skip
    train = ARTraining(steps=steps, warmup=100, ns_steps=3, ema=0.998, schedule="wsd", decay=0.3, changed_weight=2.0)
    return ARStage(work=work, train=train, data=data, start=work / "start")


def nano2_start(work: Path, start: Path = FIRST, pictures: int = 6000) -> Path:
    """Carry a finished checkpoint over to the new codebook and the new tokenizer: `work`/start."""
    torch.manual_seed(0)
    make = LabelledScenes(seed=15, batch=24, level="second", noise=0.0, canvases=WHOLE, chinese=0.3)
    lines = functools.partial(prompt_lines, random.Random("bpe2"), 20000, level="second", chinese=0.15)
    processor = write_processor(work, lines, codes=CODES, vocabulary=VOCABULARY)
    return carry_over(work, load_pipeline_parts(start), processor, make, codes=CODES, pictures=pictures)


def carry_over(
    work: Path,
    old: GlmImageParts,
    processor: GlmImageProcessor,
    make: LabelledScenes,
    *,
    codes: int,
    pictures: int,
) -> Path:
    """A finished checkpoint with the tokenizer of `work`/tokenizer and the processor's text tokens: `work`/start."""
    state = finished(work / "tokenizer" / "tokenizer.pt", "nano2-tokenizer or nano3-tokenizer")
    encoder, codebook = VisionEncoder(sizes.VISION), VQModel(replace(sizes.VQ, num_embeddings=codes))
    encoder.load_state_dict(state["vision"])
    codebook.load_state_dict(state["vq"])
    seen = _met(old.ar, encoder.eval(), codebook.eval(), make, pictures)
    print(f"{int((seen.sum(1) > 0).sum())} of {codes} codes seen", flush=True)
    generator = _carried_ar(old, processor, encoder, codebook, seen)
    grown = _carried_decoder(old.decoder, seen)
    parts = replace(old, ar=generator, decoder=grown, processor=processor, generation={})  # it names the new ids
    return save_pipeline_parts(parts, work / "start")


@torch.no_grad()
def _met(old: ARGenerator, encoder: VisionEncoder, codebook: VQModel, make: LabelledScenes, pictures: int) -> Tensor:
    """How often a cell that has a new code had each of the old ones: (new, old)."""
    counts = torch.zeros(codebook.config.num_embeddings, old.config.vq_config.num_embeddings)
    for step in range(pictures // make.batch):
        half = torch.as_tensor(make(step)["pixels"])
        new = token_grid(encoder, codebook, half).flatten()
        was = token_grid(old.model.visual, old.model.vqmodel, half).flatten()
        counts.index_put_((new, was), torch.ones(len(new)), accumulate=True)
    return counts


def carried_rows(old: Tensor, seen: Tensor) -> Tensor:
    """A row for every new code: the mean of the rows of the old codes that it met, all of them alike if it met none."""
    weight = torch.where(seen.sum(1, keepdim=True) > 0, seen, torch.ones_like(seen))
    return (weight / weight.sum(1, keepdim=True)) @ old[: seen.shape[1]].float()


def _carried_ar(
    old: GlmImageParts, processor: GlmImageProcessor, encoder: VisionEncoder, codebook: VQModel, seen: Tensor
) -> ARGenerator:
    tokens: Tokenizer = processor.tokenizer
    codes = codebook.config.num_embeddings
    layout, former = TokenLayout(codes=codes), TokenLayout(codes=old.ar.config.vq_config.num_embeddings)
    pad_id, image_id = tokens.token_to_id(END_OF_TEXT), tokens.token_to_id(IMAGE)
    assert pad_id is not None and image_id is not None
    config = sizes.ar_config(tokens.get_vocab_size(), pad_id=pad_id, image_id=image_id, codes=codes)
    depth = old.ar.config.text_config.num_hidden_layers
    config = replace(config, text_config=replace(config.text_config, num_hidden_layers=depth))
    model = ARGenerator(config)
    ar.init_weights(model)
    carried = {
        name: value
        for name, value in old.ar.state_dict().items()
        if not name.startswith(("model.visual.", "model.vqmodel.", "lm_head.", "model.language_model.embed_tokens."))
    }
    model.load_state_dict(carried, strict=False)
    model.model.visual.load_state_dict(encoder.state_dict())
    model.model.vqmodel.load_state_dict(codebook.state_dict())
    table, was = model.model.language_model.embed_tokens.weight, old.ar.model.language_model.embed_tokens.weight
    head, head_was = model.lm_head.weight, old.ar.lm_head.weight
    with torch.no_grad():
        table[:codes], head[:codes] = carried_rows(was, seen), carried_rows(head_was, seen)
        for new, place in ((layout.image_start, former.image_start), (layout.image_end, former.image_end)):
            table[new], head[new] = was[place], head_was[place]
        for token, number in tokens.get_vocab().items():
            text = old.processor.tokenizer.token_to_id(token)
            if number >= layout.vision_vocab_size and text is not None:
                table[number] = was[text]
    return model


def _carried_decoder(old: Decoder, seen: Tensor) -> Decoder:
    model = Decoder(replace(old.config, prior_vq_quantizer_codebook_size=len(seen)))
    decoder.init_weights(model)
    state = old.state_dict()
    table = state.pop("prior_token_embedding.weight")
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        model.prior_token_embedding.weight.copy_(carried_rows(table, seen))
    return model


def nano2_export(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16 from finished or unfinished stages; a stage without any state stays as started."""
    limits = Abilities.from_dict(second_limits())
    return export_edition(work, output, replace(sizes.DRAWING, canonical_quotes=True, limits=limits), SIDE)


def export_edition(
    work: Path, output: Path, drawing: DrawingDefaults, side: int, *, sampling: Mapping[str, float] = sizes.SAMPLING
) -> Path:
    """What `work` holds of an edition that began at `work`/start, as a checkpoint in bf16 for pictures of `side` px."""
    parts = load_pipeline_parts(work / "start")
    for part in (parts.ar.model.visual, parts.ar.model.vqmodel):
        part.requires_grad_(False)
    if (work / "ar").exists():
        averaged(work / "ar", work / "ar" / "ar.pt", [parts.ar], ["model"])
    if (work / "decoder").exists():
        averaged(work / "decoder", work / "decoder" / "decoder.pt", [parts.decoder, parts.glyph], ["decoder", "glyph"])
    refined = work / "vae_refined" / "vae.pt"
    if refined.exists():
        parts.vae.load_state_dict(finished(refined, "the stage of the autoencoder's pixel half")["weights"])
    parts.vae.config = replace(parts.vae.config, sample_size=side)
    parts.drawing = drawing
    parts.generation |= sampling
    return save_pipeline_parts(parts, output, dtype=torch.bfloat16)
