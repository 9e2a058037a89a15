"""What the quality tiers trade: time, latents, pixels and words of the same drawings, each trick alone and together.

    python -m bench.quality -n 40 --write        # bench/results/<date>_<hardware>_quality.md

Held-out scenes are drawn exactly once with their plans; every setting then redraws them from the same plans and the
same noise, taking turns picture by picture, so that a busy machine slows all of them alike. Seconds are those of the
denoising stage: CPU time of this process on a CPU, wall time elsewhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np
import torch
from bench import sheet
from PIL import Image

from inkwash import GlmImagePipeline
from inkwash.engine.output import GlmImagePipelineOutput, decode_latents, to_output
from inkwash.engine.request import QUALITIES, Quality
from inkwash.eval.ocr import Reader
from inkwash.eval.tasks.scenes import Case, held_out, score_images

SETTINGS = (
    QUALITIES["exact"],
    Quality(name="75 % of the steps", step_share=0.75),
    Quality(name="half of the steps", step_share=0.5),
    Quality(name="guidance at sigma >= 0.4", guidance_interval=(0.4, 1.0)),
    Quality(name="guidance at sigma >= 0.6", guidance_interval=(0.6, 1.0)),
    Quality(name="guidance at sigma <= 0.7", guidance_interval=(0.0, 0.7)),
    Quality(name="step cache, half full", full_share=0.5),
    Quality(name="step cache, a third full", full_share=0.35),
    QUALITIES["high"],
    QUALITIES["medium"],
    QUALITIES["low"],
)


@dataclass
class Column:
    """What one setting made of all scenes."""

    quality: Quality
    seconds: list[float] = field(default_factory=list)
    latent_errors: list[float] = field(default_factory=list)
    pixel_errors: list[float] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)


def measure(
    pipe: GlmImagePipeline, cases: Sequence[Case], settings: Sequence[Quality], steps: int, side: int
) -> list[Column]:
    """Every case by every setting; the first setting is what the others are held against."""
    _draw(pipe, cases[0], 0, settings[0], 1, side)  # first calls pay for kernels that are made on the way
    columns = [Column(quality) for quality in settings]
    clock = time.process_time if pipe.device.type == "cpu" else time.perf_counter
    for number, case in enumerate(cases):
        plan = _draw(pipe, case, number, settings[0], 1, side).plan  # one step: only the plan is wanted
        exact_latents, exact_pixels = None, None
        for column in columns:
            before = clock()
            output = _draw(pipe, case, number, column.quality, steps, side, plan=plan)
            column.seconds.append(clock() - before)
            image = to_output(decode_latents(pipe.parts.vae, output.images), "pil")[0]
            pixels = np.asarray(image, dtype=np.float32)
            if exact_latents is None or exact_pixels is None:
                exact_latents, exact_pixels = output.images, pixels
            column.latent_errors.append(float((output.images - exact_latents).norm() / exact_latents.norm()))
            column.pixel_errors.append(float(np.abs(pixels - exact_pixels).mean()))
            column.images.append(image)
    return columns


def _draw(
    pipe: GlmImagePipeline, case: Case, seed: int, quality: Quality, steps: int, side: int, **more: Any
) -> GlmImagePipelineOutput:
    generator = torch.Generator().manual_seed(seed)
    size = {"height": side, "width": side, "num_inference_steps": steps}
    output = pipe(case.prompt, **size, generator=generator, quality=quality, output_type="latent", **more)
    assert isinstance(output, GlmImagePipelineOutput)
    return output


def table(columns: Sequence[Column], accuracies: Sequence[float]) -> str:
    """Markdown, one row for each setting."""
    exact = mean(columns[0].seconds)
    rows = [
        (
            column.quality.name,
            f"{mean(column.seconds):.3f}",
            f"{exact / mean(column.seconds):.2f}x",
            f"{mean(column.latent_errors):.4f}",
            f"{mean(column.pixel_errors):.2f}",
            f"{accuracy:.3f}",
        )
        for column, accuracy in zip(columns, accuracies, strict=True)
    ]
    head = ("setting", "denoising, s", "speed", "latent error", "pixel error (of 255)", "word accuracy")
    return sheet.table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=40, help="scenes")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--write", action="store_true", help="write bench/results/<date>_<hardware>_quality.md")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pipe = GlmImagePipeline.from_pretrained(given.model, torch_dtype=given.dtype)
    cases = held_out(given.n, width=given.side, height=given.side)
    columns = measure(pipe, cases, SETTINGS, given.steps, given.side)
    reader = Reader()
    reports = [score_images(column.images, cases, reader) for column in columns]
    body = (
        f"{given.model}, {given.side}x{given.side}, {given.steps} steps, {pipe.dtype}, {given.n} held-out scenes with "
        f"{sum(len(case.scene.texts) for case in cases)} words; read by {reader.name}. Seconds are CPU time of the "
        "denoising stage on a CPU and wall time elsewhere; all settings took turns on every scene, from the same plan "
        "and noise. Latent error: |z - exact| / |exact|; pixel error: mean absolute difference from the exact "
        "picture.\n\n" + table(columns, [report.word_accuracy for report in reports])
    )
    print(body)
    if given.write:
        print(sheet.write("quality", body, pipe.device))


if __name__ == "__main__":
    main()
