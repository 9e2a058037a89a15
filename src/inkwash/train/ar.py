"""Train the AR generator: from a prompt to the semantic tokens of its picture.

One row is the prompt, the image-start token, the plan (preview grid, then target grid; the target alone for
edits) and the end token; the loss counts the plan and the end only, the preview with its own weight. At nano's
sizes the preview grid is finer than the target's. Nano's preview is therefore the picture at its own size on a larger
canvas of its background: then the target repeats it at a constant distance, which rotary positions can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.positions import Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.processor import preview_grid
from inkwash.models.glm_image.tokenizer_files import GRID_END, GRID_START, IMAGE, TokenLayout
from inkwash.train.device import autocast, to_device
from inkwash.train.optim import EMA, descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.run import Run
from inkwash.train.tokenizer import token_grid

LENGTH_STEP = 32


@dataclass(frozen=True, kw_only=True)
class ARTraining:
    """Settings of the stage; `preview_weight` scales the loss of preview tokens against target tokens."""

    steps: int
    lr: float = 1e-3
    warmup: int = 200
    ema: float = 0.998
    preview_weight: float = 1.0
    ns_steps: int = 5
    workers: int = 1
    save_every_s: float = 180.0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A batch ready for the network; `weight` is zero on everything that is not to be predicted."""

    ids: Tensor  # (B, L)
    positions: Tensor  # (3, B, L)
    targets: Tensor  # (B, L) next ids
    weight: Tensor  # (B, L)


def preview_tokens(target: Tensor, grid: Grid) -> Tensor:
    """The preview (B, H, W) of target grids (B, h, w): at the top left, the rest filled with the commonest token.

    That is the picture on a larger canvas of its own background. Targets beyond the preview are resized to it.
    """
    rows, columns = target.shape[1:]
    if rows > grid[0] or columns > grid[1]:
        return F.interpolate(target[:, None].float(), size=grid, mode="nearest")[:, 0].long()
    preview = target.flatten(1).mode(dim=1).values[:, None, None].repeat(1, *grid)
    preview[:, :rows, :columns] = target
    return preview


def build_rows(
    tokenizer: Tokenizer,
    layout: TokenLayout,
    prompts: Sequence[str],
    target: Tensor,
    sources: Sequence[Tensor],
    *,
    preview: bool,
    preview_weight: float,
    pad_id: int,
) -> Rows:
    """Rows of one batch: target and every source are token grids (B, h, w)."""
    grid: Grid = (target.shape[1], target.shape[2])
    plans, grids = [target.flatten(1)], [grid]
    if preview:
        small = preview_grid(*grid)
        plans, grids = [preview_tokens(target, small).flatten(1), *plans], [small, *grids]
    plan = torch.cat([*plans, torch.full((len(prompts), 1), layout.image_end)], dim=1)
    weights = torch.ones(plan.shape[1])
    if preview:
        weights[: plans[0].shape[1]] = preview_weight
    tags = "".join(f"{GRID_START}{h} {w}{GRID_END}" for h, w in reversed(grids))
    start, end = layout.token(layout.image_start), layout.token(layout.image_end)
    pictures = "".join(f"{start}{IMAGE * s[0].numel()}{end}" for s in sources)
    image_id = tokenizer.token_to_id(IMAGE)
    ids_rows, position_rows = [], []
    for i, prompt in enumerate(prompts):
        ids = tokenizer.encode(f"{pictures}{prompt}{tags}{start}", add_special_tokens=False).ids
        positions, begin = prompt_positions(
            ids,
            [(s.shape[1], s.shape[2]) for s in sources],
            image_start=layout.image_start,
            image_end=layout.image_end,
        )
        row = torch.tensor(ids)
        if sources:
            row[row == image_id] = torch.cat([s[i].flatten() for s in sources])
        ids_rows.append(torch.cat([row, plan[i]]))
        position_rows.append(torch.cat([positions, decode_positions(begin, grids)], dim=1))
    return pad_rows(ids_rows, position_rows, weights, pad_id)


def pad_rows(ids_rows: list[Tensor], position_rows: list[Tensor], weights: Tensor, pad_id: int) -> Rows:
    """Pad at the end, where causal attention never looks from a counted token.

    Lengths are rounded up: every new shape costs the CPU's matrix library a fresh set of kernels.
    """
    length = -(-max(map(len, ids_rows)) // LENGTH_STEP) * LENGTH_STEP
    ids = torch.stack([F.pad(row, (0, length - len(row)), value=pad_id) for row in ids_rows])
    positions = torch.stack([F.pad(row, (0, length - row.shape[1])) for row in position_rows], dim=1)
    weight = torch.zeros(len(ids_rows), length)
    for i, row in enumerate(ids_rows):
        weight[i, len(row) - len(weights) - 1 : len(row) - 1] = weights
    targets = torch.cat([ids[:, 1:], torch.full((len(ids), 1), pad_id)], dim=1)
    return Rows(ids=ids, positions=positions, targets=targets, weight=weight)


def ar_loss(model: ARGenerator, rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weighted cross-entropy of the plan, and the share of right tokens among those of the largest weight."""
    ids, positions = rows.ids.to(device), rows.positions.to(device)
    weight, targets = rows.weight.to(device), rows.targets.to(device)
    with autocast(device):
        hidden = model(ids, positions)
        counted = weight > 0
        logits = model.lm_head(hidden[counted])
    each = F.cross_entropy(logits.float(), targets[counted], reduction="none")
    loss = (each * weight[counted]).sum() / weight.sum()
    main = weight[counted] == weight.max()
    right = (logits.argmax(-1) == targets[counted])[main].float().mean()
    return loss, right


def train_ar(
    model: ARGenerator,
    tokenizer: Tokenizer,
    make: Callable[[int], Batch],
    folder: Path,
    config: ARTraining,
    *,
    device: torch.device,
    sample: Callable[[int], None] | None = None,
    sample_every: int = 1000,
) -> None:
    """Run or continue the stage; ViT and codebook stay as they are. Averaged weights are in `model` afterwards."""
    model.train().to(device)
    visual, codebook = model.model.visual, model.model.vqmodel
    for frozen in (visual, codebook):
        frozen.requires_grad_(False)
    optimizers = make_optimizers([model], lr=config.lr, muon_marker="language_model.layers.", ns_steps=config.ns_steps)
    ema = EMA([model], config.ema)
    run = Run(folder, {"model": model}, optimizers, ema, total=config.steps, save_every_s=config.save_every_s)
    layout = TokenLayout(codes=model.config.vq_config.num_embeddings)
    pad_id = model.config.text_config.pad_token_id
    assert pad_id is not None
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, config.lr * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        grids = [
            token_grid(visual, codebook, to_device(half, device)).cpu()
            for half in (batch["half"], *batch.get("sources", ()))
        ]
        rows = build_rows(
            tokenizer,
            layout,
            batch["prompts"],
            grids[0],
            grids[1:],
            preview=bool(batch["preview"]),
            preview_weight=config.preview_weight,
            pad_id=pad_id,
        )
        loss, right = ar_loss(model, rows, device)
        descend(loss, optimizers, clip=[p for p in model.parameters() if p.requires_grad])
        ema.update()
        kind = "edit" if len(grids) > 1 else "draw"
        run.log(step, len(rows.ids), **{kind: float(loss.detach()), f"{kind}_right": float(right)})
        if sample is not None and (step + 1) % sample_every == 0:
            ema.swap()
            sample(step + 1)
            ema.swap()
    ema.swap()
