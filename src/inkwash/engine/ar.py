"""The first stage: the AR generator plans each picture, one semantic token per 32 x 32 pixels.

Every prompt is read once (prefill), however many plans are sampled from it; rows of different prompt lengths, sizes and
references then decode together, each in a slot of its own and each from its own generator (`slots.py`). The number of
tokens is known beforehand and only codes can be drawn, so no plan ends early and the end token is never computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from inkwash.core.device import one_thread
from inkwash.core.errors import RequestError
from inkwash.engine.offload import give_back_memory
from inkwash.engine.reference_cache import ReferenceCache
from inkwash.engine.request import Watch
from inkwash.engine.sampling import GENERATOR, Sampling, Trace
from inkwash.engine.slots import CpuSlots, Prefix, Slots
from inkwash.engine.slots import Sequence as PlanSequence
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm.decode_cpu import RowDecoder
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.positions import decode_positions, prompt_positions
from inkwash.models.glm_image.processor import ImagePrompt
from inkwash.nn.finite import check_finite, check_logits

SLOTS = 8  # plans that one call draws at once
ONE_THREAD_BYTES = 2**28  # generators below this spend their steps between kernels, where a second thread only costs


@dataclass(frozen=True)
class Row:
    """One plan to sample: from which prompt, with which numbers."""

    prefix: Prefix
    uniforms: Tensor  # (tokens,) on the CPU
    trace: Trace | None = None  # filled with what could have been drawn; on a CPU only


def reference_codes(model: ARGenerator, prompt: ImagePrompt, cache: ReferenceCache | None = None) -> list[Tensor]:
    """Semantic tokens (rows * columns,) of each reference picture."""
    weight = model.lm_head.weight

    def encode(pixels: Tensor) -> Tensor:
        features = model.model.visual(pixels[None].to(weight.device, weight.dtype))
        return model.model.vqmodel.encode(check_finite("The vision encoder", features))[0]

    if cache is None:
        return [encode(reference.pixels) for reference in prompt.references]
    return [cache.get("codes", (each.pixels,), partial(encode, each.pixels)) for each in prompt.references]


@torch.no_grad()
def read_prompt(model: ARGenerator, prompt: ImagePrompt, codes: Sequence[Tensor]) -> Prefix:
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
    edited = tuple(codes[0].tolist()) if grids and grids[0] == prompt.target else ()
    cache = model.make_cache(1, len(ids))
    hidden = model(ids[None].to(device), positions[:, None].to(device), cache=cache)
    return Prefix(
        cache=cache,
        length=len(ids),
        logits=check_logits(GENERATOR, model.lm_head(hidden[:, -1])),
        positions=decode_positions(start, drawn),
        tokens=prompt.drawn_tokens,
        grids=tuple(drawn),
        edited=edited,
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
    """Tokens (preview and target) of every row, on the CPU; at most `rows_per_pass` rows (None: 8) share a step."""
    slots = make_slots(model, decoder, min(len(rows), rows_per_pass or SLOTS))
    return fill_plans(model, slots, rows, sampling, watch)


def fill_plans(model: ARGenerator, slots: Slots, rows: Sequence[Row], sampling: Sampling, watch: Watch) -> list[Tensor]:
    """The same in given slots, however many."""
    watch.begin("prior", sum(row.prefix.tokens for row in rows))
    waiting = [PlanSequence(row.prefix, row.uniforms, sampling, trace=row.trace) for row in rows][::-1]
    active: list[PlanSequence] = []
    plans: dict[int, Tensor] = {}
    order = {id(sequence): number for number, sequence in enumerate(reversed(waiting))}
    with few_threads(model):
        while waiting or active:
            while waiting and slots.free:
                slots.join(waiting[-1])
                active.append(waiting.pop())
                watch.advance()
            for sequence in [each for each in active if each.finished]:
                plans[order[id(sequence)]] = slots.plan(sequence)
                slots.leave(sequence)
                active.remove(sequence)
            if active:
                watch.advance(slots.advance(active))
    return [plans[number] for number in range(len(rows))]


def few_threads(model: ARGenerator) -> AbstractContextManager[None]:
    """One thread for the steps of a small generator on a CPU; the number does not change what is drawn."""
    layers = model.model.language_model.layers.parameters()
    small = sum(each.numel() * each.element_size() for each in layers) < ONE_THREAD_BYTES
    return one_thread(model.lm_head.weight.device) if small else nullcontext()


def make_slots(model: ARGenerator, step: StepDecoder, slots: int) -> Slots:
    """The kind of slots that fits the model's device."""
    if model.lm_head.weight.device.type == "cpu":
        if step.rows is None:
            step.rows = RowDecoder(step)
            give_back_memory(model.lm_head.weight.device)  # packing leaves as much freed as it keeps
        return CpuSlots(model, step.rows, slots)
    from inkwash.engine.device_slots import DeviceSlots  # accelerators only

    return DeviceSlots(model, step, slots)
