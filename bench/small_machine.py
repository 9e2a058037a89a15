"""A large checkpoint on a small machine: memory of its own, seconds of a token and of a decoder step, and the load.

    python -m bench.small_machine FOLDER                     # a few tokens and steps, the picture counted up
    python -m bench.small_machine FOLDER --whole             # the whole picture, with steps and size as given
    python -m bench.small_machine FOLDER --see --side 1024   # of GLM-4.1V: a picture and an answer
    python -m bench.small_machine FOLDER --layers 40 30      # counted up to so many layers, for a folder of fewer

Memory is what the process has of its own (RssAnon); mapped files are the system's. Seconds of CPU stand beside those of
the clock: on a machine with other work the first are the ones to compare. The decoder's share is its arithmetic over
the best product of the machine (bf16, as wide and as many rows as its own), both in the same CPU seconds, by turns.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench import released, sheet
from PIL import Image

from inkwash.core.device import set_threads
from inkwash.engine.ar import Prefix, Row, sample_plans
from inkwash.engine.memory import GLYPHS, PROMPT_TOKENS, ForecastInput, Sizes
from inkwash.engine.output import decode_latents
from inkwash.engine.pace import measure_mapped
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import Watch
from inkwash.engine.sampling import Sampling
from inkwash.engine.see.output import VisionOutput
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import decode_positions
from inkwash.nn.linear import linear

PROMPT = 'A poster that says "HELLO"'
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """By the clock and of CPU, all threads together."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of CPU)"

    def times(self, count: float) -> Seconds:
        return Seconds(wall=self.wall * count, cpu=self.cpu * count)


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def own_memory() -> int:
    """Bytes that no file stands behind."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024


@contextmanager
def peak_of_own() -> Iterator[list[int]]:
    """The most that `own_memory` was inside, looked at twenty times a second."""
    most, done = [own_memory()], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            most[0] = max(most[0], own_memory())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


@torch.no_grad()
def token(pipe: GlmImagePipeline, count: int) -> tuple[Seconds, Seconds]:
    """Reading a prompt, and one of `count` tokens after it, each in a pass of its own."""
    ar = pipe.parts.ar
    ids = torch.randint(0, ar.config.text_config.vision_vocab_size, (1, PROMPT_TOKENS))
    places = torch.arange(PROMPT_TOKENS).expand(3, 1, -1)
    cache = ar.make_cache(1, PROMPT_TOKENS)
    logits: list[torch.Tensor] = []
    read = timed(lambda: logits.append(ar.lm_head(ar(ids, places, cache=cache)[:, -1])))
    positions = decode_positions(PROMPT_TOKENS, [(16, 16)])

    def plan(tokens: int) -> None:
        prefix = Prefix(cache=cache, length=PROMPT_TOKENS, logits=logits[0], positions=positions, tokens=tokens)
        sample_plans(ar, fuse_for_decode(ar), [Row(prefix, torch.rand(tokens))], Sampling(), Watch())

    plan(2)  # packs, and brings the files into memory
    return read, timed(lambda: plan(count + 1)).times(1 / count)


@torch.no_grad()
def step(pipe: GlmImagePipeline, side: int, steps: int) -> tuple[Seconds, float]:
    """A guided decoder step, and its share of the best product rate, in CPU seconds."""
    decoder, sizes = pipe.parts.decoder, Sizes.of_parts(pipe.parts)
    cells = side // sizes.vae.scale_factor
    latents = torch.zeros(1, sizes.decoder.in_channels, cells, cells)
    work = ForecastInput(height=side, width=side, steps=steps)
    released.denoise(decoder, sizes, ForecastInput(height=side, width=side, steps=1), latents)
    rate = product_rate(sizes.decoder.width, (cells // 2) ** 2 + GLYPHS)
    took = timed(lambda: released.denoise(decoder, sizes, work, latents)).times(1 / steps)
    rate = max(rate, product_rate(sizes.decoder.width, (cells // 2) ** 2 + GLYPHS))
    width, blocks = sizes.decoder.width, sizes.decoder.num_layers
    arithmetic = 2 * 12 * width**2 * blocks * (2 * (cells // 2) ** 2 + GLYPHS + 2)
    return took, arithmetic / took.cpu / rate


def product_rate(width: int, rows: int) -> float:
    """Operations in a CPU second of the decoder's largest product in bf16, the best of three."""
    x, weight = torch.randn(rows, width).bfloat16(), torch.randn(4 * width, width).bfloat16()
    linear(x, weight, None)
    return max(2 * rows * 4 * width**2 / timed(lambda: linear(x, weight, None)).cpu for _ in range(3))


def counted(took: Seconds, have: int, want: int | None) -> Seconds:
    """Seconds of a network of `want` layers from those of one of `have`."""
    return took if want is None else took.times(want / have)


def report(folder: Path, side: int, steps: int, *, tokens: int, few: int, layers: list[int] | None) -> str:
    """Markdown of one run in parts."""
    with peak_of_own() as most:
        start = Seconds(wall=time.perf_counter(), cpu=time.process_time())
        pipe = GlmImagePipeline.from_pretrained(folder, device_map="cpu", offload="map")
        loaded = Seconds(wall=time.perf_counter() - start.wall, cpu=time.process_time() - start.cpu)
        print("loaded", loaded, f"{own_memory() / 1e9:.2f} GB", flush=True)
        want: list[int | None] = [*layers] if layers else [None, None]
        ar_layers, blocks = pipe.parts.ar.config.text_config.num_hidden_layers, pipe.parts.decoder.config.num_layers
        read, one = (counted(each, ar_layers, want[0]) for each in token(pipe, tokens))
        print("prompt", read, "token", one, flush=True)
        took, share = step(pipe, side, few)
        took = counted(took, blocks, want[1])
        print("step", took, f"{share:.0%}", flush=True)
        cells = side // pipe.parts.vae.config.scale_factor
        shape = (1, pipe.parts.vae.config.latent_channels, cells, cells)
        decoded = timed(lambda: decode_latents(pipe.parts.vae, torch.zeros(shape)))
    drawn = 256 + (side // 32) ** 2
    stages = [one.times(drawn), read, took.times(steps), decoded]
    whole = Seconds(wall=sum(each.wall for each in stages), cpu=sum(each.cpu for each in stages))
    rows = [
        ("load", str(loaded)),
        ("prompt of 64 tokens", str(read)),
        ("a token", str(one)),
        ("a decoder step, both halves", str(took)),
        ("the same as share of the best bf16 product", f"{share:.0%}"),
        ("VAE", str(decoded)),
        (f"{side}x{side}, {steps} steps, counted up ({drawn} tokens, none guessed)", str(whole)),
        ("peak of the process's own memory", f"{most[0] / 1e9:.2f} GB"),
    ]
    load = f"load average {os.getloadavg()[0]:.0f}; {torch.get_num_threads()} threads"
    counted_up = (
        "" if layers is None else f"; counted up from {ar_layers} and {blocks} layers to {layers[0]} and {layers[1]}"
    )
    return f"{folder.name}{counted_up}; {load}.\n\n{sheet.table(('what', 'measured'), rows)}"


def draw_whole(folder: Path, side: int, steps: int) -> str:
    """Markdown of one picture from nothing, beside what `inkwash doctor --plan` forecasts for it."""
    with peak_of_own() as most:
        pipes: list[GlmImagePipeline] = []
        loaded = timed(lambda: pipes.append(GlmImagePipeline.from_pretrained(folder, device_map="cpu", offload="map")))
        work = ForecastInput(height=side, width=side, steps=steps)
        forecast = measure_mapped(pipes[0].parts, work, trained=False)
        print(loaded, forecast, flush=True)
        took = timed(lambda: pipes[0](prompt=PROMPT, height=side, width=side, num_inference_steps=steps))
    stages = f"generator {forecast.ar:.0f} s, decoder {forecast.decoder:.0f} s, VAE {forecast.vae:.0f} s"
    rows = [
        ("load", str(loaded)),
        (
            "forecast from its first layers",
            f"{forecast.total:.0f} s ({stages}); took {took.wall / forecast.total:.2f} of it",
        ),
        (f"{side}x{side}, {steps} steps", str(took)),
        ("peak of the process's own memory", f"{most[0] / 1e9:.2f} GB"),
    ]
    return f"{folder.name}; load average {os.getloadavg()[0]:.0f}.\n\n{sheet.table(('what', 'measured'), rows)}"


def see(folder: Path, side: int, tokens: int) -> str:
    """Markdown of a picture that is read, and of `tokens` tokens that are said about it."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((side, side))
    question = [{"type": "image", "image": picture}, {"type": "text", "text": "What is this?"}]
    with peak_of_own() as most:
        pipes: list[GlmVisionPipeline] = []
        loaded = timed(lambda: pipes.append(GlmVisionPipeline.from_pretrained(folder)))
        print("loaded", loaded, flush=True)
        pipe = pipes[0]
        pipe.answers.stop_ids = frozenset()

        def ask(count: int) -> None:
            made.append(pipe([{"role": "user", "content": question}], max_new_tokens=count, **greedy))

        made: list[VisionOutput] = []
        greedy: dict[str, Any] = {"temperature": 0, "stop_loops": False}
        read = timed(lambda: ask(1))
        print("read", read, flush=True)
        said = timed(lambda: ask(tokens + 1))  # the prompt is known, but for its last token
    rows = [
        ("load", str(loaded)),
        (
            f"{side}x{side} px and a question read ({made[0].usage.prompt_tokens} tokens), the first token said",
            str(read),
        ),
        (f"a token, of {tokens + 1}", str(said.times(1 / (tokens + 1)))),
        ("peak of the process's own memory", f"{most[0] / 1e9:.2f} GB"),
    ]
    return f"{folder.name}; load average {os.getloadavg()[0]:.0f}.\n\n{sheet.table(('what', 'measured'), rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=8, help="tokens that are timed")
    parser.add_argument("--few", type=int, default=1, help="decoder steps that are timed")
    parser.add_argument("--layers", type=int, nargs=2, default=None, metavar=("AR", "BLOCKS"))
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--see", action="store_true", help="a model that sees")
    parser.add_argument("--write", metavar="NAME", default=None, help="write bench/results/..._NAME.md")
    given = parser.parse_args()
    set_threads()
    if given.see:
        body = see(given.folder, given.side, given.tokens)
    elif given.whole:
        body = draw_whole(given.folder, given.side, given.steps)
    else:
        body = report(given.folder, given.side, given.steps, tokens=given.tokens, few=given.few, layers=given.layers)
    print(body)
    if given.write:
        print(sheet.write(given.write, body))


if __name__ == "__main__":
    main()
