"""Batches of pre-encoded data (`data.encoded.ShardBatches`) as the networks take them: no ViT, VAE, tokenizer."""

from __future__ import annotations

import torch
from torch import Tensor

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.config import ARConfig
from inkwash.train.decoder import Inputs
from inkwash.train.device import to_device
from inkwash.train.rows import ARBatch, pad_rows, plan_weights


def encoded_rows(batch: Batch, config: ARConfig, *, preview_weight: float, changed_weight: float = 1.0) -> ARBatch:
    """Rows of the AR generator from stored ids and tokens: the prompt as in use, then preview, target and end.

    A batch has previews or references, never both.
    """
    target = torch.as_tensor(batch["tokens"])
    plans, grids = [target.flatten(1)], [_grid(target)]
    if "preview" in batch:
        preview = torch.as_tensor(batch["preview"])
        plans, grids = [preview.flatten(1), *plans], [_grid(preview), *grids]
    plan = torch.cat([*plans, torch.full((len(target), 1), config.image_end_token_id)], dim=1)
    ids_rows, position_rows, weights = [], [], []
    for i, (stored, references) in enumerate(zip(batch["ids"], batch["references"], strict=True)):
        tokens = [torch.as_tensor(each["tokens"]) for each in references]
        ids = torch.as_tensor(stored)
        if tokens:
            ids = ids.masked_scatter(ids == config.image_token_id, torch.cat([each.flatten() for each in tokens]))
        positions, begin = prompt_positions(
            ids.tolist(),
            [(each.shape[0], each.shape[1]) for each in tokens],
            image_start=config.image_start_token_id,
            image_end=config.image_end_token_id,
        )
        ids_rows.append(torch.cat([ids, plan[i]]))
        position_rows.append(torch.cat([positions, decode_positions(begin, grids)], dim=1))
        weights.append(plan_weights(target[i], tokens, len(plan[i]), preview_weight, changed_weight))
    pad_id = config.text_config.pad_token_id
    return pad_rows(ids_rows, position_rows, weights, 0 if pad_id is None else pad_id)


def _grid(tokens: Tensor) -> Grid:
    return tokens.shape[1], tokens.shape[2]


def encoded_inputs(batch: Batch, device: torch.device) -> Inputs:
    """What the decoder takes, references of any number and size included."""
    sources = [
        [(to_device(each["latents"], device), to_device(each["tokens"], device)) for each in row]
        for row in batch["references"]
    ]
    return Inputs(
        clean=to_device(batch["latents"], device),
        ids=to_device(batch["tokens"], device),
        texts=batch["texts"],
        sources=sources if any(sources) else (),
    )
