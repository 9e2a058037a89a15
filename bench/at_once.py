"""Requests at once against the same requests one after the other, both through the engine, and every picture compared.

    python -m bench.at_once                     # 8 requests of nano, 256x256, 20 steps
    python -m bench.at_once --steps 8 --rounds 3 --write

Rounds take turns, so that a busy machine slows both alike. The share is of wall time, and the goal is 60 % or less on
two cores. Pictures must be equal to those of `GlmImagePipeline` alone, value by value.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from bench import sheet
from PIL import Image

from inkwash import GlmImagePipeline
from inkwash.core.device import set_threads
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import Engine

WORDS = ("HELLO", "SUN", "CAT", "MOON", "TEA", "RIVER", "OPEN", "BLUE")


def requests(count: int, side: int, steps: int, *, mixed: bool = True) -> list[DrawRequest]:
    """Prompts with seeds 0, 1, ...; with mixed sizes every other picture is wider."""
    return [
        DrawRequest(
            prompt=f'A poster that says "{WORDS[i % len(WORDS)]}"',
            height=side,
            width=side + (32 if mixed and i % 2 else 0),
            num_inference_steps=steps,
            seed=i,
        )
        for i in range(count)
    ]


def draw(engine: Engine, asked: list[DrawRequest], *, at_once: bool) -> tuple[float, float, list[Image.Image]]:
    """Wall and CPU seconds, and the pictures."""
    wall, cpu = time.perf_counter(), time.process_time()
    if at_once:
        results = [handle.result() for handle in [engine.submit(request) for request in asked]]
    else:
        results = [engine.submit(request).result() for request in asked]
    images = [result.images[0] for result in results]
    return time.perf_counter() - wall, time.process_time() - cpu, images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write a results file")
    asked = parser.parse_args()
    set_threads()
    pipe = GlmImagePipeline.from_pretrained(asked.model)
    todo = requests(asked.count, asked.side, asked.steps)
    alone = [pipe.draw(request).images[0] for request in todo]
    rows, unequal, threads = [], 0, torch.get_num_threads()
    with Engine(pipe) as engine:
        for number in range(asked.rounds):
            one_wall, one_cpu, first = draw(engine, todo, at_once=False)
            all_wall, all_cpu, second = draw(engine, todo, at_once=True)
            for mine in (first, second):
                pairs = zip(mine, alone, strict=True)
                unequal += sum(not np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
            share = (f"{one_wall:.1f}", f"{all_wall:.1f}", f"{all_wall / one_wall:.0%}", f"{one_cpu:.1f}")
            rows.append((str(number + 1), *share, f"{all_cpu:.1f}", f"{all_cpu / one_cpu:.0%}"))
            print(" | ".join(rows[-1]), flush=True)
    head = ("round", "one by one s", "at once s", "share", "one by one CPU s", "at once CPU s", "share")
    body = (
        f"{asked.count} requests of {asked.model}, {asked.side} pixels high, {asked.steps} steps; decode workers: "
        f"{engine.decode_workers}, threads of each: {max(1, threads // engine.decode_workers)}. {unequal} of "
        f"{2 * asked.rounds * asked.count} pictures differ from the same request alone.\n\n{sheet.table(head, rows)}"
    )
    print(body)
    if asked.write:
        print(sheet.write("concurrent", body))
    if unequal:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
