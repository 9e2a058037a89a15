"""The released sizes with random weights made directly on the device: no 35 GB file is needed to measure a machine.

    python -m bench.released                     # on a GPU: 1024x1024, 50 steps, bf16, exact
    python -m bench.released --side 512 --pictures 4 --reference 1024 --write
    python -m bench.released --tiny              # the same code on a small model, anywhere

Time of a picture does not depend on the values of the weights. The floors are measured in the same run: bandwidth by
reading a large tensor, arithmetic by a large matrix product. AR floor: its weights read once for each token; decoder
floor: 2 x parameters x tokens x passes. Predicted peak memory and time stand beside the measured ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from bench import sheet

from inkwash.core.device import pick_device
from inkwash.engine.ar import Prefix, Row, sample_plans
from inkwash.engine.denoise import DenoiseInput, Denoiser
from inkwash.engine.memory import GLYPHS, PROMPT_TOKENS, ForecastInput, Sizes, forecast
from inkwash.engine.offload import PROFILES, put
from inkwash.engine.output import decode_latents
from inkwash.engine.pace import best, measure_pace
from inkwash.engine.request import Watch
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import ARGenerator, decode_positions
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv
from inkwash.models.glm_image.schedule import schedule
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.weights import parameters_on_meta
from inkwash.recipes import sizes

H200_BYTES, H200_OPERATIONS = 4.3e12, 0.79e15  # attainable, as published for this machine
AR_SHARE, DECODER_SHARE = 0.70, 0.55  # of the floors, what is aimed at
N = TypeVar("N", bound=torch.nn.Module)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of the three stages, the share of the floor that two of them reach, and the peak on the device."""

    ar: float
    decoder: float
    vae: float
    ar_of_floor: float
    decoder_of_floor: float
    peak: int


def tiny() -> Sizes:
    """Nano's sizes: small enough for a test on any machine."""
    return Sizes(
        ar=sizes.ar_config(5000, pad_id=4300, image_id=4301),
        decoder=sizes.DECODER,
        vae=sizes.VAE,
        glyph=sizes.GLYPH,
        scheduler=sizes.SCHEDULER,
    )


def random_weights(build: Callable[[], N], device: torch.device, dtype: torch.dtype) -> N:
    """A network whose parameters are made on the device itself, one by one."""
    with parameters_on_meta():
        network = build()
    for name, parameter in list(network.named_parameters()):
        put(network, name, torch.empty(parameter.shape, dtype=dtype, device=device).normal_(0, 0.02))
    for name, buffer in list(network.named_buffers()):
        put(network, name, buffer.to(device))
    return network.eval()


@torch.no_grad()
def measure(sizes: Sizes, work: ForecastInput, device: torch.device, dtype: torch.dtype) -> Measured:
    """Draw once with each stage resident alone, as the profile `stage` does; first calls are not counted."""
    matmul, bandwidth = rates(device, dtype, sizes.decoder.width)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ar = random_weights(lambda: ARGenerator(sizes.ar), device, dtype)
    text = read_weights(ar)
    seconds = {"ar": timed(partial(plan, ar, work), device)}
    drawn = work.height // 32 * (work.width // 32) + (0 if work.reference else 256)
    del ar
    decoder = random_weights(lambda: Decoder(sizes.decoder), device, dtype)
    fuse_qkv(decoder)
    cells = work.height // sizes.vae.scale_factor, work.width // sizes.vae.scale_factor
    shape = (work.pictures, sizes.decoder.in_channels, *cells)
    latents = torch.zeros(shape, device=device)
    seconds["decoder"] = timed(partial(denoise, decoder, sizes, work, latents), device)
    blocks = used_weights(decoder)
    tokens = cells[0] * cells[1] // 4 + GLYPHS
    flops = 2 * blocks * tokens * 2 * work.steps * work.pictures
    del decoder
    vae = random_weights(lambda: AutoencoderKL(sizes.vae), device, dtype)
    seconds["vae"] = timed(partial(decode_latents, vae, latents), device)
    rows = 1 if device.type != "cpu" else work.pictures  # rows of a batch share one reading of the weights
    return Measured(
        ar=seconds["ar"],
        decoder=seconds["decoder"],
        vae=seconds["vae"],
        ar_of_floor=drawn * rows * text * dtype.itemsize / bandwidth / seconds["ar"],
        decoder_of_floor=flops / matmul / seconds["decoder"],
        peak=torch.cuda.max_memory_allocated() if device.type == "cuda" else 0,
    )


def plan(ar: ARGenerator, work: ForecastInput) -> None:
    """Read a prompt of random ids and sample the plans of all pictures from it."""
    device = ar.lm_head.weight.device
    ids = torch.randint(0, ar.config.text_config.vision_vocab_size, (1, PROMPT_TOKENS), device=device)
    places = torch.arange(PROMPT_TOKENS, device=device).expand(3, 1, -1)
    cache = ar.make_cache(1, PROMPT_TOKENS)
    hidden = ar(ids, places, cache=cache)
    grids = [(work.height // 32, work.width // 32)]
    if work.reference is None:
        grids.insert(0, (16, 16))
    tokens = sum(rows * columns for rows, columns in grids)
    prefix = Prefix(
        cache=cache,
        length=PROMPT_TOKENS,
        logits=ar.lm_head(hidden[:, -1]),
        positions=decode_positions(PROMPT_TOKENS, grids),
        tokens=tokens,
    )
    rows = [Row(prefix, torch.rand(tokens)) for _ in range(work.pictures)]
    sample_plans(ar, fuse_for_decode(ar), rows, Sampling(), Watch())


def denoise(decoder: Decoder, sizes: Sizes, work: ForecastInput, latents: torch.Tensor) -> None:
    """Prepare and take all steps, guided, with the references' keys where there are any."""
    device, dtype = latents.device, decoder.proj_out.weight.dtype
    cells = latents.shape[2] // 2 * (latents.shape[3] // 2)
    keys = []
    if work.reference is not None:
        own = work.reference[0] // sizes.vae.scale_factor, work.reference[1] // sizes.vae.scale_factor
        latent = torch.zeros(1, sizes.decoder.in_channels, *own, device=device)
        own_ids = torch.zeros(1, own[0] * own[1] // 4, dtype=torch.long, device=device)
        keys = [decoder.encode_reference(latent, own_ids, torch.ones(1, 2, device=device))]
    glyphs = torch.zeros(GLYPHS, sizes.decoder.text_embed_dim, dtype=dtype, device=device)
    picture = DenoiseInput(
        prior_ids=torch.zeros(cells, dtype=torch.long, device=device),
        glyphs=glyphs,
        no_glyphs=glyphs[:2],
        references=tuple(keys),
    )
    denoiser = Denoiser(
        decoder=decoder,
        schedule=schedule(sizes.scheduler, cells, work.steps),
        guidance_scale=1.5,
        size=(work.height, work.width),
    )
    denoiser.prepare([picture] * work.pictures, (latents.shape[2], latents.shape[3]))
    denoiser.run(latents, Watch())


def rates(device: torch.device, dtype: torch.dtype, width: int) -> tuple[float, float]:
    """Operations and bytes a second: a product as wide as the decoder's, and a sum over a large tensor."""
    side = max(width, 512)
    a = torch.randn(side, side, device=device).to(dtype)
    large = torch.zeros(2**26 if device.type == "cpu" else 2**31, dtype=torch.uint8, device=device).view(torch.int64)
    return 2 * side**3 / best(lambda: a @ a, device), large.nbytes / best(large.max, device)


def timed(work: Callable[[], object], device: torch.device) -> float:
    return best(work, device, repeats=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--reference", type=int, default=None, help="side of one reference picture")
    parser.add_argument("--tiny", action="store_true", help="nano's sizes, to see the script run")
    parser.add_argument("--predict", action="store_true", help="only what can be said without running")
    parser.add_argument("--device", default=None)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    device = torch.device("cpu") if given.predict else pick_device(given.device)
    sizes = tiny() if given.tiny else Sizes.released()
    reference = None if given.reference is None else (given.reference, given.reference)
    work = ForecastInput(
        height=given.side, width=given.side, steps=given.steps, pictures=given.pictures, reference=reference
    )
    dtype = torch.float32 if given.tiny and device.type == "cpu" else torch.bfloat16
    body = report(sizes, work, device, dtype, run=not given.predict)
    print(body)
    if given.write:
        print(sheet.write("released-prediction" if given.predict else f"released-{given.side}", body, device))


def floors(sizes: Sizes, work: ForecastInput, dtype: torch.dtype) -> str:
    """What one H200 needs at least by its data sheet's attainable rates, and under the shares that are aimed at."""
    with parameters_on_meta():
        ar, decoder = ARGenerator(sizes.ar), Decoder(sizes.decoder)
    drawn = work.height // 32 * (work.width // 32) + (0 if work.reference else 256)
    tokens = (work.height // 16) * (work.width // 16) + GLYPHS
    ar_floor = drawn * read_weights(ar) * dtype.itemsize / H200_BYTES
    decoder_floor = 2 * used_weights(decoder) * tokens * 2 * work.steps * work.pictures / H200_OPERATIONS
    rows = [
        ("AR", f"{ar_floor:.1f}", f"{AR_SHARE:.0%}", f"{ar_floor / AR_SHARE:.1f}"),
        ("decoder", f"{decoder_floor:.1f}", f"{DECODER_SHARE:.0%}", f"{decoder_floor / DECODER_SHARE:.1f}"),
    ]
    said = f"Floors of one H200 ({H200_BYTES / 1e12:.1f} TB/s, {H200_OPERATIONS / 1e15:.2f} PFLOP/s), not measured:"
    return f"{said}\n\n{sheet.table(('stage', 'floor, s', 'share aimed at', 'then, s'), rows)}"


def read_weights(ar: ARGenerator) -> int:
    """Numbers that every token reads: all layers and the head."""
    layers = sum(parameter.numel() for parameter in ar.model.language_model.layers.parameters())
    return layers + ar.lm_head.weight.numel()


def used_weights(decoder: Decoder) -> int:
    """Numbers that every token is multiplied with in a step: the blocks without their AdaLN."""
    names = ((name, parameter.numel()) for name, parameter in decoder.transformer_blocks.named_parameters())
    return sum(count for name, count in names if ".norm1." not in name)


def report(sizes: Sizes, work: ForecastInput, device: torch.device, dtype: torch.dtype, *, run: bool) -> str:
    """Markdown: predicted peaks by profile, and, where it runs, what was measured."""
    rows = []
    for profile in PROFILES:
        made = forecast(sizes, work, dtype=dtype, device=torch.device("cuda"), profile=profile)
        rows.append((profile, *(f"{made.stages[stage] / 1e9:.2f}" for stage in ("ar", "decoder", "vae"))))
    head = ("offload", "AR stage, GB", "decoder, GB", "VAE, GB")
    said = f"{work.width}x{work.height}, {work.steps} steps, {work.pictures} picture(s), {dtype}, reference "
    body = f"{said}{work.reference or 'none'}.\n\nPredicted peaks on a GPU:\n\n{sheet.table(head, rows)}"
    if not run:
        return f"{body}\n\n{floors(sizes, work, dtype)}"
    pace = measure_pace(sizes, work, dtype=dtype, device=device)
    got = measure(sizes, work, device, dtype)
    measured = [
        ("AR", f"{pace.ar:.2f}", f"{got.ar:.2f}", f"{got.ar_of_floor:.0%}"),
        ("decoder", f"{pace.decoder:.2f}", f"{got.decoder:.2f}", f"{got.decoder_of_floor:.0%}"),
        ("VAE", f"{pace.vae:.2f}", f"{got.vae:.2f}", ""),
        ("all", f"{pace.total:.2f}", f"{got.ar + got.decoder + got.vae:.2f}", ""),
    ]
    head = ("stage", "predicted, s", "measured, s", "of the floor")
    peak = f"\n\nPeak on the device, one stage resident at a time: {got.peak / 1e9:.2f} GB." if got.peak else ""
    return f"{body}\n\n{sheet.table(head, measured)}{peak}"


if __name__ == "__main__":
    main()
