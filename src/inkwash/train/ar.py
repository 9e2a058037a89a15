"""Train the AR generator: from a prompt to the semantic tokens of its picture.

The weights start from scratch or from a GLM-4-0414 checkpoint (`glm4.py`); then the text embeddings may stay frozen,
and new rows of the table and a new head learn the pictures. Rows, previews and packing are in `rows.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.tokenizer_files import TokenLayout
from inkwash.train.config import NetworkTraining
from inkwash.train.device import autocast, to_device
from inkwash.train.embedding import freeze_text, join_state, join_text
from inkwash.train.flops import ar_step_flops
from inkwash.train.optim import EMA, clear_gradients, lr_at, network_optimizers, set_lr, update
from inkwash.train.parallel import finish, full_state, prepare_ar, start
from inkwash.train.rows import ARBatch, build_rows, pack_rows, pad_rows, preview_tokens
from inkwash.train.run import TrainingRun
from inkwash.train.tokenizer import token_grid

__all__ = ["ARBatch", "ARTraining", "ar_loss", "build_rows", "pack_rows", "pad_rows", "preview_tokens", "train_ar"]


@dataclass(frozen=True, kw_only=True)
class ARTraining(NetworkTraining):
    """Settings of the stage; `preview_weight` scales the loss of preview tokens against target tokens.

    `changed_weight` is what the tokens of an edit count that differ from its source: most of an edit is a copy, and
    a generator that only copies is right nearly everywhere.
    `pack` puts several texts into rows of that many tokens (0: one a row). `frozen_text` keeps the text embeddings.
    """

    warmup: int = 200
    preview_weight: float = 1.0
    changed_weight: float = 1.0
    pack: int = 0
    frozen_text: bool = False


def ar_loss(
    model: ARGenerator, rows: ARBatch, device: torch.device, *, total: Tensor | None = None, precision: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy of the plan, and the share of right tokens among those of the largest weight.

    `total` is what the sum over these rows is divided by: their own weights, or those of a whole batch of which they
    are a part.
    """
    rows = rows.to(device)
    counted = rows.weight > 0
    weight, targets = rows.weight[counted], rows.targets[counted]
    with autocast(device, precision):
        hidden = model(rows.ids, rows.positions, mask=rows.mask())
        logits = model.lm_head(hidden[counted])
    each = F.cross_entropy(logits.float(), targets, reduction="none")
    loss = (each * weight).sum() / (weight.sum() if total is None else total)
    with torch.no_grad():
        best = logits.amax(-1)  # a fifth of the time of argmax on a CPU
        right = logits.gather(1, targets[:, None])[:, 0] >= best
    return loss, right[weight == weight.max()].float().mean()


def batch_rows(
    model: ARGenerator, tokenizer: Tokenizer, batch: Batch, config: ARTraining, device: torch.device
) -> tuple[ARBatch, bool]:
    """The rows of a batch of pictures, encoded here or, where it holds `tokens`, before; and whether it is of edits."""
    if "tokens" in batch:
        grids = [torch.as_tensor(ids) for ids in (batch["tokens"], *batch.get("source_tokens", ()))]
    else:
        pictures = (batch["half"], *batch.get("sources", ()))
        visual, codebook = model.model.visual, model.model.vqmodel
        grids = [token_grid(visual, codebook, to_device(half, device)).cpu() for half in pictures]
    pad_id = model.config.text_config.pad_token_id
    assert pad_id is not None
    rows = build_rows(
        tokenizer,
        TokenLayout(codes=model.config.vq_config.num_embeddings),
        batch["prompts"],
        grids[0],
        grids[1:],
        preview=bool(batch["preview"]),
        preview_weight=config.preview_weight,
        pad_id=pad_id,
        changed_weight=config.changed_weight,
    )
    return rows, len(grids) > 1


def train_ar(
    model: ARGenerator,
    tokenizer: Tokenizer,
    make: Callable[[int], Batch],
    folder: Path,
    config: ARTraining,
    *,
    device: torch.device,
    rows_of: Callable[[Batch], tuple[ARBatch, bool]] | None = None,
    sample: Callable[[int], Path | None] | None = None,
    sample_every: int = 1000,
) -> dict[str, Tensor]:
    """Run or continue the stage; ViT and codebook stay as they are.

    Averaged weights are in `model` afterwards, and returned whole whatever the number of processes. `rows_of` reads
    batches of another kind than pictures.
    """
    ranks, device = start(device, tensor=config.tensor)
    model.train().to(device)
    for frozen in (model.model.visual, model.model.vqmodel):
        frozen.requires_grad_(False)
    if config.frozen_text:
        freeze_text(model)
    prepare_ar(model, ranks, config)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizers = network_optimizers([model], config, muon_marker="language_model.layers.")
    ema = EMA([model], config.ema)
    run = TrainingRun.of(config, folder, {"model": model}, optimizers, ema, ranks=ranks, device=device)
    pad_id = model.config.text_config.pad_token_id or 0
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, lr_at(step, config))
        whole, editing = rows_of(batch) if rows_of else batch_rows(model, tokenizer, batch, config, device)
        rows = whole.rows(ranks.mine(len(whole.ids)))
        total = ranks.total(rows.weight.sum().to(device))
        loss, right = torch.zeros((), device=device), torch.zeros((), device=device)
        clear_gradients(optimizers)
        for part in rows.parts(config.accumulate):
            packed = pack_rows(part, config.pack, pad_id) if config.pack else part
            part_loss, part_right = ar_loss(model, packed, device, total=total, precision=config.precision)
            (part_loss * ranks.data).backward()  # shards average their gradients over the processes
            loss, right = loss + part_loss.detach(), right + part_right / config.accumulate
        norm = update(optimizers, trained, config.clip)
        ema.update()
        kind = "edit" if editing else "draw"
        counted = int((whole.weight > 0).sum())
        length = whole.ids.shape[1]
        run.log(
            step,
            len(whole.ids),
            tokens=whole.ids.numel(),
            flops=ar_step_flops(model.config.text_config, rows=len(whole.ids), length=length, counted=counted),
            **{kind: ranks.total(loss), f"{kind}_right": ranks.total(right) / ranks.data, "gradient": norm},
        )
        run.sample(step, sample, sample_every)
    ema.swap()
    state = join_state(full_state(model, ranks))
    if config.frozen_text and ranks.mesh is None:
        join_text(model)
    finish(ranks)
    return state
