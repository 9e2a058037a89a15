"""Cost against size: each stage over pixels, steps, pictures, references and prompt length, one at a time.

    python -m bench.scaling [--model nano] [--repeats 3] [--write]

Seconds are the best of the repetitions: CPU time of the process on a CPU, wall time elsewhere. Beside each stands the
cost per unit of the work (token, step, picture); a column that rises where only attention may grow is a surprise.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from bench import sheet
from PIL import Image

from inkwash import GlmImagePipeline

BASE: dict[str, Any] = {"side": 128, "steps": 4, "pictures": 1, "references": 0, "words": 6}
SERIES: dict[str, tuple[int, ...]] = {
    "side": (64, 128, 256, 512),
    "steps": (2, 4, 8, 16),
    "pictures": (1, 2, 4),
    "references": (0, 1, 2),
    "words": (6, 24, 96, 384),
}
UNITS = {
    "side": lambda value: value * value / 65536,
    "steps": float,
    "pictures": float,
    "references": lambda value: 1.0 + value,
    "words": lambda value: 1.0,
}
TITLES = {
    "side": "Pixels (square side; unit: 256x256 pixels)",
    "steps": "Steps (unit: one step)",
    "pictures": "Pictures in one call (unit: one picture)",
    "references": "Reference pictures (unit: the picture and each reference)",
    "words": "Prompt length in words (unit: the picture)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--series", choices=SERIES, action="append", help="only these; default all")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pipe = GlmImagePipeline.from_pretrained(given.model)
    draw(pipe, BASE)
    parts = [
        f"{given.model}, {pipe.dtype}, one thread; {', '.join(f'{name} {value}' for name, value in BASE.items())} "
        f"where not said otherwise; best of {given.repeats}. prior: AR stage; denoise: decoder; decode: VAE."
    ]
    for name in given.series or SERIES:
        parts.append(f"## {TITLES[name]}\n\n" + series(pipe, name, given.repeats))
    body = "\n\n".join(parts)
    print(body)
    if given.write:
        print(sheet.write("scaling", body, pipe.device))


def series(pipe: GlmImagePipeline, name: str, repeats: int) -> str:
    """One table: the settings of BASE with one of them changed."""
    rows = []
    for value in SERIES[name]:
        runs = [draw(pipe, {**BASE, name: value}) for _ in range(repeats)]
        seconds = {stage: min(run[stage] for run in runs) for stage in ("prior", "denoise", "decode")}
        unit = UNITS[name](value)
        cells = [cell for each in seconds.values() for cell in (f"{each:.3f}", f"{each / unit:.3f}")]
        rows.append((str(value), *cells))
    head = (name, "prior, s", "per unit", "denoise, s", "per unit", "decode, s", "per unit")
    return sheet.table(head, rows)


def draw(pipe: GlmImagePipeline, settings: dict[str, Any]) -> dict[str, float]:
    """Seconds of each stage of one call, by this process's CPU time on a CPU."""
    words = " ".join(["word"] * (settings["words"] - 3))
    picture = Image.linear_gradient("L").resize((256, 256)).convert("RGB")
    call: dict[str, Any] = {
        "prompt": f'A {words} "SIGN" here',
        "image": [picture] * settings["references"] or None,
        "height": settings["side"],
        "width": settings["side"],
        "num_inference_steps": settings["steps"],
        "num_images_per_prompt": settings["pictures"],
    }
    clock = time.process_time if pipe.device.type == "cpu" else time.perf_counter
    marks = {"start": clock()}

    def on_step(*_: Any) -> dict[str, Any]:
        marks["denoised"] = clock()
        return {}

    def progress(report: Any) -> None:
        if report.stage == "denoise" and report.done == 0:
            marks["planned"] = clock()

    pipe(**call, generator=torch.Generator().manual_seed(1), progress=progress, callback_on_step_end=on_step)
    end = clock()
    return {
        "prior": marks["planned"] - marks["start"],
        "denoise": marks["denoised"] - marks["planned"],
        "decode": end - marks["denoised"],
    }


if __name__ == "__main__":
    main()
