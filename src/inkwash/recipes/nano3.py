"""Nano's third edition: the stages that teach the small model of `recipes/nano.py` what level `card` shows.

Cards, posters, menus and signs with pictures of things, wrapped texts in six faces, structures and natural prompts need
the released number of 16384 codes. Everything goes on from a finished second edition: `nano3-start` carries it over as
`nano2-start` does.
"""

from __future__ import annotations

import functools
import random
from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor

from inkwash.data.limits import card_limits
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, prompt_lines
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.folder import Abilities
from inkwash.models.glm_image.processor import CELL as TOKEN_PIXELS
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.recipes import sizes
from inkwash.recipes.nano2 import carry_over, export_edition
from inkwash.recipes.nano_parts import finished, write_processor
from inkwash.recipes.stages import ARStage, DecoderStage, TokenizerStage, VAEStage
from inkwash.train.ar import ARTraining
from inkwash.train.checkpoint import write_result
from inkwash.train.decoder import LATENT_PIXELS, DecoderTraining, FrozenParts
from inkwash.train.tokenizer import TokenizerTraining
from inkwash.train.vae import VAETraining

CODES = 16384
SIDE = 384  # px of a square picture without an asked size
VOCABULARY = CODES + 2560
SECOND = Path("work/nano/second/checkpoint")  # the second edition, where runs/nano.sh leaves it
STORED = Path("runs/nano3/tokenizer.safetensors")  # the one that took three hours of a busy machine
AR_LAYERS = 8
DECODER_LAYERS = 10
DRAWING = replace(sizes.DRAWING, canonical_quotes=True, limits=Abilities.from_dict(card_limits()))
# A first letter is one of many: its code is that of one face and colour. Each of them is rarer than a tenth of
# "nothing begins here", so a min-p of 0.1, as of the second edition, leaves most pictures empty.
SAMPLING = {**sizes.SAMPLING, "min_p": 0.01}
CHINESE = 0.3
SMALL = ((256, 256), (320, 256), (256, 320), (384, 256))
WHOLE = ((384, 384), (384, 384), (384, 384), (512, 384), (384, 512), (512, 512), (320, 320), (256, 256))
# Where the preview has more columns than the picture, a generator that has met each size a quarter of the time centres
# its lines in the preview. The second run meets the default size in more than half of its batches.
MOSTLY = (*((SIDE, SIDE),) * 12, *WHOLE[3:], *SMALL)


def nano3_tokenizer(work: Path, start: Path = SECOND, steps: int = 8600, batch: int = 24) -> TokenizerStage:
    """ViT and codebook: one code for every common kind of cell, chosen early and again when the ViT knows them all."""
    data = LabelledScenes(seed=32, batch=batch, level="card", canvases=(*SMALL, *WHOLE[:1]), chinese=0.45)
    train = TokenizerTraining(
        steps=steps, free_steps=steps * 3 // 20, again_at=steps * 9 // 10, start_batches=400, warmup=50
    )
    return TokenizerStage(work=work, train=train, data=data, codes=CODES, start=start)


def nano3_tokenizer_store(work: Path, output: Path = STORED) -> Path:
    """Write the finished tokenizer of `work` as one file in 16 bits, from which others may begin."""
    state = finished(work / "tokenizer" / "tokenizer.pt", "nano3-tokenizer")
    tensors = {f"{part}.{name}": value.half().contiguous() for part in state for name, value in state[part].items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, output)
    return output


def nano3_tokenizer_stored(work: Path, source: Path = STORED) -> None:
    """Take the stored tokenizer for that of `work`, instead of training one."""
    tensors = load_file(source)
    state = {
        part: {name.removeprefix(f"{part}."): value.float() for name, value in tensors.items() if name.startswith(part)}
        for part in ("vision", "vq")
    }
    (work / "tokenizer").mkdir(parents=True, exist_ok=True)
    write_result(work / "tokenizer" / "tokenizer.pt", state)


def nano3_vae_refined(work: Path, start: Path = SECOND, steps: int = 6000) -> VAEStage:
    """The autoencoder's pixel half on things, more faces, large Chinese; its latents, which the decoder draws, stay."""
    phases = ((0, 128, 6), (steps * 2 // 3, 256, 2))
    data = PixelCrops(seed=36, phases=phases, size=SIDE, levels=("card", "card", "card", "second"), chinese=CHINESE)
    train = VAETraining(steps=steps, lr=5e-4, edges=1.5, noise=0.1)
    return VAEStage(work=work, train=train, data=data, refine=True, start=start)


def nano3_decoder(
    work: Path, steps: int = 16000, batch: int = 6, small: int = 2000, again: bool = False
) -> DecoderStage:
    """Decoder and glyph encoder from `work`/start, `small` steps on small canvases.

    The plateau may be lengthened or cut from any state before the descent: `steps` alone decides where that begins.
    `again` is a second run, from the export of a first one, mostly on pictures of the default size.
    """
    phases, small = _phases(steps, batch, max(1, batch * 2 // 3), small, again)
    data = PictureBatches(seed=43 if again else 33, phases=phases, level="card", chinese=CHINESE, edits_from=small)
    held = PictureBatches(
        seed=97, phases=(Phase(first=0, batch=8, canvases=((SIDE, SIDE),)),), level="card", chinese=0.0
    )
    train = DecoderTraining(steps=steps, warmup=100, ema=0.998, schedule="wsd", decay=0.2, detail_weight=2.0)
    return DecoderStage(work=work, train=train, data=data, start=work / "start", held=held)


def nano3_ar(work: Path, steps: int = 12000, batch: int = 16, small: int = 1500, again: bool = False) -> ARStage:
    """The AR generator from `work`/start, `small` steps on small canvases and half of these without previews; `again`
    as for the decoder."""
    phases, small = _phases(steps, batch, batch, small, again)
    data = PlanBatches(
        seed=44 if again else 34, phases=phases, preview_from=small // 2, edits=0.3, level="card", chinese=CHINESE,
        small_letters=0.0,
    )  # fmt: skip
    train = ARTraining(steps=steps, warmup=100, ns_steps=3, ema=0.998, schedule="wsd", decay=0.2, changed_weight=2.0)
    return ARStage(work=work, train=train, data=data, start=work / "start")


def _phases(steps: int, on_small: int, on_whole: int, small: int, again: bool) -> tuple[tuple[Phase, ...], int]:
    """Batches and canvases of a run, and the steps of its small ones; the same for every length of a real run."""
    if again:
        return (Phase(first=0, batch=on_whole, canvases=MOSTLY),), 0
    small = small if steps >= 2 * small else steps // 4
    whole = Phase(first=small, batch=on_whole, canvases=(*WHOLE, *SMALL))
    return (Phase(first=0, batch=on_small, canvases=SMALL), whole), small


def nano3_start(work: Path, start: Path = SECOND, pictures: int = 6000, lines: int = 30000) -> Path:
    """Carry a finished second edition over to the new codebook and the new tokenizer: `work`/start.

    The decoder's table of codes learns only where a code occurs, and rare ones are most of 16384. So every row begins
    with what its cells look like (`add_looks`), which one readout, shared by all codes, turns into a picture.
    """
    torch.manual_seed(0)
    make = LabelledScenes(seed=35, batch=24, level="card", noise=0.0, canvases=WHOLE[:3], chinese=CHINESE)
    processor = write_processor(work, functools.partial(_lines, lines), codes=CODES, vocabulary=VOCABULARY)
    old = replace(deepened(load_pipeline_parts(start)), drawing=DRAWING)
    folder = carry_over(work, old, processor, make, codes=CODES, pictures=pictures)
    parts = load_pipeline_parts(folder)
    add_looks(parts, looks_data(batch=8), steps=pictures // 8)
    return save_pipeline_parts(parts, folder)


def looks_data(batch: int) -> PictureBatches:
    """The pictures from which codes get their looks."""
    phase = Phase(first=0, batch=batch, canvases=(*SMALL, *WHOLE[:1]))
    return PictureBatches(seed=37, phases=(phase,), level="card", chinese=CHINESE)


@torch.no_grad()
def add_looks(parts: GlmImageParts, data: PictureBatches, steps: int) -> Tensor:
    """Add the mean latents of every code's cells, turned at random, to its row in the decoder's table.

    Their deviation from the mean of all cells gets the spread that the table has. Returns how often each code was met.
    """
    frozen = FrozenParts(
        vae=parts.vae.eval(), vision=parts.ar.model.visual, vq=parts.ar.model.vqmodel, scheduler=parts.scheduler
    )
    table = parts.decoder.prior_token_embedding.weight
    cell = TOKEN_PIXELS // LATENT_PIXELS
    sums = torch.zeros(len(table), cell * cell * parts.vae.config.latent_channels)
    counts = torch.zeros(len(table))
    for step in range(steps):
        batch = data(step)
        looks = frozen.latents(torch.as_tensor(batch["pixels"]))
        ids = frozen.tokens(torch.as_tensor(batch["half"])).flatten()
        sums.index_add_(0, ids, rearrange(looks, "b c (h p) (w q) -> (b h w) (c p q)", p=cell, q=cell))
        counts.index_add_(0, ids, torch.ones(len(ids)))
    met = counts > 0
    means = sums[met] / counts[met, None]
    means -= sums.sum(0) / counts.sum()
    turned = means @ random_rotation(means.shape[1], table.shape[1])
    table[met] += (turned * (table.std() / turned.std())).to(table.dtype)
    return counts


def random_rotation(rows: int, columns: int) -> Tensor:
    """Orthonormal rows or columns, whichever are fewer."""
    generator = torch.Generator().manual_seed(0)
    side = max(rows, columns)
    turn, _ = torch.linalg.qr(torch.randn(side, side, generator=generator))
    return turn[:rows, :columns]


def _lines(count: int) -> list[str]:
    """Prompts as the networks read them, to train the text tokens on."""
    lines = prompt_lines(random.Random("bpe3"), count, level="card", chinese=0.2)
    return [DRAWING.prompt(line) for line in lines]


def deepened(
    parts: GlmImageParts, *, ar_layers: int = AR_LAYERS, decoder_layers: int = DECODER_LAYERS
) -> GlmImageParts:
    """The same functions with more layers: new ones stand between the old ones and begin as the identity.

    A new AR layer is a copy of the one before it whose outputs are scaled by norms of weight zero; a new decoder block
    is a copy whose modulations, gates included, are zero.
    """
    text = parts.ar.config.text_config
    taller = replace(text, num_hidden_layers=ar_layers)
    generator = ARGenerator(replace(parts.ar.config, text_config=taller))
    zeroed = ("post_self_attn_layernorm.weight", "post_mlp_layernorm.weight")
    layers = (text.num_hidden_layers, ar_layers)
    generator.load_state_dict(spread(parts.ar.state_dict(), "model.language_model.layers.", *layers, zeroed))
    decoder = Decoder(replace(parts.decoder.config, num_layers=decoder_layers))
    zeroed = ("norm1.linear.weight", "norm1.linear.bias")
    layers = (parts.decoder.config.num_layers, decoder_layers)
    decoder.load_state_dict(spread(parts.decoder.state_dict(), "transformer_blocks.", *layers, zeroed))
    return replace(parts, ar=generator, decoder=decoder)


def spread(state: dict[str, Tensor], prefix: str, old: int, new: int, zeroed: tuple[str, ...]) -> dict[str, Tensor]:
    """The state of a stack of `old` layers as one of `new`, evenly spread; parameters that end in `zeroed` of added
    layers are zero.
    """
    sources = [round((i + 0.5) * old / new - 0.5) for i in range(new)]
    made = {name: value for name, value in state.items() if not name.startswith(prefix)}
    for i, source in enumerate(sources):
        here = f"{prefix}{source}."
        added = i > 0 and sources[i - 1] == source
        for name, value in state.items():
            if name.startswith(here):
                rest = name.removeprefix(here)
                made[f"{prefix}{i}.{rest}"] = torch.zeros_like(value) if added and rest in zeroed else value.clone()
    return made


def nano3_export(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16 from finished or unfinished stages; a stage without any state stays as started."""
    return export_edition(work, output, DRAWING, SIDE, sampling=SAMPLING)
