"""How long a drawing will take here, before anything is loaded: the stages' own code on made-up weights, timed.

The layers have the sizes of the model and the shapes of the drawing. A small network is built whole; of a larger one
two short ones are timed, and the rest follows from their difference. On a CPU, layers too large even for that are timed
at a fraction of their width and on a small picture, and counted up by their arithmetic (`engine.narrow`). So the
estimate takes seconds and a few hundred megabytes for any model, and no checkpoint. It is the best of a few
repetitions: what this machine does when nothing else keeps it busy.

Of a checkpoint whose weights are mapped, rounded ones among them, its own first layers are timed (`measure_mapped`).
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn

from inkwash.core.heap import release_memory
from inkwash.engine.ar import CpuSlots, PlanSequence, Prefix, few_threads, make_slots
from inkwash.engine.denoise import DenoiseInput, Denoiser
from inkwash.engine.memory import GLYPHS, NO_CODES, NO_VISION, PROMPT_TOKENS, Forecast, ForecastInput, Sizes
from inkwash.engine.narrow import REPEATS, SHORT, StandIn, stand_in_for_ar, stand_in_for_decoder, stand_in_for_vae
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import forget_for_decode, fuse_for_decode
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import ARConfig
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.models.glm_image.schedule import schedule
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.models.weights import parameters_on_meta

WHOLE_BYTES = 2**28  # networks up to this are timed whole, and short ones of their layers
# What guesses (`engine.sampling`) leave of the time of drawing every token in a pass of its own: alone, more for each
# further picture of a call, and more for an edit, whose words have no model in the plan. Measured on nano, where it is
# 0.3 for a poster of one word and 0.5 for five lines.
GUESSED, GUESSED_MORE, GUESSED_EDIT = 0.4, 0.05, 0.3
WEIGHT = 2.0**-6  # exact in every number type
TOKENS, VAE_CELLS, COPY_BYTES = 8, 64, 2**26
CPU_COPY_BYTES = 2**25  # the host's memory holds both sides of the copy
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """Seconds of one call without offload, and bytes per second towards the device."""

    ar: float
    decoder: float
    vae: float
    copy_rate: float

    @property
    def total(self) -> float:
        return self.ar + self.decoder + self.vae

    def under(self, forecast: Forecast, work: ForecastInput) -> float:
        """Seconds under a forecast's offload profile, in which weights travel for every stage or every step."""
        w = forecast.weights
        if forecast.profile == "none":
            return self.total
        travel = (w["ar"] + w["decoder"] + (w["vision"] if work.reference else 0)) / self.copy_rate
        if forecast.profile == "stage":
            return self.total + travel
        return self.ar + self.vae + travel + max(self.decoder, (work.steps + 1) * w["blocks"] / self.copy_rate)


@torch.no_grad()
def measure_pace(
    sizes: Sizes, work: ForecastInput, *, dtype: torch.dtype, device: torch.device, trained: bool = True
) -> StageTimes:
    """Time the three stages on this device; `trained` False is a generator of random weights, which nothing guesses."""
    ar = stand_in_for_ar(sizes, work, dtype, device, WHOLE_BYTES)
    decoder = stand_in_for_decoder(sizes, work, dtype, device, WHOLE_BYTES)
    vae = stand_in_for_vae(sizes, work, dtype, device, WHOLE_BYTES)
    with cheap_collections():
        seconds = {
            "ar": _of_all_layers(
                ar, lambda layers: _ar(ar, _filled_ar(ar, dtype, device, layers), device, _tokens(work), trained)
            ),
            "decoder": _of_all_layers(
                decoder, lambda layers: _decoder(decoder, _filled_decoder(decoder, dtype, device, layers), device)
            ),
            "vae": _of_all_layers(
                vae, lambda _: _vae(_filled(lambda: AutoencoderKL(vae.sizes.vae), dtype, device), vae, device)
            ),
        }
    return StageTimes(**seconds, copy_rate=_copy_rate(device))


@torch.no_grad()
def measure_mapped(parts: GlmImageParts, work: ForecastInput, *, trained: bool = True) -> StageTimes:
    """The same on a CPU of parts whose weights are mapped: two and four of their own layers, timed as they are.

    The first block is in 16 bits, the others in what the folder holds; the last one is counted as these.
    """
    cpu, sizes = torch.device("cpu"), Sizes.of_parts(parts)
    ar, decoder, vae = (
        StandIn(sizes=sizes, work=work, layers=layers, short=SHORT if layers > SHORT[1] else None)
        for layers in (sizes.ar.text_config.num_hidden_layers, sizes.decoder.num_layers, 1)
    )

    def of_ar(layers: int) -> float:
        with _first_layers(parts.ar.model.language_model, "layers", layers):
            return _ar(ar, parts.ar, cpu, _tokens(work), trained)

    def of_decoder(layers: int) -> float:
        with _first_layers(parts.decoder, "transformer_blocks", layers):
            return _decoder(decoder, parts.decoder, cpu)

    seconds = {"ar": _of_all_layers(ar, of_ar), "decoder": _of_all_layers(decoder, of_decoder)}
    forget_for_decode(parts.ar)
    return StageTimes(**seconds, vae=_vae(parts.vae, vae, cpu), copy_rate=math.inf)


@contextmanager
def _first_layers(network: nn.Module, name: str, count: int) -> Iterator[None]:
    """Inside, a network has its first layers only."""
    layers = getattr(network, name)
    setattr(network, name, layers[:count])
    try:
        yield
    finally:
        setattr(network, name, layers)


def _of_all_layers(stand_in: StandIn, seconds: Callable[[int], float]) -> float:
    """Seconds of a network by its number of layers: timed as it is, or continued from two short ones."""
    if stand_in.short is None:
        return stand_in.times * _given_back(seconds, stand_in.layers)
    few, more = stand_in.short
    first, second = _given_back(seconds, few), _given_back(seconds, more)
    return stand_in.times * (first + max(second - first, 0.0) / (more - few) * (stand_in.layers - few))


def _given_back(seconds: Callable[[int], float], layers: int) -> float:
    """Seconds of one network, whose memory is gone before the next one is built."""
    taken = seconds(layers)
    gc.collect()  # a generator that is fused for decoding refers to itself
    release_memory()
    return taken


@contextmanager
def cheap_collections() -> Iterator[None]:
    """Inside, a collection looks only at what was made inside, not at all that importing torch has made (0.1 s)."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _tokens(work: ForecastInput) -> int:
    """How many are drawn for one picture."""
    return work.height // 32 * (work.width // 32) + (0 if work.reference else 256)


def _filled_ar(stand_in: StandIn, dtype: torch.dtype, device: torch.device, layers: int) -> ARGenerator:
    sizes = stand_in.sizes
    vocab_size = sizes.ar.text_config.vision_vocab_size  # a token's row is looked up, however many there are
    text = replace(sizes.ar.text_config, num_hidden_layers=layers, vocab_size=vocab_size + 8, pad_token_id=vocab_size)
    ids = {
        "image_token_id": vocab_size + 1,
        "image_start_token_id": vocab_size + 2,
        "image_end_token_id": vocab_size + 3,
    }
    config = ARConfig(text_config=text, vision_config=NO_VISION, vq_config=NO_CODES, **ids)
    return _filled(lambda: ARGenerator(config), dtype, device)


def _ar(stand_in: StandIn, model: ARGenerator, device: torch.device, tokens: int, trained: bool) -> float:
    """Reading one prompt, then all tokens at the cost of those in the middle; off a CPU all pictures share them."""
    work, text, dtype = stand_in.work, model.config.text_config, model.lm_head.weight.dtype
    drawn = _tokens(work)
    length = PROMPT_TOKENS + drawn // 2
    prompt = torch.zeros(1, length, dtype=torch.long, device=device)
    positions, cache = torch.zeros(3, 1, length, dtype=torch.long, device=device), model.make_cache(1, length)

    def read(tokens: int) -> None:
        model(prompt[:, :tokens], positions[..., :tokens], cache=cache)

    read(length)
    prefix = Prefix(
        cache=cache,
        length=length,
        logits=torch.zeros(1, text.vision_vocab_size, dtype=dtype, device=device),
        positions=torch.zeros(3, drawn + 1, dtype=torch.long, device=device),
        tokens=drawn,
    )
    slots = make_slots(model, fuse_for_decode(model), work.pictures)
    sequences = [PlanSequence(prefix, torch.full((drawn,), 0.5), Sampling(top_k=32)) for _ in range(work.pictures)]
    for sequence in sequences:
        slots.join(sequence)

    count = min(TOKENS, (drawn - 1) // (stand_in.repeats + 1))  # in one repetition

    def draw() -> None:
        for _ in range(count):
            slots.advance(sequences)

    with few_threads(model):
        token = best(draw, device, repeats=stand_in.repeats) / max(count, 1)
    if trained and isinstance(slots, CpuSlots) and slots.rows.shares:
        share = GUESSED + GUESSED_MORE * (work.pictures - 1) + (GUESSED_EDIT if work.reference else 0.0)
        token *= min(share, 1.0)
    return best(lambda: read(PROMPT_TOKENS), device, repeats=stand_in.repeats) + tokens * token


def _filled_decoder(stand_in: StandIn, dtype: torch.dtype, device: torch.device, layers: int) -> Decoder:
    decoder = _filled(lambda: Decoder(replace(stand_in.sizes.decoder, num_layers=layers)), dtype, device)
    fuse_qkv(decoder)
    return decoder


def _decoder(stand_in: StandIn, decoder: Decoder, device: torch.device) -> float:
    """Preparing the pictures once, then every step at the cost of the first."""
    sizes, work, dtype = stand_in.sizes, stand_in.work, decoder.image_projector.proj.weight.dtype
    cells = work.height // sizes.vae.scale_factor, work.width // sizes.vae.scale_factor
    tokens = cells[0] // 2 * (cells[1] // 2)
    glyphs = torch.zeros(GLYPHS, sizes.decoder.text_embed_dim, dtype=dtype, device=device)
    ids = torch.zeros(tokens, dtype=torch.long, device=device)
    keys = []
    if work.reference is not None:
        grid = work.reference[0] // sizes.vae.scale_factor, work.reference[1] // sizes.vae.scale_factor
        latent = torch.zeros(1, sizes.decoder.in_channels, *grid, device=device)
        own_ids = torch.zeros(1, grid[0] // 2 * (grid[1] // 2), dtype=torch.long, device=device)
        keys = [decoder.encode_reference(latent, own_ids, torch.zeros(1, 2, device=device))]
    picture = DenoiseInput(prior_ids=ids, glyphs=glyphs, no_glyphs=glyphs[:2], references=tuple(keys))
    rows = 1 if device.type == "cpu" else work.pictures
    denoiser = Denoiser(
        decoder=decoder,
        schedule=schedule(sizes.scheduler, tokens, work.steps),
        guidance_scale=1.5 if work.guidance else 1.0,
        size=(work.height, work.width),
        pictures_per_pass=rows,
    )
    prepared = best(lambda: denoiser.prepare([picture] * rows, cells), device, repeats=1)
    latents = torch.zeros(rows, sizes.decoder.in_channels, *cells, device=device)
    once = best(
        lambda: denoiser.velocity_of(denoiser.passes[0], latents, 0, work.guidance), device, repeats=stand_in.repeats
    )
    return (prepared + once * work.steps) * (work.pictures // rows)


def _vae(vae: AutoencoderKL, stand_in: StandIn, device: torch.device) -> float:
    sizes, work, dtype = stand_in.sizes, stand_in.work, next(vae.parameters()).dtype
    scale = sizes.vae.scale_factor
    cells = min(work.height // scale, VAE_CELLS), min(work.width // scale, VAE_CELLS)
    latents = torch.zeros(1, sizes.vae.latent_channels, *cells, dtype=dtype, device=device)
    once = best(lambda: vae.decode(latents), device, repeats=1)
    return once * work.pictures * work.height * work.width / (cells[0] * cells[1] * scale**2)


def _filled(build: Callable[[], N], dtype: torch.dtype, device: torch.device) -> N:
    """A network with one number in all its weights: random ones take a quarter of all the time of an estimate."""
    with parameters_on_meta(), torch.device(device):
        network = build().to(dtype)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            weights = torch.full(parameter.shape, WEIGHT, dtype=dtype, device=device)
            setattr(module, name, nn.Parameter(weights, requires_grad=False))
    return network.eval()


def _copy_rate(device: torch.device) -> float:
    size = CPU_COPY_BYTES if device.type == "cpu" else COPY_BYTES
    host = torch.empty(size, dtype=torch.uint8)
    if device.type == "cuda":
        host = host.pin_memory()
    return size / best(lambda: host.to(device, copy=True), device)


def best(work: Callable[[], object], device: torch.device, *, repeats: int = REPEATS) -> float:
    """Seconds of the fastest of a few calls, after one that is not counted."""
    seconds = []
    for _ in range(repeats + 1):
        _wait(device)
        before = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - before)
    return min(seconds[1:])


def _wait(device: torch.device) -> None:
    if device.type not in ("cpu", "meta"):
        torch.accelerator.synchronize(device)
