"""One picture at a time, ours and the reference pipeline by turns: the AR stage, the decoder stage, the whole.

    python -m bench.latency                        # nano in float32 and bfloat16, and the 300 M checkpoint
    python -m bench.latency nano-float32 --repeats 5 --write

Same folder, prompt, steps, threads and number type; the decoder stage of both starts from the same prior tokens. The
best of the repeats counts. Wall time is what a user sees; CPU time is the process's own, and what to compare where
other programs keep the cores busy. Floors are measured in the same run: reading the generator's weights, as they are
stored, once for each token, and the decoder's matrix products at the speed of a large one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench import checkpoints, floors, sheet

from inkwash import GlmImagePipeline
from inkwash.core.device import set_threads
from inkwash.engine.estimate import step_flops
from inkwash.engine.request import DrawRequest
from inkwash.models.registry import resolve

PROMPT = 'A poster that says "HELLO" in red on a yellow background'
STAGES = ("AR stage", "decoder stage", "whole picture")
STORED = 2  # bytes of a weight in the checkpoints
CASES = ("nano-float32", "nano-bfloat16", f"{checkpoints.LARGE}-bfloat16")


@dataclass
class Best:
    """The least seconds of several runs."""

    wall: float = float("inf")
    cpu: float = float("inf")

    def run(self, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.wall = min(self.wall, time.perf_counter() - wall)
        self.cpu = min(self.cpu, time.process_time() - cpu)
        return result


def reference(folder: Path, dtype: torch.dtype) -> Any:
    import diffusers

    diffusers.utils.logging.disable_progress_bar()
    pipe = diffusers.GlmImagePipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def measure(folder: Path, dtype: torch.dtype, side: int, steps: int, repeats: int) -> dict[str, tuple[Best, Best]]:
    """Seconds of each stage, ours and theirs."""
    ours, theirs = GlmImagePipeline.from_pretrained(folder, torch_dtype=dtype), reference(folder, dtype)
    best = {stage: (Best(), Best()) for stage in STAGES}

    def seed() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    size = {"height": side, "width": side}
    drawing = {**size, "num_inference_steps": steps, "guidance_scale": 1.5}
    priors = ours.generate_prior_tokens(PROMPT, side, side, generator=seed())[0]
    for _ in range(repeats):
        for which, pipe in enumerate((ours, theirs)):
            planned = {"prompt": PROMPT, **size, "generator": seed()}
            best["AR stage"][which].run(lambda pipe=pipe, planned=planned: pipe.generate_prior_tokens(**planned))
            given = {"prompt": PROMPT, "prior_token_ids": priors, **drawing}
            best["decoder stage"][which].run(lambda pipe=pipe, given=given: pipe(**given, generator=seed()))
            best["whole picture"][which].run(lambda pipe=pipe: pipe(prompt=PROMPT, **drawing, generator=seed()))
    return best


def report(name: str, folder: Path, dtype: torch.dtype, side: int, steps: int, repeats: int) -> str:
    best = measure(folder, dtype, side, steps, repeats)
    pipe = GlmImagePipeline.from_pretrained(folder, torch_dtype=dtype)
    prompt = pipe.parts.processor.prepare(PROMPT, side, side)
    request = DrawRequest(prompt=PROMPT, height=side, width=side, num_inference_steps=steps)
    ar = pipe.parts.ar
    size = (checkpoints.parameters(ar.model.language_model.layers) + ar.lm_head.weight.numel()) * STORED
    rate, arithmetic = floors.read_rate(size), floors.matmul_rate(dtype)
    token_floor = size / rate
    step_floor = step_flops(pipe.stages, side, side, request) / arithmetic
    rows = []
    for stage, (mine, other) in best.items():
        floor = {"AR stage": prompt.drawn_tokens * token_floor, "decoder stage": steps * step_floor}.get(stage, 0.0)
        floor = floor or prompt.drawn_tokens * token_floor + steps * step_floor
        rows.append(
            (
                stage,
                *(f"{each:.2f}" for each in (mine.wall, other.wall)),
                f"{other.wall / mine.wall:.1f}x",
                *(f"{each:.2f}" for each in (mine.cpu, other.cpu)),
                f"{other.cpu / mine.cpu:.1f}x",
                f"{floor:.2f}",
                f"{floor / mine.wall:.0%}",
            )
        )
    head = ("stage", "ours s", "reference s", "ratio", "ours CPU s", "reference CPU s", "ratio", "floor s", "of floor")
    return (
        f"## {name}\n\n{side}x{side}, {steps} steps, {prompt.drawn_tokens} tokens, best of {repeats}; generator "
        f"{checkpoints.parameters(ar) / 1e6:.0f} M, decoder {checkpoints.parameters(pipe.parts.decoder) / 1e6:.0f} M "
        f"parameters. Floors: {size / 1e6:.0f} MB of weights as they are stored, for each token, at "
        f"{rate / 1e9:.0f} GB/s; products at {arithmetic / 1e9:.0f} GFLOP/s.\n\n{sheet.table(head, rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=(*CASES, []), help="which checkpoints; none means all")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write a results file")
    asked = parser.parse_args()
    set_threads()
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in asked.cases or CASES:
            name, _, dtype = case.partition("-")
            folder = checkpoints.write_large(Path(scratch) / name) if name == checkpoints.LARGE else resolve(name)
            parts.append(report(case, folder, getattr(torch, dtype), asked.side, asked.steps, asked.repeats))
            print(parts[-1], flush=True)
    if asked.write:
        only_large = asked.cases and all(case.startswith(checkpoints.LARGE) for case in asked.cases)
        print(sheet.write(f"latency-{checkpoints.LARGE.lower()}" if only_large else "latency", "\n".join(parts)))


if __name__ == "__main__":
    main()
