"""Time: what `inkwash doctor --plan` predicts against what the same drawing then takes, by turns in one process.

    python -m bench.forecast [--large] [--write]

Predictions are of a quiet machine, so the best of a few drawings counts, after one that is not counted. `--large`
takes the 300 M checkpoint of random weights in bfloat16 instead of nano.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from bench import checkpoints, sheet

from inkwash import GlmImagePipeline
from inkwash.cli.doctor_plan import sizes_of
from inkwash.core.device import set_threads
from inkwash.engine.memory import ForecastInput
from inkwash.engine.pace import measure_pace

PROMPT = 'A poster that says "HELLO"'
NANO = (("float32", 256, 20), ("float32", 384, 20), ("float32", 512, 8), ("bfloat16", 256, 20), ("bfloat16", 512, 8))
LARGE = (("bfloat16", 256, 8), ("bfloat16", 512, 4))


def row(model: str, dtype: str, side: int, steps: int, repeats: int, trained: bool) -> tuple[str, ...]:
    """One case: the least predicted and the least measured seconds of the same number of tries, by turns."""
    number_type, cpu = getattr(torch, dtype), torch.device("cpu")
    pipe = GlmImagePipeline.from_pretrained(model, torch_dtype=number_type, device_map="cpu")
    work, sizes = ForecastInput(height=side, width=side, steps=steps, pictures=1), sizes_of(model)
    predicted, measured = [], []
    for _ in range(repeats + 1):
        predicted.append(measure_pace(sizes, work, dtype=number_type, device=cpu, trained=trained).total)
        start = time.perf_counter()
        pipe(
            prompt=PROMPT,
            height=side,
            width=side,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(1),
        )
        measured.append(time.perf_counter() - start)
    told, took = min(predicted[1:]), min(measured[1:])
    return dtype, f"{side}x{side}", str(steps), f"{told:.2f}", f"{took:.2f}", f"{100 * (told / took - 1):+.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write a results file")
    given = parser.parse_args()
    set_threads()
    with tempfile.TemporaryDirectory() as scratch:
        model = str(checkpoints.write_large(Path(scratch) / "large")) if given.large else "nano"
        rows = []
        for case in LARGE if given.large else NANO:
            rows.append(row(model, *case, given.repeats, not given.large))
            print(*rows[-1], flush=True)
    worst = max(abs(float(line[-1].rstrip(" %"))) for line in rows)
    name = "300 M of random weights" if given.large else "nano"
    body = f"{name}, best of {given.repeats}. Largest error {worst:.0f} %.\n\n"
    body += sheet.table(("dtype", "size", "steps", "predicted, s", "measured, s", "error"), rows)
    print(body)
    if given.write:
        print(sheet.write("forecast-300m" if given.large else "forecast", body))


if __name__ == "__main__":
    main()
