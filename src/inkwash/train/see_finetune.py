"""Fine-tune a GLM-V on conversations: its decoder and head, optionally the ViT, or LoRA adapters in the decoder.

One flat loop over `TrainingRun`, killed and continued like every other stage. A batch is read row group by row group of
`rows` answers, so that memory follows from that number and the update from all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from inkwash.data.loader import Batch
from inkwash.models.glm_v.model import GlmV
from inkwash.train.device import autocast
from inkwash.train.finetune import FULL_RATE, LORA_RATE
from inkwash.train.lora import AdapterState, LoRA, add_lora, trained_parameters
from inkwash.train.optim import clear_gradients, make_optimizers, set_lr, update, warmup_cosine
from inkwash.train.run import TrainingRun
from inkwash.train.sft import SftExample, collate, sft_loss


@dataclass(frozen=True, kw_only=True)
class SeeTuning:
    """Settings of the stage; `lr` 0 derives the rate from the width. `rows` of a batch are computed at once, 0 all.

    `vision` lets the ViT learn too, which adapters leave alone.
    """

    steps: int = 200
    batch: int = 4
    rows: int = 0
    lr: float = 0.0
    warmup: int = 10
    vision: bool = False
    workers: int = 1
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.rows < 0:
            raise ValueError(
                f"steps and batch must be at least 1 and rows 0 or more, got {self.steps}, {self.batch} and {self.rows}"
            )
        if self.lr < 0:
            raise ValueError(f"lr must be above 0, or 0 to derive it from the width, got {self.lr}")

    def rate(self, width: int, *, adapters: bool) -> float:
        """The learning rate at its peak."""
        return self.lr or (LORA_RATE if adapters else FULL_RATE) / width


def tune_vision(
    model: GlmV,
    make: Callable[[int], Batch],
    folder: Path,
    config: SeeTuning,
    *,
    device: torch.device,
    lora: LoRA | None,
) -> nn.Module:
    """Run or continue on batches of {"examples"}; returns the network, wrapped by `peft` when there are adapters."""
    model.train().to(device)
    model.requires_grad_(True)
    model.model.visual.requires_grad_(config.vision)
    part = "glm_v_tied" if model.config.tie_word_embeddings else "glm_v"
    network: nn.Module = model if lora is None else add_lora(model, part, lora)
    peak = config.rate(model.config.text_config.hidden_size, adapters=lora is not None)
    decay = 0.0 if lora is not None else 0.01
    optimizers = make_optimizers([network], lr=peak, muon_marker=None, weight_decay=decay)
    trained = trained_parameters(network)
    saved: dict[str, nn.Module] = {"network": network} if lora is None else {"adapter": AdapterState(network)}
    run = TrainingRun.of(config, folder, saved, optimizers, device=device, adapters=lora)
    pad_id = model.config.text_config.pad_token_id or 0
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, peak * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        examples: list[SftExample] = batch["examples"]
        n_target = sum(example.n_target for example in examples)
        each = config.rows or len(examples)
        clear_gradients(optimizers)
        loss_sum = right_sum = 0.0
        for begin in range(0, len(examples), each):
            rows = collate(examples[begin : begin + each], pad_id)
            share = float(rows.weight.sum()) / n_target  # every token counts alike, however the rows are grouped
            with autocast(device):
                loss, right = sft_loss(model, rows, device, see=config.vision)
            (share * loss).backward()
            loss_sum, right_sum = loss_sum + share * float(loss.detach()), right_sum + share * float(right)
        update(optimizers, trained)
        tokens = sum(len(example.ids) for example in examples)
        run.log(step, len(examples), tokens=tokens, answers=loss_sum, right=right_sum)
    return network
