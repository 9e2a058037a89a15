"""Train a GLM-V on conversations about pictures: what every cell shows first, then the answers beside it.

The loss counts the last answer of each conversation of a row (`vlm_rows.py`), thought included. Linear heads on the
features ask what every cell shows; they lead the ViT to the letters within minutes and are thrown away afterwards. So
is, where it is asked for, what leads to the place that is spoken of (`vlm_guides.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.data.questions import EVERYWHERE, UNKNOWN
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.train.device import autocast, to_device
from inkwash.train.optim import EMA, descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.parallel import single_process_only
from inkwash.train.run import TrainingRun
from inkwash.train.vlm_guides import Pointer, gaze, likeness, middle_of
from inkwash.train.vlm_rows import VLMBatch, build_rows, picture_patches, segment_mask

REPORTED = (
    "letter",
    "sign",
    "shape",
    "thing",
    "previous",
    "left",
    "glyph_left",
    "spelling_1",
    "spelling_5",
)  # labels whose share of right ones is logged
ABSENT = 0.2


@dataclass(frozen=True, kw_only=True)
class VLMTraining:
    """Settings of the stage; before `language_from` only the ViT learns; `cells` weighs its heads afterwards."""

    steps: int
    language_from: int
    lr: float = 1e-3
    warmup: int = 100
    ema: float = 0.998
    cells: float = 0.2
    ns_steps: int = 3
    workers: int = 1
    save_every_s: float = 120.0
    alike: float = 0.0  # weight of the likeness of features and the embeddings of what they show
    pointer: float = 0.0  # weight of the losses of the pointer and of the gaze; 0 trains without them
    zero_heads: bool = False  # begin the heads at zero, so that features that were learnt are not disturbed by noise
    precision: str = "auto"  # as `train.device.autocast` has it; a measured choice may differ when a run is continued


class CellHeads(nn.Module):
    """One linear classifier per label, straight on the features that the decoder reads."""

    def __init__(self, labels: dict[str, int], width: int) -> None:
        super().__init__()
        self.classifiers = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in labels.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: head(features) for name, head in self.classifiers.items()}


def cell_loss(
    logits: dict[str, Tensor], labels: dict[str, Tensor], everywhere: Collection[str] = EVERYWHERE
) -> tuple[Tensor, dict[str, float]]:
    """Sum of the cross-entropies, and the share of right letters, shapes and things where there are any.

    Every cell has the labels `everywhere`; of others it may be unknown what they are (`UNKNOWN`). Most cells are empty:
    where another label says that something is there (not 0; of a colour, not the last class) counts as much as all the
    rest divided by `ABSENT`.
    """
    total = torch.zeros((), device=next(iter(labels.values())).device)
    right: dict[str, float] = {}
    for name, values in logits.items():
        each = F.cross_entropy(
            values.float().flatten(0, 1), labels[name].flatten(), reduction="none", ignore_index=UNKNOWN
        )
        if name in everywhere:
            total = total + each.mean()
            continue
        truth, nothing = labels[name].flatten(), values.shape[-1] - 1 if name == "color" else 0
        there, absent = (truth != nothing) & (truth != UNKNOWN), truth == nothing
        if there.any():
            total = total + each[there].mean()
            right[name] = float((values.argmax(-1).flatten() == truth)[there].float().mean())
        total = total + ABSENT * each[absent].sum() / max(1, int(absent.sum()))
    return total, {name: right[name] for name in REPORTED if name in right}


def answer_loss(model: GlmV, rows: VLMBatch, features: Tensor, device: torch.device) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the answers, every token alike, and the share of wholly right answers of each kind."""
    ids, segments, weight = (to_device(value, device) for value in (rows.ids, rows.segments, rows.weight))
    hidden = model(
        ids,
        rows.positions.to(device),
        features=features,
        modality=rows.modality.to(device),
        mask=segment_mask(segments),
    )
    counted = weight > 0
    logits = model.lm_head(hidden[counted]).float()
    targets = torch.cat([ids[:, 1:], ids[:, :1]], dim=1)[counted]
    loss = F.cross_entropy(logits, targets)
    with torch.no_grad():
        wrong = torch.zeros(len(ids), int(segments.max()) + 1, device=device)
        batch = torch.arange(len(ids), device=device)[:, None].expand_as(ids)[counted]
        wrong.index_put_((batch, segments[counted]), (logits.argmax(-1) != targets).float(), accumulate=True)
    scores: dict[str, list[float]] = {}
    for row, kinds in enumerate(rows.kinds):
        for number, kind in enumerate(kinds, 1):
            scores.setdefault(kind, []).append(float(wrong[row, number] == 0))
    return loss, {kind: sum(values) / len(values) for kind, values in sorted(scores.items())}


@dataclass(frozen=True, kw_only=True)
class VLMNetworks:
    """What is trained: the model, and what is thrown away afterwards."""

    model: GlmV
    heads: CellHeads
    pointer: Pointer | None

    @classmethod
    def of(cls, model: GlmV, labels: dict[str, int], config: VLMTraining) -> VLMNetworks:
        """The model with what its settings ask for beside it."""
        width = model.config.text_config.hidden_size
        heads = CellHeads(labels, width)
        if config.zero_heads:
            for parameter in heads.parameters():
                nn.init.zeros_(parameter)
        return cls(model=model, heads=heads, pointer=Pointer(width) if config.pointer else None)

    def parts(self) -> dict[str, nn.Module]:
        """By the names they have in a state."""
        found: dict[str, nn.Module] = {"model": self.model, "heads": self.heads}
        return found if self.pointer is None else found | {"pointer": self.pointer}

    def optimizers(self, config: VLMTraining) -> list[torch.optim.Optimizer]:
        """Muon for the matrices of the blocks of either half, AdamW for the rest."""
        text: list[nn.Module] = [self.model.model.language_model, self.model.lm_head]
        halves = (
            ([self.model.model.visual, self.heads], "blocks."),
            (text if self.pointer is None else [*text, self.pointer], "layers."),
        )
        return [
            optimizer
            for half, marker in halves
            for optimizer in make_optimizers(half, lr=config.lr, muon_marker=marker, ns_steps=config.ns_steps)
        ]

    def answers(
        self, rows: VLMBatch, features: Tensor, columns: int, config: VLMTraining
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of the answers and, with a pointer, of what leads to places, with the numbers to be logged.

        `columns` are the cells of a row of the pictures.
        """
        with middle_of(self.model) if self.pointer else nullcontext() as passed:
            loss, scores = answer_loss(self.model, rows, features, features.device)
        numbers = {"answers": float(loss.detach()), **scores}
        if self.pointer is not None and passed is not None:
            for guide, found in (self.pointer(passed.hidden, rows, columns), gaze(passed, rows, columns)):
                loss = loss + config.pointer * guide
                numbers |= found
        return loss, numbers


def train_vlm(
    model: GlmV,
    processor: GlmVProcessor,
    labels: dict[str, int],
    make: Callable[[int], Batch],
    folder: Path,
    config: VLMTraining,
    *,
    device: torch.device,
    everywhere: Collection[str] = EVERYWHERE,
    tokens: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Run or continue the stage; averaged weights are in `model` afterwards.

    `labels` are the classes of the labels of a cell that `make` gives, `everywhere` those that every cell has. `tokens`
    are the ids of the classes of some of them, for `likeness`.
    """
    single_process_only("training of a model that sees")
    networks = VLMNetworks.of(model, labels, config)
    for module in networks.parts().values():
        module.train().to(device)
    optimizers = networks.optimizers(config)
    ema = EMA([model], config.ema)
    run = TrainingRun(folder, networks.parts(), optimizers, ema, total=config.steps, save_every_s=config.save_every_s)
    pad_id: Any = model.config.text_config.pad_token_id
    patch = model.config.vision_config.patch_size
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, config.lr * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        pixels = to_device(batch["pixels"], device)
        grid = (pixels.shape[1] // patch, pixels.shape[2] // patch)
        truth = {name: to_device(batch[name], device) for name in labels}
        with autocast(device, config.precision):
            features = model.see(picture_patches(pixels, processor.pictures), [(1, *grid)] * len(pixels))
            cells = features.view(len(pixels), -1, features.shape[-1])
            loss, right = cell_loss(networks.heads(cells), truth, everywhere)
            numbers = {"cells": float(loss.detach()), **right}
            if tokens and config.alike:
                embeddings = model.model.language_model.embed_tokens.weight
                unlike, found = likeness(cells, embeddings, truth, tokens)
                loss = loss + config.alike / config.cells * unlike
                numbers |= found
            if step >= config.language_from:
                rows = build_rows(processor, batch["dialogues"], grid, pad_id=pad_id)
                columns = grid[1] // processor.pictures.merge_size
                answers, found = networks.answers(rows, features, columns, config)
                loss = config.cells * loss + answers
                numbers |= found
        descend(loss, optimizers, clip=model.parameters())
        ema.update()
        run.log(step, len(pixels), **numbers)
    ema.swap()
