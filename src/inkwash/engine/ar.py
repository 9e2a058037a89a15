"""The first stage: the AR generator plans each picture, one semantic token per 32 x 32 pixels.

Every prompt is read once (prefill), however many plans are sampled from it; rows of different prompt lengths and
references then decode together on one static cache, each at its own place, each from its own generator. The number
of tokens is known beforehand and only codes can be drawn, so no plan ends early and the end token is never computed.

On a CPU rows run one after another by default: matrix kernels there round differently for one row and for several
(docs/numerics.md), and a picture must not change with its batch mates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine.request import Watch
from inkwash.engine.sampling import Sampling, choose
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.ar_step import StepDecoder
from inkwash.models.glm_image.positions import decode_positions, prompt_positions, stack_plans
from inkwash.models.glm_image.processor import Prompt
from inkwash.nn.cache import StaticCache


@dataclass(frozen=True)
class Prefix:
    """A prompt that was read: its cache (one row), the logits of the first token and the plan's positions."""

    cache: StaticCache
    length: int
    logits: Tensor  # (1, vision vocabulary)
    positions: Tensor  # (3, tokens + 1)
    tokens: int


@dataclass(frozen=True)
class Row:
    """One plan to sample: from which prompt, with which numbers."""

    prefix: Prefix
    uniforms: Tensor  # (tokens,) on the CPU


def reference_codes(model: ARGenerator, prompt: Prompt) -> list[Tensor]:
    """Semantic tokens (rows * columns,) of each reference picture."""
    weight = model.lm_head.weight
    return [
        model.image_ids(reference.pixels[None].to(weight.device, weight.dtype))[0] for reference in prompt.references
    ]


@torch.no_grad()
def read_prompt(model: ARGenerator, prompt: Prompt, codes: Sequence[Tensor]) -> Prefix:
    """Prefill one prompt whose image placeholders are filled with the references' codes."""
    config, device = model.config, model.lm_head.weight.device
    ids = fill_placeholders(prompt.ids, codes, config.image_token_id)
    longest = config.text_config.max_position_embeddings
    if len(ids) + prompt.drawn_tokens > longest:
        raise RequestError(
            f"The prompt takes {len(ids)} tokens and the picture {prompt.drawn_tokens}, more than the context of "
            f"{longest}: shorten the prompt, or use fewer or smaller references.",
            code="prompt_too_long",
            param="prompt",
        )
    marks = {"image_start": config.image_start_token_id, "image_end": config.image_end_token_id}
    starts = sum(int(token) == marks["image_start"] for token in ids)
    ends = sum(int(token) == marks["image_end"] for token in ids)
    if ends != len(codes) or starts != ends + 1:
        raise RequestError("The prompt contains a control token of the image vocabulary: remove it.", param="prompt")
    grids = [reference.grid for reference in prompt.references]
    positions, start = prompt_positions(ids.tolist(), grids, **marks)
    drawn = [prompt.target] if prompt.preview is None else [prompt.preview, prompt.target]
    cache = model.make_cache(1, len(ids))
    hidden = model(ids[None].to(device), positions[:, None].to(device), cache=cache)
    return Prefix(
        cache=cache,
        length=len(ids),
        logits=model.lm_head(hidden[:, -1]),
        positions=decode_positions(start, drawn),
        tokens=prompt.drawn_tokens,
    )


def fill_placeholders(ids: Tensor, codes: Sequence[Tensor], placeholder: int) -> Tensor:
    """Prompt ids with the image placeholders replaced, in order, by the references' codes."""
    holes = ids == placeholder
    if int(holes.sum()) != sum(len(each) for each in codes):
        raise RequestError("The prompt contains an image placeholder token: remove it.", param="prompt")
    if not codes:
        return ids
    return ids.masked_scatter(holes, torch.cat(list(codes)).to(ids))


def sample_plans(
    model: ARGenerator,
    decoder: StepDecoder,
    rows: Sequence[Row],
    sampling: Sampling,
    watch: Watch,
    *,
    rows_per_pass: int | None = None,
) -> list[Tensor]:
    """Tokens (preview and target) of every row, on the CPU; `rows_per_pass` None is 1 on a CPU, all elsewhere."""
    if rows_per_pass is None:
        rows_per_pass = 1 if model.lm_head.weight.device.type == "cpu" else len(rows)
    watch.begin("prior", sum(row.prefix.tokens for row in rows))
    plans: dict[int, Tensor] = {}
    for group in _passes(rows, rows_per_pass):
        tokens = _decode(model, decoder, [rows[number] for number in group], sampling, watch)
        plans.update(zip(group, tokens, strict=True))
    return [plans[number] for number in range(len(rows))]


def _passes(rows: Sequence[Row], size: int) -> list[list[int]]:
    """Row numbers in groups of at most `size` that draw equally many tokens."""
    by_length: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        by_length.setdefault(row.prefix.tokens, []).append(number)
    return [group[at : at + size] for group in by_length.values() for at in range(0, len(group), size)]


@torch.no_grad()
def _decode(
    model: ARGenerator, decoder: StepDecoder, rows: Sequence[Row], sampling: Sampling, watch: Watch
) -> list[Tensor]:
    """The token loop of one pass: choose, feed back, repeat; (tokens,) for each row."""
    device = model.lm_head.weight.device
    vocabulary = model.config.vq_config.num_embeddings if sampling.codes_only else model.lm_head.weight.shape[0]
    tokens = rows[0].prefix.tokens
    cache, mask = _join(model, rows)
    starts = torch.tensor([row.prefix.length for row in rows], device=device)
    tables = decoder.plan_tables(stack_plans([row.prefix.positions for row in rows]).to(device))
    uniforms = torch.stack([row.uniforms for row in rows], dim=1).to(device)  # (tokens, B)
    logits = torch.cat([row.prefix.logits for row in rows])
    drawn = torch.empty(tokens, len(rows), dtype=torch.long, device=device)
    for index in range(tokens):
        drawn[index] = choose(logits[:, :vocabulary], uniforms[index], sampling)
        watch.advance(len(rows))
        if index + 1 == tokens:
            break
        if mask is None:
            logits = decoder.step(drawn[index], tables, index, cache, rows[0].prefix.length + index)
        else:
            here = starts + index
            mask.scatter_(1, here[:, None], 0.0)
            logits = decoder.step(drawn[index], tables, index, cache, here, mask)
    return list(drawn.T.cpu())


def _join(model: ARGenerator, rows: Sequence[Row]) -> tuple[StaticCache, Tensor | None]:
    """One cache for all rows, and an additive mask (B, S) of what is written if their prompts differ in length."""
    lengths = [row.prefix.length for row in rows]
    cache = model.make_cache(len(rows), max(lengths) + rows[0].prefix.tokens)
    for number, row in enumerate(rows):
        cache.k[:, number, :, : lengths[number]] = row.prefix.cache.k[:, 0]
        cache.v[:, number, :, : lengths[number]] = row.prefix.cache.v[:, 0]
    if len(set(lengths)) == 1:
        return cache, None
    places = torch.arange(cache.max_length, device=cache.k.device)
    written = places < torch.tensor(lengths, device=cache.k.device)[:, None]
    mask = torch.zeros(written.shape, dtype=cache.k.dtype, device=cache.k.device)
    return cache, mask.masked_fill_(~written, torch.finfo(cache.k.dtype).min)
