"""Train a GLM-V on conversations about pictures: what every cell shows first, then the answers beside it.

One row is a picture and several conversations about it, one after another. Each sees the picture and itself only, at
the positions it would have alone, so a picture is encoded once for all of them. The loss counts the last answer of each
conversation, thought included. Linear heads on the features ask what every cell shows; they lead the ViT to the
letters within minutes and are thrown away afterwards. So does, where it is asked for, a pointer: while the model
answers about a place that the conversation names, one of its middle layers must be able to tell the cells of that
place from all others. And where labels are letters (`tokens`), the feature of a cell is held close to the text
decoder's own embeddings of the letters that it shows. Without these two, what compares a word that was spelled with
those that are seen is not found in thousands of steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.data.loader import Batch
from inkwash.data.questions import EVERYWHERE, UNKNOWN, Dialogue
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.pixels import PixelConfig
from inkwash.models.glm_v.positions import PICTURE, prompt_positions
from inkwash.models.glm_v.processor import BEGIN_IMAGE, END_IMAGE, IMAGE, GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import USER
from inkwash.train.device import autocast, to_device
from inkwash.train.optim import EMA, descend, make_optimizers, set_lr, warmup_cosine
from inkwash.train.parallel import single_process_only
from inkwash.train.run import TrainingRun

LENGTH_STEP = 32
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
POINTER_WIDTH = 64
ALIKE = 16.0  # scale of the cosines between features and embeddings
PLACE = re.compile(r"rows (\d+) to (\d+), columns (\d+) to (\d+)")  # of cells, from 1, as thoughts and questions say it
PADDING = -1  # segment of the padding; 0 is the picture, from 1 on the conversations


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
    pointer: float = 0.0  # weight of the pointer's loss; 0 trains without one
    zero_heads: bool = False  # begin the heads at zero, so that features that were learnt are not disturbed by noise
    precision: str = "auto"  # as `train.device.autocast` has it; a measured choice may differ when a run is continued


class CellHeads(nn.Module):
    """One linear classifier per label, straight on the features that the decoder reads."""

    def __init__(self, labels: dict[str, int], width: int) -> None:
        super().__init__()
        self.classifiers = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in labels.items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        return {name: head(features) for name, head in self.classifiers.items()}


@dataclass(frozen=True, kw_only=True)
class VLMBatch:
    """A batch ready for the network; `weight` is zero on everything that is not to be predicted."""

    ids: Tensor  # (B, L)
    modality: Tensor  # (B, L)
    positions: Tensor  # (3, B, L)
    segments: Tensor  # (B, L)
    weight: Tensor  # (B, L), of predicting the next id
    places: list[
        list[tuple[int, int, int, int] | None]
    ]  # of each conversation: rows and columns, from 0, last included
    kinds: list[list[str]]  # of each conversation


class Pointer(nn.Module):
    """Which cells of the picture a token that is being said is about, by products of two projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(width, POINTER_WIDTH) for _ in range(2))

    def forward(self, hidden: Tensor, rows: VLMBatch, columns: int) -> tuple[Tensor, dict[str, float]]:
        """(B, L, D) after a layer -> the loss, minus the log of the share that falls on the cells of a place, and how
        often the first cell is one of them. `columns` are the cells of a row of the picture.
        """
        losses: list[Tensor] = []
        hits: list[Tensor] = []
        for row, places in enumerate(rows.places):
            seen = hidden[row, rows.modality[row] == PICTURE]
            saying = rows.weight[row] > 0
            keys = self.key(seen).float()
            for number, place in enumerate(places, 1):
                if place is None:
                    continue
                tokens = hidden[row, saying & (rows.segments[row] == number)]
                logits = self.query(tokens).float() @ keys.T * POINTER_WIDTH**-0.5
                inside = cells_of(place, len(seen), columns).to(hidden.device)
                losses.append(logits.logsumexp(-1) - logits[:, inside].logsumexp(-1))
                hits.append(inside[logits.detach().argmax(-1)].float())
        if not losses:
            return hidden.sum() * 0.0, {}
        return torch.cat(losses).mean(), {"pointer": float(torch.cat(hits).mean())}


def likeness(
    features: Tensor, embeddings: Tensor, truth: dict[str, Tensor], tokens: dict[str, Sequence[int]]
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the letters that cells show, by the cosines of features and embeddings, and the share of cells
    whose likest letter is one that they show.

    features (B, cells, D), embeddings (V, D). `tokens` has, for labels whose class 0 is nothing, the ids of the other
    classes, the same for all of them. A cell with two letters is to be like both.
    """
    [ids] = {tuple(each) for each in tokens.values()}
    letters = embeddings[torch.tensor(ids, device=embeddings.device)].float()
    logits = ALIKE * F.normalize(features.float(), dim=-1) @ F.normalize(letters, dim=-1).T
    losses, likest = [], logits.argmax(-1) + 1
    right, shown = torch.zeros_like(likest, dtype=torch.bool), torch.zeros_like(likest, dtype=torch.bool)
    for name in tokens:
        there = truth[name] > 0
        losses.append(F.cross_entropy(logits[there], truth[name][there] - 1, reduction="sum"))
        right, shown = right | (likest == truth[name]), shown | there
    count = sum(int((truth[name] > 0).sum()) for name in tokens)
    if not count:
        return features.sum() * 0.0, {}
    return torch.stack(losses).sum() / count, {"alike": float((right & shown).sum() / shown.sum())}


def cells_of(place: tuple[int, int, int, int], cells: int, columns: int) -> Tensor:
    """Which of the cells, row by row, lie in a place: boolean (cells,). One beyond the picture raises ConfigError."""
    top, bottom, left, right = place
    inside = torch.zeros(cells // columns, columns, dtype=torch.bool)
    inside[top : bottom + 1, left : right + 1] = True
    if not inside.any():
        raise ConfigError(f"rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1} are not in the picture.")
    return inside.flatten()


def place_of(dialogue: Dialogue) -> tuple[int, int, int, int] | None:
    """The place that the last turn of a conversation thinks of or asks about; None where there is none."""
    last = dialogue.turns[-1]
    found = PLACE.search(last.thought) or PLACE.search(last.question)
    if found is None:
        return None
    top, bottom, left, right = (int(number) - 1 for number in found.groups())
    return top, bottom, left, right


def picture_patches(pixels: Tensor, config: PixelConfig) -> Tensor:
    """uint8 (B, H, W, 3), sides already whole blocks -> patch values (B*h*w, C*T*P*P) in the processor's order."""
    mean, std = torch.tensor(config.image_mean), torch.tensor(config.image_std)
    values = (pixels.float() * config.rescale_factor - mean) / std
    return rearrange(
        values[:, None].expand(-1, config.temporal_patch_size, -1, -1, -1),
        "b a (h m p) (w n q) c -> (b h w m n) (c a p q)",
        m=config.merge_size,
        n=config.merge_size,
        p=config.patch_size,
        q=config.patch_size,
    )


def dialogue_texts(dialogue: Dialogue) -> tuple[str, str]:
    """A conversation after its picture as (what is given, what is to be said), in the format of the chat template."""
    *earlier, last = dialogue.turns
    switch = "" if dialogue.thinking else "/nothink"
    prompt = ""
    for turn in earlier:
        prompt += f"{turn.question}{switch}<|assistant|>\n<think></think>\n{turn.answer}{USER}\n"
    prompt += f"{last.question}{switch}<|assistant|>"
    if dialogue.thinking:
        return prompt, f"\n<think>{last.thought}</think>\n{last.answer}{USER}"
    return f"{prompt}\n<think></think>", f"\n{last.answer}{USER}"


def build_rows(
    processor: GlmVProcessor, dialogues: Sequence[Sequence[Dialogue]], grid: tuple[int, int], *, pad_id: int
) -> VLMBatch:
    """Rows of one batch of pictures of `grid` (rows, columns) patches."""
    merge = processor.pictures.merge_size
    seen = grid[0] * grid[1] // merge**2
    prefix = processor.encode(f"[gMASK]<sop>{USER}\n{BEGIN_IMAGE}{IMAGE * seen}{END_IMAGE}")
    first = prefix.index(processor.token_id(IMAGE))
    modality = [0] * first + [PICTURE] * seen + [0] * (len(prefix) - first - seen)
    positions, following = prompt_positions(modality, [(1, *grid)], merge=merge)
    rows: list[tuple[list[int], list[int], list[int], list[float]]] = []
    for conversations in dialogues:
        ids, places, segments = list(prefix), [0] * len(prefix), [0] * len(prefix)
        weight = [0.0] * len(prefix)
        for number, dialogue in enumerate(conversations, 1):
            prompt_ids, target_ids = (processor.encode(text) for text in dialogue_texts(dialogue))
            ids += prompt_ids + target_ids
            places += range(following, following + len(prompt_ids) + len(target_ids))
            segments += [number] * (len(prompt_ids) + len(target_ids))
            weight += [0.0] * (len(prompt_ids) - 1) + [1.0] * len(target_ids) + [0.0]
        rows.append((ids, places, segments, weight))
    length = -(-max(len(ids) for ids, *_ in rows) // LENGTH_STEP) * LENGTH_STEP

    def padded(part: int, value: float) -> Tensor:
        return torch.stack([F.pad(torch.tensor(row[part]), (0, length - len(row[part])), value=value) for row in rows])

    everywhere = padded(1, 0).expand(3, -1, -1).clone()
    everywhere[:, :, : len(prefix)] = positions[:, None]
    return VLMBatch(
        ids=padded(0, pad_id),
        modality=F.pad(torch.tensor(modality), (0, length - len(prefix))).expand(len(rows), -1),
        positions=everywhere,
        segments=padded(2, PADDING),
        weight=padded(3, 0.0),
        places=[[place_of(dialogue) for dialogue in conversations] for conversations in dialogues],
        kinds=[[dialogue.turns[-1].kind for dialogue in conversations] for conversations in dialogues],
    )


def segment_mask(segments: Tensor) -> Tensor:
    """(B, L) segments -> (B, 1, L, L): causal, within a segment or towards the picture."""
    same = segments[:, :, None] == segments[:, None, :]
    mask = (same | (segments[:, None, :] == 0)).tril()
    return mask[:, None]


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
    tokens: dict[str, Sequence[int]] | None = None,
) -> None:
    """Run or continue the stage; averaged weights are in `model` afterwards.

    `labels` are the classes of the labels of a cell that `make` gives, `everywhere` those that every cell has. `tokens`
    are the ids of the classes of some of them, for `likeness`.
    """
    single_process_only("training of a model that sees")
    width = model.config.text_config.hidden_size
    heads = CellHeads(labels, width)
    if config.zero_heads:
        for parameter in heads.parameters():
            nn.init.zeros_(parameter)
    trained: dict[str, nn.Module] = {"model": model, "heads": heads}
    text: list[nn.Module] = [model.model.language_model, model.lm_head]
    pointer = Pointer(width) if config.pointer else None
    if pointer is not None:
        trained["pointer"] = pointer
        text.append(pointer)
    for module in trained.values():
        module.train().to(device)
    halves = (([model.model.visual, heads], "blocks."), (text, "layers."))
    optimizers = [
        optimizer
        for half, marker in halves
        for optimizer in make_optimizers(half, lr=config.lr, muon_marker=marker, ns_steps=config.ns_steps)
    ]
    ema = EMA([model], config.ema)
    run = TrainingRun(folder, trained, optimizers, ema, total=config.steps, save_every_s=config.save_every_s)
    pad_id: Any = model.config.text_config.pad_token_id
    patch = model.config.vision_config.patch_size
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(optimizers, config.lr * warmup_cosine(step, total=config.steps, warmup=config.warmup))
        pixels = to_device(batch["pixels"], device)
        grid = (pixels.shape[1] // patch, pixels.shape[2] // patch)
        truth = {name: to_device(batch[name], device) for name in labels}
        numbers: dict[str, float] = {}
        with autocast(device, config.precision):
            features = model.see(picture_patches(pixels, processor.pictures), [(1, *grid)] * len(pixels))
            logits = heads(features.view(len(pixels), -1, features.shape[-1]))
            loss, right = cell_loss(logits, truth, everywhere)
            numbers |= {"cells": float(loss.detach()), **right}
            if tokens and config.alike:
                embeddings = model.model.language_model.embed_tokens.weight
                unlike, found = likeness(features.view(len(pixels), -1, width), embeddings, truth, tokens)
                loss = loss + config.alike / config.cells * unlike
                numbers |= found
            if step >= config.language_from:
                rows = build_rows(processor, batch["dialogues"], grid, pad_id=pad_id)
                with _middle_layer(model) as between:
                    answers, scores = answer_loss(model, rows, features, device)
                loss = config.cells * loss + answers
                if pointer is not None:
                    columns = grid[1] // processor.pictures.merge_size
                    points, pointed = pointer(between[0], rows, columns)
                    loss = loss + config.pointer * points
                    numbers |= pointed
                numbers |= {"answers": float(answers.detach()), **scores}
        descend(loss, optimizers, clip=model.parameters())
        ema.update()
        run.log(step, len(pixels), **numbers)
    ema.swap()


@contextmanager
def _middle_layer(model: GlmV) -> Iterator[list[Tensor]]:
    """Collects what the text decoder's middle layer gives."""
    found: list[Tensor] = []
    layers = model.model.language_model.layers
    handle = layers[len(layers) // 2].register_forward_hook(lambda *each: found.append(each[-1]))
    try:
        yield found
    finally:
        handle.remove()
