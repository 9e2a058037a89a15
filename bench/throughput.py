"""Pictures a minute: one by one, several at once through the engine, and the reference pipeline one by one and batched.

    python -m bench.throughput                       # nano, 8 prompts, 256x256, 20 steps
    python -m bench.throughput --count 4 --steps 4 --write

All ways take turns in one process on the same folder, prompts, steps, threads and number type. CPU seconds are the
process's own, for machines on which other programs keep the cores busy. The goal for eight prompts at once is twice
the pictures a minute of one by one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from bench import sheet
from bench.at_once import draw, requests
from bench.latency import Best, reference

from inkwash import GlmImagePipeline
from inkwash.core.device import set_threads
from inkwash.engine.scheduler import Engine
from inkwash.models.registry import resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write a results file")
    asked = parser.parse_args()
    set_threads()
    folder, dtype = resolve(asked.model), getattr(torch, asked.dtype)
    ours, theirs = GlmImagePipeline.from_pretrained(folder, torch_dtype=dtype), reference(folder, dtype)
    todo = requests(asked.count, asked.side, asked.steps, mixed=False)
    settings = {"height": asked.side, "width": asked.side, "num_inference_steps": asked.steps, "guidance_scale": 1.5}
    prompts = [request.prompt for request in todo]

    def seed() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    def at_once() -> None:
        with Engine(ours) as engine:
            draw(engine, todo, at_once=True)

    ways: dict[str, Callable[[], object]] = {
        "ours, one by one": lambda: [ours.generate(request) for request in todo],
        "ours, at once": at_once,
        "reference, one by one": lambda: [theirs(prompt=text, **settings, generator=seed()) for text in prompts],
        "reference, one batch": lambda: theirs(prompt=prompts, **settings, generator=seed()),
    }
    best = {name: Best() for name in ways}
    for _ in range(asked.repeats):
        for name, work in ways.items():
            best[name].run(work)
    rows = [
        (name, f"{each.wall:.1f}", f"{60 * asked.count / each.wall:.1f}", f"{each.cpu:.1f}")
        for name, each in best.items()
    ]
    body = (
        f"{asked.count} prompts, {asked.model} in {asked.dtype}, {asked.side}x{asked.side}, {asked.steps} steps.\n\n"
        f"{sheet.table(('way', 'seconds', 'pictures a minute', 'CPU s'), rows)}"
    )
    print(body)
    if asked.write:
        print(sheet.write("throughput", body))


if __name__ == "__main__":
    main()
