"""How much of this machine's own bf16 matmul rate a training step of nano reaches: AR generator and decoder.

    python bench/train_step.py [--threads 2] [--repeats 12] [--compile]

A step is everything between two batches: forward, backward, clipping, Muon and AdamW, the averaged weights. Its
arithmetic is what torch's own counter counts in the forward and the backward pass; the optimiser's products count
nothing. The matmul rate is the best of square bf16 products of side 512, 1024 and 2048 on the same threads, taken
between the steps. On a machine that has other work, wall time measures that work, too: with one thread the percentage
is therefore also given by CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from inkwash.core.device import set_threads
from inkwash.core.heap import hold_memory
from inkwash.models.glm_image import ar, decoder, glyph
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.recipes import sizes
from inkwash.train.ar import ARBatch, ar_loss
from inkwash.train.decoder import DecoderTraining, FrozenParts, velocity_loss
from inkwash.train.device import autocast, matmul_rate, to_device
from inkwash.train.optim import EMA, clear_gradients, make_optimizers, update

CPU = torch.device("cpu")
Step = Callable[[], Tensor]


def ar_generator() -> ARGenerator:
    model = ARGenerator(sizes.ar_config(6400, pad_id=4300, image_id=4301))
    ar.init_weights(model)
    for frozen in (model.model.visual, model.model.vqmodel):
        frozen.requires_grad_(False)
    return model


def ar_step(model: ARGenerator, rows: int = 16, length: int = 192, plan: int = 65) -> Step:
    """16 prompts of about 120 tokens with plans for 256 x 256 px, padded to 192 tokens."""
    ids = torch.randint(4096, (rows, length))
    weight = torch.zeros(rows, length)
    weight[:, length - 8 - plan : length - 8] = 1.0
    positions = torch.arange(length).expand(3, rows, length).contiguous()
    batch = ARBatch(ids=ids, positions=positions, targets=ids.roll(-1, 1), weight=weight)
    return lambda: ar_loss(model, batch, CPU)[0]


def decoder_step(model: Decoder, glyphs: GlyphEncoder, pictures: int = 8) -> Step:
    """8 pictures of 256 x 256 px whose latents and tokens are there already."""
    latents = torch.randn(pictures, sizes.LATENT_CHANNELS, 32, 32)
    ids = torch.randint(sizes.CODES, (pictures, 8, 8))
    config = DecoderTraining(steps=1)
    texts = [["HELLO", "WORLD"]] * pictures
    return lambda: velocity_loss(model, glyphs, latents, ids, texts, config, sizes.SCHEDULER)


def measure(
    name: str, loss: Step, trained: list[nn.Module], marker: str, ns_steps: int, args: argparse.Namespace
) -> None:
    optimizers = make_optimizers(trained, lr=1e-4, muon_marker=marker, ns_steps=ns_steps)
    average = EMA(trained, 0.998)
    parameters = [p for module in trained for p in module.parameters() if p.requires_grad]

    def step() -> None:
        clear_gradients(optimizers)
        loss().backward()
        update(optimizers, parameters)
        average.update()

    with FlopCounterMode(display=False) as counter:
        loss().backward()
    flops = counter.get_total_flops()
    if args.compile:
        blocks = [
            block
            for module in trained
            for name, group in module.named_modules()
            if f"{name}.".endswith(marker)
            for block in group.children()
        ]
        assert blocks, f"nothing called {marker} to compile"
        for block in blocks:
            block.compile(dynamic=False)
    step(), step()
    wall, cpu, peak = float("inf"), float("inf"), 0.0
    for _ in range(args.repeats):
        peak = max(peak, *(matmul_rate(CPU, side=side, repeats=3) for side in (512, 1024, 2048)))
        begin, busy = time.perf_counter(), time.process_time()
        step()
        wall, cpu = min(wall, time.perf_counter() - begin), min(cpu, time.process_time() - busy)
    print(
        f"{name:8} {flops / 1e9:6.1f} GFLOP  {wall * 1e3:6.0f} ms wall  {cpu * 1e3:6.0f} ms CPU  "
        f"matmul {peak / 1e9:5.0f} GFLOP/s  {100 * flops / wall / peak:5.1f} % of it by wall time"
        + (f", {100 * flops / cpu / peak:.1f} % by CPU time" if torch.get_num_threads() == 1 else "")
    )


def encoders(pictures: int = 8) -> None:
    """What the frozen networks cost in the data process, outside of the step."""
    vision = ar_generator().model
    frozen = FrozenParts(
        vae=AutoencoderKL(sizes.VAE).requires_grad_(False),
        vision=vision.visual,
        vq=vision.vqmodel,
        scheduler=sizes.SCHEDULER,
    )
    pixels = to_device(torch.randint(256, (pictures, 256, 256, 3), dtype=torch.uint8), CPU)
    half = pixels[:, ::2, ::2].contiguous()
    for name, run in (("VAE", lambda: frozen.latents(pixels)), ("ViT", lambda: frozen.tokens(half))):
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            with autocast(CPU):
                run()
            times.append(time.perf_counter() - begin)
        print(
            f"{name:8} {min(times) * 1e3:.0f} ms to encode {pictures} pictures (in the data process, not in the step)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, help="CPU threads; default: the usable cores")
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--compile", action="store_true", help="compile the blocks first")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    else:
        set_threads()
    hold_memory()
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    model = ar_generator()
    measure("AR", ar_step(model), [model], "language_model.layers.", 5, args)
    net, glyphs = Decoder(sizes.DECODER), GlyphEncoder(sizes.GLYPH)
    decoder.init_weights(net)
    glyph.init_weights(glyphs)
    measure("decoder", decoder_step(net, glyphs), [net, glyphs], "transformer_blocks.", 3, args)
    encoders()


if __name__ == "__main__":
    main()
