"""What leads a model that sees to the place that is spoken of, while it is trained; nothing of it is kept.

To find a quoted word on a page takes three steps that language alone does not teach in thousands of steps: what is seen
of a letter must be comparable with its token (`likeness`), a token must know which cells it is about (`Pointer`), and
attention must go there (`gaze`), from where the row and the column can be read. Each has a loss of its own, on the
features, the text decoder's middle layer, and the first head of the layer after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.positions import PICTURE
from inkwash.train.vlm_rows import Place, VLMBatch

POINTER_WIDTH = 64
ALIKE = 16.0  # scale of the cosines between features and embeddings


class Pointer(nn.Module):
    """Which cells of the picture a token that is being said is about, by products of two projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(width, POINTER_WIDTH) for _ in range(2))

    def forward(self, hidden: Tensor, rows: VLMBatch, columns: int) -> tuple[Tensor, dict[str, float]]:
        """(B, L, D) after a layer -> the loss, minus the log of the share that falls on the cells of a place, and how
        often the first cell is one of them. `columns` are the cells of a row of the picture.
        """
        queries, keys = self.query(hidden).float(), self.key(hidden).float()
        losses: list[Tensor] = []
        hits: list[Tensor] = []
        for row, tokens, inside in _spoken_of(rows, columns):
            logits = queries[row, tokens] @ keys[row, rows.modality[row] == PICTURE].T * POINTER_WIDTH**-0.5
            losses.append(-share_inside(logits, inside))
            hits.append(inside[logits.detach().argmax(-1)].float())
        if not losses:
            return hidden.sum() * 0.0, {}
        return torch.cat(losses).mean(), {"pointer": float(torch.cat(hits).mean())}


def gaze(passed: Passed, rows: VLMBatch, columns: int) -> tuple[Tensor, dict[str, float]]:
    """The loss, minus the log of the share of the first head's attention that goes to the cells of a place, and that
    share. It goes to all that a token may look at: the picture and what was said before in its conversation.
    """
    attention, x, (cos, sin) = passed.attention, passed.x, passed.rotary
    width = attention.head_dim
    heads = []
    for projection in (attention.q_proj, attention.k_proj):
        bias = None if projection.bias is None else projection.bias[:width]
        flat = F.linear(x, projection.weight[:width], bias)[:, None]
        heads.append(attention.rotate(flat, cos.to(flat.dtype), sin.to(flat.dtype))[:, 0].float())
    queries, keys = heads
    losses: list[Tensor] = []
    for row, tokens, inside in _spoken_of(rows, columns):
        segments = rows.segments[row]
        places = torch.arange(len(segments))
        sees = ((segments == 0) | (segments == segments[tokens[0]])) & (places <= tokens[:, None])
        logits = queries[row, tokens] @ keys[row].T * width**-0.5
        logits = logits.masked_fill(~sees.to(logits.device), -torch.inf)
        there = torch.zeros(len(segments), dtype=torch.bool)
        there[rows.modality[row] == PICTURE] = inside
        losses.append(-share_inside(logits, there))
    if not losses:
        return x.sum() * 0.0, {}
    loss = torch.cat(losses)
    return loss.mean(), {"gaze": float((-loss.detach()).exp().mean())}


def share_inside(logits: Tensor, inside: Tensor) -> Tensor:
    """The log of the share of a softmax over the last axis that falls on some of its places, boolean (places,)."""
    return logits[:, inside].logsumexp(-1) - logits.logsumexp(-1)


def likeness(
    features: Tensor, embeddings: Tensor, truth: dict[str, Tensor], tokens: Mapping[str, Sequence[int]]
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the letters that cells show, by the cosines of features and embeddings, and the share of cells
    whose likest letter is one that they show.

    features (B, cells, D), embeddings (V, D). `tokens` has, for labels whose class 0 is nothing, the ids of the other
    classes, the same for all of them. A cell is to be like each of its letters.
    """
    [ids] = {tuple(each) for each in tokens.values()}
    letters = embeddings[torch.tensor(ids, device=embeddings.device)].float()
    logits = ALIKE * F.normalize(features.float(), dim=-1) @ F.normalize(letters, dim=-1).T
    wanted = torch.stack([truth[name] for name in tokens])  # (labels, B, cells)
    there = wanted > 0
    if not there.any():
        return features.sum() * 0.0, {}
    loss = F.cross_entropy(logits.expand(len(wanted), -1, -1, -1)[there], wanted[there] - 1)
    right = (logits.argmax(-1) + 1 == wanted).any(0).sum() / there.any(0).sum()
    return loss, {"alike": float(right)}


def cells_of(place: Place, cells: int, columns: int) -> Tensor:
    """Which of the cells, row by row, lie in a place: boolean (cells,). One beyond the picture raises ConfigError."""
    top, bottom, left, right = place
    inside = torch.zeros(cells // columns, columns, dtype=torch.bool)
    inside[top : bottom + 1, left : right + 1] = True
    if not inside.any():
        raise ConfigError(f"rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1} are not in the picture.")
    return inside.flatten()


def _spoken_of(rows: VLMBatch, columns: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """For each conversation about a place: its row, the indices of the tokens of its answer, and its cells, boolean."""
    for row, places in enumerate(rows.places):
        count = int((rows.modality[row] == PICTURE).sum())
        for number, place in enumerate(places, 1):
            if place is not None:
                tokens = torch.nonzero((rows.weight[row] > 0) & (rows.segments[row] == number)).flatten()
                yield row, tokens, cells_of(place, count, columns)


@dataclass
class Passed:
    """What passed through the middle of a text decoder: what its middle layer gave, and what the attention after it
    got."""

    attention: Any
    hidden: Tensor = field(init=False)
    x: Tensor = field(init=False)
    rotary: tuple[Tensor, Tensor] = field(init=False)


@contextmanager
def middle_of(model: GlmV) -> Iterator[Passed]:
    """Collects what passes through the middle of the text decoder while the block runs."""
    layers = model.model.language_model.layers
    middle = len(layers) // 2
    after: Any = layers[min(middle + 1, len(layers) - 1)].self_attn
    passed = Passed(attention=after)

    def keep_output(_: nn.Module, __: Any, out: Tensor) -> None:
        passed.hidden = out

    def keep_input(_: nn.Module, taken: tuple[Any, ...]) -> None:
        passed.x, passed.rotary = taken[0], taken[1]

    handles = layers[middle].register_forward_hook(keep_output), after.register_forward_pre_hook(keep_input)
    try:
        yield passed
    finally:
        for handle in handles:
            handle.remove()
