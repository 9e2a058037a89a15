"""Fine-tune a finished AR generator or decoder on pre-encoded data: whole networks, or LoRA adapters in them.

Two flat loops over `Run`, killed and continued like every other stage. Without adapters all weights of the network
learn except ViT and codebook, which give the tokens their meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_config import SchedulerConfig
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.train.ar import ar_loss
from inkwash.train.decoder import DecoderTraining, inputs_loss
from inkwash.train.encoded import encoded_inputs, encoded_rows
from inkwash.train.lora import AdapterState, LoRA, add_lora, trained_parameters
from inkwash.train.optim import descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.run import Run

LORA_RATE, FULL_RATE = 0.5, 0.05


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings of one network. `lr` 0 derives the rate from the width, as large networks want smaller steps.

    `preview_weight` scales the AR generator's loss on preview tokens, the drop rates are the decoder's, and
    `corrupt` is the share of its tokens replaced at random, since a plan in use is never quite that of a picture.
    """

    steps: int = 400
    batch: int = 4
    lr: float = 0.0
    warmup: int = 20
    preview_weight: float = 1.0
    drop_glyphs: float = 0.05
    drop_prior: float = 0.05
    drop_both: float = 0.05
    corrupt: float = 0.05
    workers: int = 1
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ValueError(f"steps and batch must be at least 1, got {self.steps} and {self.batch}")
        if self.lr < 0:
            raise ValueError(f"lr must be above 0, or 0 to derive it from the width, got {self.lr}")

    def rate(self, width: int, *, adapters: bool) -> float:
        """The learning rate at its peak."""
        return self.lr or (LORA_RATE if adapters else FULL_RATE) / width


def tune_ar(
    model: ARGenerator,
    make: Callable[[int], Batch],
    folder: Path,
    config: Tuning,
    *,
    device: torch.device,
    lora: LoRA | None,
) -> nn.Module:
    """Run or continue; returns the network, wrapped by `peft` when there are adapters."""
    model.train().to(device)
    model.model.visual.requires_grad_(False)
    model.model.vqmodel.requires_grad_(False)
    network = model if lora is None else add_lora(model, "vision_language_encoder", lora)
    peak = config.rate(model.config.text_config.hidden_size, adapters=lora is not None)
    run, optimizers, trained = _start(folder, network, config, peak, lora, device)
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, peak * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        rows = encoded_rows(batch, model.config, preview_weight=config.preview_weight)
        loss, right = ar_loss(model, rows, device)
        descend(loss, optimizers, clip=trained)
        run.log(step, len(rows.ids), tokens=rows.ids.numel(), plan=float(loss.detach()), plan_right=float(right))
    return network


def tune_decoder(
    decoder: Decoder,
    glyph: GlyphEncoder,
    scheduler: SchedulerConfig,
    make: Callable[[int], Batch],
    folder: Path,
    config: Tuning,
    *,
    device: torch.device,
    lora: LoRA | None,
) -> nn.Module:
    """Run or continue; the glyph encoder stays as it is. Returns the network, wrapped when there are adapters."""
    decoder.train().to(device)
    glyph.eval().requires_grad_(False).to(device)
    network = decoder if lora is None else add_lora(decoder, "transformer", lora)
    peak = config.rate(decoder.config.width, adapters=lora is not None)
    run, optimizers, trained = _start(folder, network, config, peak, lora, device)
    drops = DecoderTraining(
        steps=config.steps,
        drop_glyphs=config.drop_glyphs,
        drop_prior=config.drop_prior,
        drop_both=config.drop_both,
        corrupt=config.corrupt,
    )
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, peak * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        inputs, count = encoded_inputs(batch, device), len(batch["keys"])
        loss = inputs_loss(decoder, glyph, inputs, range(count), step, drops, scheduler)
        descend(loss, optimizers, clip=trained)
        run.log(step, count, tokens=4 * inputs.ids.numel(), velocity=float(loss.detach()))
    return network


def _start(
    folder: Path, network: nn.Module, config: Tuning, peak: float, lora: LoRA | None, device: torch.device
) -> tuple[Run, list[torch.optim.Optimizer], list[nn.Parameter]]:
    """The bookkeeping of a stage: with adapters only these are saved."""
    decay = 0.0 if lora is not None else 0.01
    optimizers = make_optimizers([network], lr=peak, muon_marker=None, weight_decay=decay)
    saved: dict[str, nn.Module] = {"network": network} if lora is None else {"adapter": AdapterState(network)}
    seconds = config.save_every_s
    run = Run(folder, saved, optimizers, None, total=config.steps, save_every_s=seconds, device=device, settings=config)
    return run, optimizers, trained_parameters(network)
