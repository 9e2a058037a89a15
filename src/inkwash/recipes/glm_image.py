"""The released size: AR generator and decoder on encoded pictures, in the resolutions that the model grew through.

Data comes from `inkwash data encode` (semantic tokens, latents, prompt ids), so a step holds no frozen network. The AR
generator starts from a GLM-4-0414 checkpoint with frozen text embeddings, new visual rows and a new visual head,
first on 256 px, then on 512, then on mixed sizes up to 1024 with previews; each resolution continues the one before.
Started with torchrun on several accelerators; every process first holds the whole network in fp32 in its main memory
(36 GB for the generator), then only its shard. Not run at this size yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from inkwash.core.errors import ConfigError
from inkwash.data.encoded import AR_FIELDS, DECODER_FIELDS, ShardBatches
from inkwash.data.loader import Batch
from inkwash.models.glm_image import ar, decoder
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.registry import resolve
from inkwash.recipes.finetune import check_codes
from inkwash.recipes.stages import NOWHERE
from inkwash.train.ar import ARBatch, ARTraining, train_ar
from inkwash.train.checkpoint import write_result
from inkwash.train.decoder import DecoderTraining, FrozenParts, Inputs, train_decoder
from inkwash.train.device import training_device
from inkwash.train.encoded import encoded_inputs, encoded_rows
from inkwash.train.glm4 import load_glm4

RATES = {256: 1e-4, 512: 5e-5, 1024: 2e-5}  # of the AR generator by resolution; 1024 stands for mixed sizes


@dataclass(frozen=True, kw_only=True)
class EncodedARStage:
    """The AR generator on shards: `work`/`name`/ar.pt.

    `model` lends its sizes, ViT, codebook and tokenizer. The weights come from `start`, an ar.pt of an earlier stage,
    or from `language`, a GLM-4-0414 checkpoint, or are new.
    """

    work: Path
    name: str
    data: Path
    model: str
    batch: int
    train: ARTraining
    start: Path = NOWHERE
    language: Path = NOWHERE

    def run(self) -> None:
        torch.manual_seed(0)
        parts = load_pipeline_parts(resolve(self.model), deferred=("transformer", "text_encoder"))
        check_codes(self.data, parts)
        model, processor = parts.ar, parts.processor
        del parts
        if self.start != NOWHERE:
            model.load_state_dict(torch.load(self.start, map_location="cpu", weights_only=True))
        else:
            kept = {part: getattr(model.model, part).state_dict() for part in ("visual", "vqmodel")}
            ar.init_weights(model)
            for part, state in kept.items():
                getattr(model.model, part).load_state_dict(state)
            if self.language != NOWHERE:
                load_glm4(model, self.language)
        make = ShardBatches(folder=self.data, batch=self.batch, fields=AR_FIELDS, multiple=self.train.accumulate)

        def rows_of(batch: Batch) -> tuple[ARBatch, bool]:
            rows = encoded_rows(
                batch,
                model.config,
                preview_weight=self.train.preview_weight,
                changed_weight=self.train.changed_weight,
            )
            return rows, any(batch["references"])

        folder = self.work / self.name
        state = train_ar(
            model, processor.tokenizer, make, folder, self.train, device=training_device(), rows_of=rows_of
        )
        write_result(folder / "ar.pt", state)


@dataclass(frozen=True, kw_only=True)
class EncodedDecoderStage:
    """The diffusion decoder on shards, its glyph encoder frozen or not: `work`/decoder/decoder.pt."""

    work: Path
    data: Path
    model: str
    batch: int
    train: DecoderTraining
    fresh: bool = True

    def run(self) -> None:
        torch.manual_seed(0)
        device = training_device()
        parts = load_pipeline_parts(resolve(self.model))
        check_codes(self.data, parts)
        if self.fresh:
            decoder.init_weights(parts.decoder)
        frozen = FrozenParts(
            vae=parts.vae, vision=parts.ar.model.visual, vq=parts.ar.model.vqmodel, scheduler=parts.scheduler
        )
        make = ShardBatches(folder=self.data, batch=self.batch, fields=DECODER_FIELDS, multiple=self.train.accumulate)
        folder = self.work / "decoder"

        def inputs_of(batch: Batch, chosen: slice) -> Inputs:
            inputs = encoded_inputs(batch, device)
            shared = chosen != slice(0, len(inputs.texts))
            return (inputs.evened() if shared else inputs).rows(chosen)

        states = train_decoder(
            parts.decoder, parts.glyph, frozen, make, folder, self.train, device=device, inputs_of=inputs_of
        )
        write_result(folder / "decoder.pt", {"decoder": states[0], "glyph": states[1]})


def glm_image_ar(
    work: Path,
    data: Path = NOWHERE,
    resolution: int = 256,
    language: Path = NOWHERE,
    model: str = "zai-org/GLM-Image",
    steps: int = 100_000,
    batch: int = 512,
) -> EncodedARStage:
    """One resolution of the AR generator: 256 px from the language model, 512 and 1024 (mixed) from the one before."""
    if resolution not in RATES:
        raise ConfigError(f"--set resolution={resolution}: it must be one of {', '.join(map(str, RATES))}.")
    before = {512: 256, 1024: 512}.get(resolution)
    train = ARTraining(
        steps=steps,
        lr=RATES[resolution],
        warmup=2000,
        schedule="wsd",
        ema=0.9999,
        preview_weight=2.0,  # the tokens that set the layout count more
        frozen_text=True,
        recompute=True,
        workers=4,
        save_every_s=1200.0,
    )
    return EncodedARStage(
        work=work,
        name=f"ar_{resolution}",
        data=_required(data),
        model=model,
        batch=batch,
        train=train,
        start=NOWHERE if before is None else work / f"ar_{before}" / "ar.pt",
        language=language,
    )


def glm_image_decoder(
    work: Path, data: Path = NOWHERE, model: str = "zai-org/GLM-Image", steps: int = 200_000, batch: int = 256
) -> EncodedDecoderStage:
    """The diffusion decoder from scratch on teacher tokens and latents, with the released glyph encoder frozen."""
    train = DecoderTraining(
        steps=steps,
        lr=1e-4,
        warmup=2000,
        schedule="wsd",
        ema=0.9999,
        ns_steps=5,
        drop_glyphs=0.1,
        drop_prior=0.1,
        drop_both=0.1,
        corrupt=0.1,
        frozen_glyphs=True,
        recompute=True,
        workers=4,
        save_every_s=1200.0,
    )
    return EncodedDecoderStage(work=work, data=_required(data), model=model, batch=batch, train=train)


def _required(data: Path) -> Path:
    if data == NOWHERE:
        raise ConfigError("This recipe needs data: add --set data=FOLDER, as inkwash data encode wrote it.")
    return data
