"""Peak memory: what `inkwash doctor --plan` predicts against what a process of its own then holds, by profile.

    python -m bench.memory [--model nano] [--large] [--write]

On a CPU the measure is the largest resident size of the process; on CUDA it is the most its allocator held. `--large`
takes a 300 M checkpoint of random weights in bfloat16 instead of a model by name.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import sheet

INSIDE = """
import json, sys
import torch
from bench.sheet import peak_rss, present_rss
from inkwash.cli.doctor_plan import sizes_of
from inkwash.core.device import pick_device, pick_dtype
from inkwash.engine.memory import ForecastInput, forecast
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.quantize import parse_quantize
model, profile, quantize, dtype, side, steps, pictures = json.loads(sys.argv[1])
place = pick_device(None)
cuda = place.type == "cuda"
base = 0 if cuda else present_rss()
pipe = GlmImagePipeline.from_pretrained(model, torch_dtype=dtype, offload=profile, quantize=quantize, device_map=place)
pipe(prompt='A poster that says "HELLO"', height=side, width=side, num_inference_steps=steps,
     num_images_per_prompt=pictures, generator=torch.Generator().manual_seed(1))
peak = torch.cuda.max_memory_allocated() if cuda else peak_rss()
work = ForecastInput(height=side, width=side, steps=steps, pictures=pictures)
made = forecast(sizes_of(model), work, dtype=pick_dtype(dtype, place), device=place, profile=profile,
                quantize=parse_quantize(quantize), base=base)
print(json.dumps([base, peak, made.peak]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="smallest set: one dtype, no quantized weights")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, dtypes = given.model, ("float32", "bfloat16")
        if given.large:
            from bench.checkpoints import write_large

            model, dtypes = str(write_large(Path(folder) / "large")), ("bfloat16",)
        rows = []
        for dtype in dtypes[:1] if given.quick else dtypes:
            for profile in ("none", "stage", "block"):
                rows.append(row(model, profile, None, dtype, given.side, given.pictures))
                if not given.quick and profile != "block":
                    kind = "int8" if dtype == "bfloat16" else "decoder=int8"
                    rows.append(row(model, profile, kind, dtype, given.side, given.pictures))
    name = "300 M of random weights" if given.large else given.model
    worst = max(abs(float(line[-1].rstrip(" %"))) for line in rows)
    head = ("offload", "quantize", "dtype", "before, MB", "measured, MB", "predicted, MB", "error")
    body = f"{name}, {given.side}x{given.side}, {given.pictures} picture(s), 2 steps. Largest error {worst:.1f} %.\n\n"
    body += sheet.table(head, rows)
    print(body)
    if given.write:
        print(sheet.write("memory-300m" if given.large else "memory", body))


def row(model: str, profile: str, quantize: str | None, dtype: str, side: int, pictures: int) -> tuple[str, ...]:
    """One process: what it held before, at most, and what was predicted."""
    asked = json.dumps([model, profile, quantize, dtype, side, 2, pictures])
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", INSIDE, asked], capture_output=True, text=True, check=True, cwd=root)
    base, peak, predicted = json.loads(done.stdout.splitlines()[-1])
    sizes = tuple(f"{value / 1e6:.0f}" for value in (base, peak, predicted))
    return profile, quantize or "none", dtype, *sizes, f"{100 * (predicted / peak - 1):+.1f} %"


if __name__ == "__main__":
    main()
