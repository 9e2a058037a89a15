"""How long a drawing will take here, before anything is loaded: two layers of random weights, timed and multiplied.

The layers have the sizes of the model and the shapes of the drawing, so the estimate needs a fraction of the memory and
no checkpoint. It is the best of a few repetitions: what this machine does when nothing else keeps it busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from inkwash.engine.denoise import Denoiser, Picture
from inkwash.engine.memory import GLYPHS, PROMPT_TOKENS, Forecast, Sizes, Work
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.ar_step import fuse_for_decode
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.models.glm_image.schedule import schedule
from inkwash.models.glm_image.vae import AutoencoderKL

LAYERS, TOKENS, VAE_CELLS, COPY_BYTES = 2, 8, 32, 2**26


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds of one call without offload, and bytes per second towards the device."""

    ar: float
    decoder: float
    vae: float
    copy_rate: float

    @property
    def total(self) -> float:
        return self.ar + self.decoder + self.vae

    def under(self, forecast: Forecast, work: Work) -> float:
        """Seconds under a forecast's offload profile, in which weights travel for every stage or every step."""
        w = forecast.weights
        if forecast.profile == "none":
            return self.total
        travel = (w["ar"] + w["decoder"] + (w["vision"] if work.reference else 0)) / self.copy_rate
        if forecast.profile == "stage":
            return self.total + travel
        return self.ar + self.vae + travel + max(self.decoder, (work.steps + 1) * w["blocks"] / self.copy_rate)


@torch.no_grad()
def measure_pace(sizes: Sizes, work: Work, *, dtype: torch.dtype, device: torch.device) -> Pace:
    """Time the three stages on this device."""
    return Pace(
        ar=_ar(sizes, work, dtype, device),
        decoder=_decoder(sizes, work, dtype, device),
        vae=_vae(sizes, work, dtype, device),
        copy_rate=_copy_rate(device),
    )


def _ar(sizes: Sizes, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    """Tokens times (the head, and one layer times their number), for all pictures in one batch off a CPU."""
    codes = sizes.ar.text_config.vision_vocab_size  # a token's row is looked up, however many there are
    text = replace(sizes.ar.text_config, num_hidden_layers=LAYERS, vocab_size=codes + 8, pad_token_id=codes)
    vision = replace(sizes.ar.vision_config, depth=1)
    config = replace(sizes.ar, text_config=text, vision_config=vision, image_token_id=codes + 1)
    with torch.device(device):
        model = ARGenerator(config).to(dtype).eval()
    rows = 1 if device.type == "cpu" else work.pictures
    drawn = work.height // 32 * (work.width // 32) + (0 if work.reference else 256)
    middle = PROMPT_TOKENS + drawn // 2
    step = fuse_for_decode(model)
    cache = model.make_cache(rows, middle + TOKENS)
    tables = step.plan_tables(torch.zeros(3, rows, TOKENS, dtype=torch.long, device=device))
    ids = torch.zeros(rows, dtype=torch.long, device=device)

    def tokens() -> None:
        for index in range(TOKENS):
            step.step(ids, tables, index, cache, middle + index)

    hidden = torch.zeros(rows, text.hidden_size, dtype=dtype, device=device)
    head = best(lambda: F.linear(hidden, step.head), device)
    layer = max(best(tokens, device) / TOKENS - head, 0.0) / LAYERS
    calls = drawn * (work.pictures if device.type == "cpu" else 1)
    return calls * (head + layer * sizes.ar.text_config.num_hidden_layers)


def _decoder(sizes: Sizes, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    with torch.device(device):
        decoder = Decoder(replace(sizes.decoder, num_layers=LAYERS)).to(dtype).eval()
    fuse_qkv(decoder)
    cells = work.height // sizes.vae.scale_factor, work.width // sizes.vae.scale_factor
    tokens = cells[0] // 2 * (cells[1] // 2)
    glyphs = torch.zeros(GLYPHS, sizes.decoder.text_embed_dim, dtype=dtype, device=device)
    ids = torch.zeros(tokens, dtype=torch.long, device=device)
    keys = []
    if work.reference is not None:
        own = work.reference[0] // sizes.vae.scale_factor, work.reference[1] // sizes.vae.scale_factor
        latent = torch.zeros(1, sizes.decoder.in_channels, *own, device=device)
        own_ids = torch.zeros(1, own[0] // 2 * (own[1] // 2), dtype=torch.long, device=device)
        keys = [decoder.encode_reference(latent, own_ids, torch.zeros(1, 2, device=device))]
    picture = Picture(prior_ids=ids, glyphs=glyphs, no_glyphs=glyphs[:2], references=tuple(keys))
    rows = 1 if device.type == "cpu" else work.pictures
    denoiser = Denoiser(
        decoder=decoder,
        schedule=schedule(sizes.scheduler, tokens, work.steps),
        guidance_scale=1.5 if work.guidance else 1.0,
        size=(work.height, work.width),
        pictures_per_pass=rows,
    )
    denoiser.prepare([picture] * rows, cells)
    latents = torch.zeros(rows, sizes.decoder.in_channels, *cells, device=device)
    once = best(lambda: decoder.step(latents, denoiser.passes[0].rows, 0), device)
    return once / LAYERS * sizes.decoder.num_layers * work.steps * (work.pictures // rows)


def _vae(sizes: Sizes, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    with torch.device(device):
        vae = AutoencoderKL(sizes.vae).to(dtype).eval()
    scale = sizes.vae.scale_factor
    cells = min(work.height // scale, VAE_CELLS), min(work.width // scale, VAE_CELLS)
    latents = torch.zeros(1, sizes.vae.latent_channels, *cells, dtype=dtype, device=device)
    once = best(lambda: vae.decode(latents), device, repeats=2)
    return once * work.pictures * work.height * work.width / (cells[0] * cells[1] * scale**2)


def _copy_rate(device: torch.device) -> float:
    host = torch.empty(COPY_BYTES, dtype=torch.uint8)
    if device.type == "cuda":
        host = host.pin_memory()
    return COPY_BYTES / best(lambda: host.to(device, copy=True), device)


def best(work: Callable[[], object], device: torch.device, *, repeats: int = 3) -> float:
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
