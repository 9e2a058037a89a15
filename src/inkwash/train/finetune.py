"""Fine-tune a finished AR generator or decoder on pre-encoded data: whole networks, or LoRA adapters in them.

Two flat loops over `TrainingRun`, killed and continued like every other stage. Without adapters all weights of the
network learn except ViT and codebook, which give the tokens their meaning. Under torchrun every process computes its
rows of a batch; it holds a shard of a network that learns as a whole, and all of a frozen one with adapters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import SchedulerConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.train.ar import ar_loss
from inkwash.train.config import PRECISIONS, NetworkTraining
from inkwash.train.decoder import DecoderTraining, inputs_loss
from inkwash.train.encoded import encoded_inputs, encoded_rows
from inkwash.train.lora import AdapterState, LoRA, add_lora, trained_parameters
from inkwash.train.optim import clear_gradients, make_optimizers, set_lr, update, warmup_cosine
from inkwash.train.parallel import Ranks, average_gradients, prepare_ar, prepare_decoder
from inkwash.train.run import TrainingRun

LORA_RATE, FULL_RATE = 0.5, 0.05


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Settings of one network. `lr` 0 derives the rate from the width, as large networks want smaller steps.

    `preview_weight` scales the AR generator's loss on preview tokens, `changed_weight` on what an edit changes (see
    `ARTraining`). The drop rates are the decoder's, and `corrupt` is the share of its tokens replaced at random, since
    a plan in use is never quite that of a picture.
    """

    steps: int = 400
    batch: int = 4
    lr: float = 0.0
    warmup: int = 20
    preview_weight: float = 1.0
    changed_weight: float = 1.0
    drop_glyphs: float = 0.05
    drop_prior: float = 0.05
    drop_both: float = 0.05
    corrupt: float = 0.05
    precision: str = "auto"
    workers: int = 1
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ValueError(f"steps and batch must be at least 1, got {self.steps} and {self.batch}")
        if self.lr < 0:
            raise ValueError(f"lr must be above 0, or 0 to derive it from the width, got {self.lr}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")

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
    ranks: Ranks,
) -> nn.Module:
    """Run or continue; returns the network: wrapped by `peft` when there are adapters, else this process's shards."""
    model.train().to(device)
    model.model.visual.requires_grad_(False)
    model.model.vqmodel.requires_grad_(False)
    if lora is None:
        prepare_ar(model, ranks, NetworkTraining(steps=config.steps, precision=config.precision))
    network = model if lora is None else add_lora(model, "vision_language_encoder", lora)
    peak = config.rate(model.config.text_config.hidden_size, adapters=lora is not None)
    run, optimizers, trained = _start(folder, network, config, peak, lora, device, ranks)
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, peak * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        whole = encoded_rows(
            batch, model.config, preview_weight=config.preview_weight, changed_weight=config.changed_weight
        )
        rows = whole.rows(ranks.mine(len(whole.ids)))
        total = ranks.total(rows.weight.sum().to(device))
        loss, right = ar_loss(model, rows, device, total=total, precision=config.precision)
        clear_gradients(optimizers)
        (loss * ranks.data).backward()  # gradients are averaged over the processes
        average_gradients(trained, ranks)
        update(optimizers, trained)
        run.log(
            step,
            len(whole.ids),
            tokens=whole.ids.numel(),
            plan=ranks.total(loss.detach()),
            plan_right=ranks.total(right) / ranks.data,
        )
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
    ranks: Ranks,
) -> nn.Module:
    """Run or continue; the glyph encoder stays as it is. Returns the network as `tune_ar` does."""
    decoder.train().to(device)
    glyph.eval().requires_grad_(False).to(device)
    training = DecoderTraining(
        steps=config.steps,
        drop_glyphs=config.drop_glyphs,
        drop_prior=config.drop_prior,
        drop_both=config.drop_both,
        corrupt=config.corrupt,
        precision=config.precision,
    )
    sharded = lora is None and ranks.data > 1
    if lora is None:
        prepare_decoder(decoder, glyph, ranks, training)
    network = decoder if lora is None else add_lora(decoder, "transformer", lora)
    peak = config.rate(decoder.config.width, adapters=lora is not None)
    run, optimizers, trained = _start(folder, network, config, peak, lora, device, ranks)
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, peak * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        whole = encoded_inputs(batch, device)
        count = len(whole.texts)
        mine = ranks.mine(count)
        inputs = (whole.evened() if sharded else whole).rows(mine)
        loss = inputs_loss(decoder, glyph, inputs, range(mine.start, mine.stop), step, training, scheduler)
        clear_gradients(optimizers)
        loss.backward()  # every process has as many rows: a mean of means
        average_gradients(trained, ranks)
        update(optimizers, trained)
        run.log(step, count, tokens=4 * whole.ids.numel(), velocity=ranks.total(loss.detach()) / ranks.data)
    return network


def _start(
    folder: Path,
    network: nn.Module,
    config: Tuning,
    peak: float,
    lora: LoRA | None,
    device: torch.device,
    ranks: Ranks,
) -> tuple[TrainingRun, list[torch.optim.Optimizer], list[nn.Parameter]]:
    """The bookkeeping of a stage: with adapters only these are saved, and every process has all of them."""
    decay = 0.0 if lora is not None else 0.01
    optimizers = make_optimizers([network], lr=peak, muon_marker=None, weight_decay=decay)
    saved: dict[str, nn.Module] = {"network": network} if lora is None else {"adapter": AdapterState(network)}
    run = TrainingRun.of(
        config, folder, saved, optimizers, ranks=ranks, replicated=lora is not None, device=device, adapters=lora
    )
    return run, optimizers, trained_parameters(network)
