"""Rows of the AR generator: prompt, plan and end token as ids, positions, targets and loss weights; and their packing.

One row is the prompt, the image-start token, the plan (preview grid, then target grid; the target alone for
edits) and the end token; the loss counts the plan and the end only, the preview with its own weight. At nano's
sizes the preview grid is finer than the target's. Nano's preview is therefore the picture at its own size on a larger
canvas of its background: then the target repeats it at a constant distance, which rotary positions can follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.ar import Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.processor import preview_grid
from inkwash.models.glm_image.tokenizer_files import GRID_END, GRID_START, IMAGE, TokenLayout
from inkwash.train.config import equal_parts

LENGTH_STEP = 32


@dataclass(frozen=True, kw_only=True)
class ARBatch:
    """A batch ready for the network; `weight` is zero on everything that is not to be predicted.

    `documents` numbers the texts that share a packed row; None is one text a row.
    """

    ids: Tensor  # (B, L)
    positions: Tensor  # (3, B, L)
    targets: Tensor  # (B, L) next ids
    weight: Tensor  # (B, L)
    documents: Tensor | None = None  # (B, L)

    def parts(self, count: int) -> Iterator[ARBatch]:
        """The rows in `count` equal parts, one after another."""
        for part in equal_parts(len(self.ids), count):
            yield self.rows(part)

    def rows(self, chosen: slice) -> ARBatch:
        documents = None if self.documents is None else self.documents[chosen]
        return ARBatch(
            ids=self.ids[chosen],
            positions=self.positions[:, chosen],
            targets=self.targets[chosen],
            weight=self.weight[chosen],
            documents=documents,
        )

    def mask(self) -> Tensor | None:
        """What each token of packed rows may see, bool (B, 1, L, L): earlier tokens of its own text."""
        if self.documents is None:
            return None
        length = self.ids.shape[1]
        earlier = torch.ones(length, length, dtype=torch.bool, device=self.ids.device).tril()
        return ((self.documents[:, :, None] == self.documents[:, None]) & earlier)[:, None]

    def to(self, device: torch.device) -> ARBatch:
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)


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
    changed_weight: float = 1.0,
) -> ARBatch:
    """Rows of one batch: target and every source are token grids (B, h, w).

    The weights are those of `plan_weights`.
    """
    grid: Grid = (target.shape[1], target.shape[2])
    plans, grids = [target.flatten(1)], [grid]
    if preview:
        small = preview_grid(*grid)
        plans, grids = [preview_tokens(target, small).flatten(1), *plans], [small, *grids]
    plan = torch.cat([*plans, torch.full((len(prompts), 1), layout.image_end)], dim=1)
    tags = "".join(f"{GRID_START}{h} {w}{GRID_END}" for h, w in reversed(grids))
    start, end = layout.token(layout.image_start), layout.token(layout.image_end)
    pictures = "".join(f"{start}{IMAGE * s[0].numel()}{end}" for s in sources)
    image_id = tokenizer.token_to_id(IMAGE)
    ids_rows, position_rows, weights = [], [], []
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
        weights.append(plan_weights(target[i], [s[i] for s in sources], len(plan[i]), preview_weight, changed_weight))
    return pad_rows(ids_rows, position_rows, weights, pad_id)


def plan_weights(
    target: Tensor, sources: Sequence[Tensor], length: int, preview_weight: float, changed_weight: float
) -> Tensor:
    """Loss weights (length,) of a row's preview, if it has one, target (h, w) and end.

    In an edit, `changed_weight` counts for the tokens that differ from the first source of the target's size.
    """
    weights = torch.ones(length)
    preview = length - target.numel() - 1
    weights[:preview] = preview_weight
    same = next((source for source in sources if source.shape == target.shape), None)
    if same is not None:
        weights[preview:-1][(target != same).flatten()] = changed_weight
    return weights


def pad_rows(ids_rows: list[Tensor], position_rows: list[Tensor], weights: list[Tensor], pad_id: int) -> ARBatch:
    """Pad at the end, where causal attention never looks from a counted token; `weights` are of each plan and end.

    Lengths are rounded up: every new shape costs the CPU's matrix library a fresh set of kernels.
    """
    length = -(-max(map(len, ids_rows)) // LENGTH_STEP) * LENGTH_STEP
    ids = torch.stack([F.pad(row, (0, length - len(row)), value=pad_id) for row in ids_rows])
    positions = torch.stack([F.pad(row, (0, length - row.shape[1])) for row in position_rows], dim=1)
    weight = torch.zeros(len(ids_rows), length)
    for i, (row, counted) in enumerate(zip(ids_rows, weights, strict=True)):
        weight[i, len(row) - len(counted) - 1 : len(row) - 1] = counted
    targets = torch.cat([ids[:, 1:], torch.full((len(ids), 1), pad_id)], dim=1)
    return ARBatch(ids=ids, positions=positions, targets=targets, weight=weight)


def pack_rows(rows: ARBatch, length: int, pad_id: int) -> ARBatch:
    """The same texts, several to a row of `length`, so that less of a batch is padding; longest first, first fit.

    Positions start anew with every text and none sees another, so the losses are those of the rows alone.
    """
    lengths = [int(last) + 2 for last in (rows.weight > 0).int().cumsum(1).argmax(1)]  # the last target's own token
    if max(lengths) > length:
        raise ConfigError(f"pack={length} is shorter than a row of {max(lengths)} tokens: choose a larger one.")
    bins: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = (each for each in bins if sum(lengths[i] for i in each) + lengths[row] <= length)
        place = next(fitting, None)
        if place is None:
            bins.append([row])
        else:
            place.append(row)

    def packed(tensor: Tensor, fill: float) -> Tensor:
        joined = [torch.cat([tensor[..., i, : lengths[i]] for i in each], dim=-1) for each in bins]
        return torch.stack([F.pad(x, (0, length - x.shape[-1]), value=fill) for x in joined], dim=-2)

    numbers = torch.arange(1, 1 + len(lengths))[:, None].expand_as(rows.ids)
    return ARBatch(
        ids=packed(rows.ids, pad_id),
        positions=packed(rows.positions, 0),
        targets=packed(rows.targets, pad_id),
        weight=packed(rows.weight, 0),
        documents=packed(numbers, 0),
    )
