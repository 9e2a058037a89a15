"""Nano from nothing: the stages that train the small model in three editions, and the exports in the released layout.

Every recipe returns the frozen configuration of one stage; everything in it follows from a few numbers. The **first**
edition begins with nothing: VAE and tokenizer are independent of each other; the decoder learns from both, the AR
generator from the tokenizer. Resolutions grow: small canvases first, then whole and mixed ones. The **second** and the
**third** go on from the checkpoint before them: ViT and codebook first, then `start` carries the checkpoint over to
these and to the edition's own text tokens (`carry_over.py`); pixel half, decoder and generator go on from there.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from inkwash.data.limits import card_limits, second_limits
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, prompt_lines
from inkwash.models.glm_image.folder import Abilities, DrawingDefaults
from inkwash.models.glm_image.weights import load_pipeline_parts, save_pipeline_parts
from inkwash.recipes import sizes
from inkwash.recipes.carry_over import add_looks, carry_over, deepened, labelled
from inkwash.recipes.nano_parts import export, new_parts, write_processor
from inkwash.recipes.stages import NOWHERE, ARStage, DecoderStage, TokenizerStage, VAEStage
from inkwash.recipes.trained import finished
from inkwash.train.ar import ARTraining
from inkwash.train.checkpoint import write_result
from inkwash.train.decoder import DecoderTraining
from inkwash.train.tokenizer import TokenizerTraining
from inkwash.train.vae import VAETraining

Canvases = tuple[tuple[int, int], ...]
Phases = tuple[Phase, ...]
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


def export_nano(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16 from finished or unfinished stages."""
    return export(new_parts(work), work, output)


@dataclass(frozen=True, kw_only=True)
class Edition:
    """What the stages of an edition that goes on from another share; what only one of them has is handed to it."""

    level: str  # of the scenes
    earlier: str  # the level of a quarter of the autoencoder's pictures
    codes: int
    vocabulary: int
    drawing: DrawingDefaults
    sampling: Mapping[str, float]
    small: Canvases
    mixed: Canvases  # after the first steps; one named twice is drawn twice as often
    edits: float
    edit_kinds: tuple[str, ...] | None = None
    descent: float  # share of a stage's steps in which the rate falls
    detail_weight: float = 1.0
    side: int = 384  # px of a square picture without an asked size

    def refined_vae(self, work: Path, start: Path, steps: int, *, seed: int, chinese: float) -> VAEStage:
        """The autoencoder's pixel half on what is new; its latents, which the decoder draws, stay."""
        phases, levels = ((0, 128, 6), (steps * 2 // 3, 256, 2)), (*(self.level,) * 3, self.earlier)
        data = PixelCrops(seed=seed, phases=phases, size=self.side, levels=levels, chinese=chinese)
        train = VAETraining(steps=steps, lr=5e-4, edges=1.5, noise=0.1)
        return VAEStage(work=work, train=train, data=data, refine=True, start=start)

    def phases(self, on_small: int, small: int, on_mixed: int) -> Phases:
        """`small` steps with `on_small` small canvases a batch, then `on_mixed` of all kinds."""
        mixed = Phase(first=small, batch=on_mixed, canvases=self.mixed)
        return (Phase(first=0, batch=on_small, canvases=self.small), mixed)

    def decoder(self, work: Path, steps: int, phases: Phases, *, seed: int, chinese: float) -> DecoderStage:
        """Decoder and glyph encoder from `work`/start, edits from the last phase on."""
        edits_from, alone = phases[-1].first, (Phase(first=0, batch=8, canvases=((self.side, self.side),)),)
        data = PictureBatches(seed=seed, phases=phases, level=self.level, chinese=chinese, edits_from=edits_from)
        held = PictureBatches(seed=97, phases=alone, level=self.level)
        train = DecoderTraining(
            steps=steps, warmup=100, ema=0.998, schedule="wsd", decay=self.descent, detail_weight=self.detail_weight
        )
        return DecoderStage(work=work, train=train, data=data, start=work / "start", held=held)

    def generator(self, work: Path, steps: int, phases: Phases, *, seed: int, chinese: float) -> ARStage:
        """The AR generator from `work`/start with edits; half of the steps before the last phase have no previews."""
        data = PlanBatches(
            seed=seed, phases=phases, preview_from=phases[-1].first // 2, edits=self.edits, edit_kinds=self.edit_kinds,
            level=self.level, chinese=chinese, small_letters=0.0,
        )  # fmt: skip
        train = ARTraining(
            steps=steps, warmup=100, ns_steps=3, ema=0.998, schedule="wsd", decay=self.descent, changed_weight=2.0
        )
        return ARStage(work=work, train=train, data=data, start=work / "start")

    def export(self, work: Path, output: Path) -> Path:
        """Write the checkpoint in bf16 from finished or unfinished stages; one without any state stays as started."""
        parts = load_pipeline_parts(work / "start")
        refined = work / "vae_refined" / "vae.pt"
        if refined.exists():
            parts.vae.load_state_dict(finished(refined, "the stage of the autoencoder's pixel half")["weights"])
        parts.vae.config = replace(parts.vae.config, sample_size=self.side)
        parts.drawing = self.drawing
        parts.generation |= self.sampling
        return export(parts, work, output, [stage for stage in ("ar", "decoder") if (work / stage).exists()])


# ---- the second: one to five lines of several words, two sizes, every case, digits, signs, ten styles and Chinese

FIRST_CHECKPOINT = Path("work/nano/checkpoint")  # where runs/nano.sh leaves it
SMALL_SECOND = ((256, 256), (256, 256), (384, 192), (192, 256), (320, 256))
WHOLE_SECOND = ((384, 384), (384, 384), (384, 256), (256, 384), (512, 256), (320, 320), (256, 256))
SECOND = Edition(
    level="second",
    earlier="first",
    codes=8192,
    vocabulary=8192 + 1536,
    drawing=replace(sizes.DRAWING, canonical_quotes=True, limits=Abilities.from_dict(second_limits())),
    sampling=sizes.SAMPLING,
    small=SMALL_SECOND,
    mixed=(*WHOLE_SECOND, *SMALL_SECOND, (768, 256)),  # the last is wide enough for six words in a line
    edits=0.55,
    edit_kinds=(*["background"] * 2, *["words"] * 3, "recolor", "add", "remove", "move", "combine", *["words"] * 4),
    descent=0.3,
)


def nano2_tokenizer(work: Path, start: Path = FIRST_CHECKPOINT, steps: int = 2400, batch: int = 24) -> TokenizerStage:
    """ViT and codebook: one code for every kind of cell."""
    canvases = (*SMALL_SECOND, *WHOLE_SECOND)
    data = LabelledScenes(seed=12, batch=batch, level=SECOND.level, canvases=canvases, chinese=0.3)
    train = TokenizerTraining(steps=steps, free_steps=steps // 2, start_batches=500, warmup=50)
    return TokenizerStage(work=work, train=train, data=data, codes=SECOND.codes, start=start)


def nano2_start(work: Path, start: Path = FIRST_CHECKPOINT, pictures: int = 6000) -> Path:
    """Carry a finished checkpoint over to the new codebook and the new tokenizer: `work`/start."""
    torch.manual_seed(0)
    cells = LabelledScenes(seed=15, batch=24, level=SECOND.level, noise=0.0, canvases=WHOLE_SECOND, chinese=0.3)
    lines = functools.partial(prompt_lines, random.Random("bpe2"), 20000, level=SECOND.level, chinese=0.15)
    processor = write_processor(work, lines, codes=SECOND.codes, vocabulary=SECOND.vocabulary)
    return carry_over(work, load_pipeline_parts(start), processor, cells, pictures)


def nano2_vae_refined(work: Path, steps: int = 3000) -> VAEStage:
    """The autoencoder's pixel half on small letters and Chinese."""
    return SECOND.refined_vae(work, work / "start", steps, seed=16, chinese=0.35)


def nano2_decoder(work: Path, steps: int = 24800, batch: int = 6) -> DecoderStage:
    """Decoder and glyph encoder, first on small canvases."""
    phases = SECOND.phases(batch, steps // 10, max(1, batch * 2 // 3))
    return SECOND.decoder(work, steps, phases, seed=13, chinese=0.4)


def nano2_ar(work: Path, steps: int = 20100, batch: int = 16) -> ARStage:
    """The AR generator, first on small canvases."""
    return SECOND.generator(work, steps, SECOND.phases(batch, steps // 8, batch), seed=14, chinese=0.35)


nano2_export = SECOND.export

# ---- the third: cards, posters, menus and signs with pictures of things, wrapped texts in six faces, natural prompts

SECOND_CHECKPOINT = Path("work/nano/second/checkpoint")  # where runs/nano.sh leaves it
STORED = Path("runs/nano3/tokenizer.safetensors")  # the one that took three hours of a busy machine
AR_LAYERS = 8
DECODER_LAYERS = 10
CHINESE = 0.3
SMALL_THIRD = ((256, 256), (320, 256), (256, 320), (384, 256))
WHOLE_THIRD = ((384, 384), (384, 384), (384, 384), (512, 384), (384, 512), (512, 512), (320, 320), (256, 256))
THIRD = Edition(
    level="card",
    earlier="second",
    codes=16384,  # the released number
    vocabulary=16384 + 2560,
    drawing=replace(
        sizes.DRAWING,
        num_inference_steps=14,  # of 20 no word is lost (docs/log.md)
        canonical_quotes=True,
        limits=Abilities.from_dict(card_limits()),
        plan_candidates=8,
    ),
    # A first letter is one of many: its code is that of one face and colour. Each of them is rarer than a tenth of
    # "nothing begins here", so a min-p of 0.1, as of the second edition, leaves most pictures empty.
    sampling={**sizes.SAMPLING, "min_p": 0.01},
    small=SMALL_THIRD,
    mixed=(*WHOLE_THIRD, *SMALL_THIRD),
    edits=0.3,
    descent=0.2,
    detail_weight=2.0,
)
# Where the preview has more columns than the picture, a generator that has met each size a quarter of the time centres
# its lines in the preview. The second run meets the default size in more than half of its batches.
MOSTLY = (*((THIRD.side, THIRD.side),) * 12, *WHOLE_THIRD[3:], *SMALL_THIRD)


def nano3_tokenizer(work: Path, start: Path = SECOND_CHECKPOINT, steps: int = 8600, batch: int = 24) -> TokenizerStage:
    """ViT and codebook: one code for every common kind of cell, chosen early and again when the ViT knows them all."""
    canvases = (*SMALL_THIRD, *WHOLE_THIRD[:1])
    data = LabelledScenes(seed=32, batch=batch, level=THIRD.level, canvases=canvases, chinese=0.45)
    train = TokenizerTraining(
        steps=steps, free_steps=steps * 3 // 20, again_at=steps * 9 // 10, start_batches=400, warmup=50
    )
    return TokenizerStage(work=work, train=train, data=data, codes=THIRD.codes, start=start)


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


def nano3_start(work: Path, start: Path = SECOND_CHECKPOINT, pictures: int = 6000, lines: int = 30000) -> Path:
    """Carry a finished second edition over to the new codebook and the new tokenizer: `work`/start.

    The networks get more layers; the decoder's row of every code begins with what its cells look like.
    """
    torch.manual_seed(0)
    cells = LabelledScenes(seed=35, batch=24, level=THIRD.level, noise=0.0, canvases=WHOLE_THIRD[:3], chinese=CHINESE)
    processor = write_processor(work, functools.partial(_lines, lines), codes=THIRD.codes, vocabulary=THIRD.vocabulary)
    old = deepened(load_pipeline_parts(start), ar_layers=AR_LAYERS, decoder_layers=DECODER_LAYERS)
    folder = carry_over(work, replace(old, drawing=THIRD.drawing), processor, cells, pictures)
    parts = load_pipeline_parts(folder)
    add_looks(parts, looks_data(batch=8), steps=pictures // 8)
    parts.code_labels = labelled(parts.ar, cells, pictures // cells.batch)
    return save_pipeline_parts(parts, folder)


def _lines(count: int) -> list[str]:
    """Prompts as the networks read them, to train the text tokens on."""
    lines = prompt_lines(random.Random("bpe3"), count, level=THIRD.level, chinese=0.2)
    return [THIRD.drawing.prompt(line) for line in lines]


def looks_data(batch: int) -> PictureBatches:
    """The pictures from which codes get their looks."""
    phase = Phase(first=0, batch=batch, canvases=(*SMALL_THIRD, *WHOLE_THIRD[:1]))
    return PictureBatches(seed=37, phases=(phase,), level=THIRD.level, chinese=CHINESE)


def nano3_vae_refined(work: Path, start: Path = SECOND_CHECKPOINT, steps: int = 6000) -> VAEStage:
    """The autoencoder's pixel half on things, more faces, large Chinese."""
    return THIRD.refined_vae(work, start, steps, seed=36, chinese=CHINESE)


def nano3_decoder(
    work: Path, steps: int = 16000, batch: int = 6, small: int = 2000, again: bool = False
) -> DecoderStage:
    """Decoder and glyph encoder, `small` steps on small canvases.

    The plateau may be lengthened or cut from any state before the descent: `steps` alone decides where that begins.
    `again` is a second run, from the export of a first one, mostly on pictures of the default size.
    """
    phases = _phases(steps, batch, small, max(1, batch * 2 // 3), again)
    return THIRD.decoder(work, steps, phases, seed=43 if again else 33, chinese=CHINESE)


def nano3_ar(work: Path, steps: int = 12000, batch: int = 16, small: int = 1500, again: bool = False) -> ARStage:
    """The AR generator, `small` steps on small canvases; `again` as for the decoder."""
    phases = _phases(steps, batch, small, batch, again)
    return THIRD.generator(work, steps, phases, seed=44 if again else 34, chinese=CHINESE)


def _phases(steps: int, on_small: int, small: int, on_mixed: int, again: bool) -> Phases:
    """Batches and canvases of a run, the same for every length of a real one."""
    if again:
        return (Phase(first=0, batch=on_mixed, canvases=MOSTLY),)
    return THIRD.phases(on_small, small if steps >= 2 * small else steps // 4, on_mixed)


nano3_export = THIRD.export
