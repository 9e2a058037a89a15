"""Pictures a minute: one by one, several at once through the engine, and the reference pipeline one by one and batched.

    python -m bench.throughput                       # nano, 8 prompts, 256x256, 20 steps
    python -m bench.throughput --count 4 --steps 4 --write

All ways take turns in one process on the same folder, prompts, steps, threads and number type. CPU seconds are the
process's own, for machines on which other programs keep the cores busy. The goal for eight prompts at once is twice
the pictures a minute of one by one. The most memory that each way takes is measured in a process of its own, after the
timings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from bench import sheet
from bench.at_once import draw, requests
from bench.latency import Best, reference

from inkwash import GlmImagePipeline
from inkwash.core.device import set_threads
from inkwash.engine.scheduler import Engine
from inkwash.models.registry import resolve

WAYS = ("ours, one by one", "ours, at once", "reference, one by one", "reference, one batch")
INSIDE = """
import json, sys
from bench.sheet import peak_rss
from bench.throughput import ways
name, asked = json.loads(sys.argv[1])
ways([name], **asked)[name]()
print(json.dumps(peak_rss()))
"""


def ways(
    names: list[str], *, model: str, dtype: str, count: int, side: int, steps: int
) -> dict[str, Callable[[], object]]:
    """The asked ways to draw the same pictures, by name; only what they need is loaded."""
    set_threads()
    folder, number_type = resolve(model), getattr(torch, dtype)
    todo = requests(count, side, steps, mixed=False)
    settings = {"height": side, "width": side, "num_inference_steps": steps, "guidance_scale": 1.5}
    prompts = [request.prompt for request in todo]
    found: dict[str, Callable[[], object]] = {}

    def seed() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    if any(name.startswith("ours") for name in names):
        ours = GlmImagePipeline.from_pretrained(folder, torch_dtype=number_type)

        def at_once() -> None:
            with Engine(ours) as engine:
                draw(engine, todo, at_once=True)

        found["ours, one by one"] = lambda: [ours.draw(request) for request in todo]
        found["ours, at once"] = at_once
    if any(name.startswith("reference") for name in names):
        theirs = reference(folder, number_type)
        found["reference, one by one"] = lambda: [theirs(prompt=p, **settings, generator=seed()) for p in prompts]
        found["reference, one batch"] = lambda: theirs(prompt=prompts, **settings, generator=seed())
    return {name: found[name] for name in names}


def peak(name: str, asked: dict[str, object]) -> int:
    """The most memory of a process that draws in this way, in bytes."""
    command = [sys.executable, "-c", INSIDE, json.dumps([name, asked])]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return int(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--no-peaks", action="store_true", help="do not measure memory, which draws everything again")
    parser.add_argument("--write", action="store_true", help="write a results file")
    given = parser.parse_args()
    asked = {name: getattr(given, name) for name in ("model", "dtype", "count", "side", "steps")}
    todo = ways(list(WAYS), **asked)
    best = {name: Best() for name in WAYS}
    for _ in range(given.repeats):
        for name, work in todo.items():
            best[name].run(work)
            print(f"{name}: {best[name].wall:.2f} s, {best[name].cpu:.2f} s of CPU time", flush=True)
    rows = [
        (
            name,
            f"{each.wall:.1f}",
            f"{60 * given.count / each.wall:.1f}",
            f"{each.cpu:.1f}",
            "" if given.no_peaks else f"{peak(name, asked) / 1e6:.0f}",
        )
        for name, each in best.items()
    ]
    head = ("way", "seconds", "pictures a minute", "CPU s", "peak MB")
    body = (
        f"{given.count} prompts, {given.model} in {given.dtype}, {given.side}x{given.side}, {given.steps} steps.\n\n"
        f"{sheet.table(head, rows)}"
    )
    print(body)
    if given.write:
        print(sheet.write("throughput", body))


if __name__ == "__main__":
    main()
