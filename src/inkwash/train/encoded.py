"""Losses on pre-encoded data (`data.encoded.ShardBatches`): the usual ones without ViT, VAE and tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inkwash.data.loader import Batch
from inkwash.models.glm_image.config import ARConfig
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.decoder_config import SchedulerConfig
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.positions import Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.processor import CELL
from inkwash.models.glm_image.references import References
from inkwash.train.ar import Rows, pad_rows
from inkwash.train.decoder import DecoderTraining, upsample_tokens, velocity_loss
from inkwash.train.device import to_device


def encoded_rows(batch: Batch, config: ARConfig, *, preview_weight: float) -> Rows:
    """Rows of the AR generator from stored ids and tokens: the prompt as in use, then preview, target and end.

    A batch has previews or references, never both.
    """
    target = torch.as_tensor(batch["tokens"])
    plans, grids = [target.flatten(1)], [_grid(target)]
    if "preview" in batch:
        preview = torch.as_tensor(batch["preview"])
        plans, grids = [preview.flatten(1), *plans], [_grid(preview), *grids]
    plan = torch.cat([*plans, torch.full((len(target), 1), config.image_end_token_id)], dim=1)
    weights = torch.ones(plan.shape[1])
    if len(plans) == 2:
        weights[: plans[0].shape[1]] = preview_weight
    ids_rows, position_rows = [], []
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
    pad_id = config.text_config.pad_token_id
    return pad_rows(ids_rows, position_rows, weights, 0 if pad_id is None else pad_id)


def _grid(tokens: Tensor) -> Grid:
    return tokens.shape[1], tokens.shape[2]


def encoded_decoder_loss(
    decoder: Decoder,
    glyph: GlyphEncoder,
    scheduler: SchedulerConfig,
    batch: Batch,
    config: DecoderTraining,
    device: torch.device,
) -> Tensor:
    """Mean squared error of the velocity, references included."""
    rows = batch["references"]

    def references() -> References | None:
        return encode_references(decoder, rows, device) if any(rows) else None

    return velocity_loss(
        decoder,
        glyph,
        to_device(batch["latents"], device),
        to_device(batch["tokens"], device),
        batch["texts"],
        config,
        scheduler,
        make_references=references,
    )


def encode_references(decoder: Decoder, rows: Sequence[Sequence[dict]], device: torch.device) -> References | None:
    """Every row's own pictures, any number and size, as keys and values with gradient."""
    pictures = []
    for row in rows:
        encoded = []
        for each in row:
            ids = to_device(each["tokens"], device)[None]
            size = torch.tensor([[ids.shape[1] * CELL, ids.shape[2] * CELL]], device=device, dtype=torch.float32)
            encoded.append(
                decoder.encode_reference(to_device(each["latents"], device)[None], upsample_tokens(ids), size)
            )
        pictures.append(encoded)
    return References.collect(pictures)
