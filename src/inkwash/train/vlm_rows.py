"""Rows that a model that sees is trained on: a picture and several conversations about it, one after another.

Each conversation sees the picture and itself only, at the positions it would have alone, so a picture is encoded once
for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from inkwash.data.questions import Dialogue
from inkwash.models.glm_v.pixels import PixelConfig
from inkwash.models.glm_v.positions import PICTURE, prompt_positions
from inkwash.models.glm_v.processor import BEGIN_IMAGE, END_IMAGE, IMAGE, GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import USER

LENGTH_STEP = 32
PADDING = -1  # segment of the padding; 0 is the picture, from 1 on the conversations
PLACE = re.compile(r"rows (\d+) to (\d+), columns (\d+) to (\d+)")  # of cells, from 1, as thoughts and questions say it
Place = tuple[int, int, int, int]  # first and last row, first and last column, from 0


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


def place_of(dialogue: Dialogue) -> Place | None:
    """The place that the last turn of a conversation thinks of or asks about; None where there is none."""
    last = dialogue.turns[-1]
    found = PLACE.search(last.thought) or PLACE.search(last.question)
    if found is None:
        return None
    top, bottom, left, right = (int(number) - 1 for number in found.groups())
    return top, bottom, left, right
