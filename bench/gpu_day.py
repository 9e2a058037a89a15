"""Everything that only a GPU can show, in one run that prints its plan and stops by itself.

    python -m bench.gpu_day                       # 12 minutes on a GPU, results after every task
    python -m bench.gpu_day --minutes 5 --only parity graph
    python -m bench.gpu_day --dry                 # the same tasks at nano's sizes on this machine's CPU

Tasks stand in order of worth. One begins only when its estimate fits into the time that is left; what fails becomes a
line of the results and the next begins. The results file is written after each, so that a run that is cut off loses
nothing that was measured.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from bench import released, sheet

from inkwash.core.device import pick_device
from inkwash.engine.ar import PlanSequence, Prefix, make_slots
from inkwash.engine.memory import PROMPT_TOKENS, ForecastInput, Sizes
from inkwash.engine.pace import best
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.sampling import Sampling
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm_image.ar import ARGenerator, decode_positions
from inkwash.nn.linear import dequantize, product, quantize_int4, quantize_int8

Lines = list[tuple[str, str]]
NEAR = 1e-3  # how far two devices' pictures may be apart in fp32
REFERENCE = {
    (512, False): 27.30,
    (1024, False): 64.34,
    (1024, True): 58.64,
    (2048, False): 252.59,
    (2048, True): 274.51,
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and at which sizes the tasks run."""

    device: torch.device
    dtype: torch.dtype
    sizes: Sizes
    dry: bool

    def side(self, side: int) -> int:
        """Of a picture: small ones in a dry run."""
        return side // 16 if self.dry else side

    @property
    def steps(self) -> int:
        return 2 if self.dry else 50


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing to find out, and how long it is thought to take on a large GPU."""

    name: str
    seconds: float
    run: Callable[[Bench], Lines]


def parity(bench: Bench) -> Lines:
    """Nano's picture on this device and on the CPU, fp32, from the same tokens and noise."""
    call: dict[str, Any] = {"prompt": 'A "SIGN"', "height": 64, "width": 64, "num_inference_steps": 4}
    call["output_type"] = "latent"
    there = GlmImagePipeline.from_pretrained("nano", torch_dtype=torch.float32, device_map="cpu")
    here = GlmImagePipeline.from_pretrained("nano", torch_dtype=torch.float32, device_map=bench.device)
    plan = there.generate_prior_tokens('A "SIGN"', 64, 64, generator=torch.Generator().manual_seed(1))[0]
    tensors = []
    for pipe in (there, here):
        made: Any = pipe(**call, prior_token_ids=plan, generator=torch.Generator().manual_seed(1))
        tensors.append(made.images.float().cpu())
    error = float((tensors[1] - tensors[0]).norm() / tensors[0].norm())
    return [("nano, fp32, latents against the CPU's", f"{error:.1e}, {'near' if error < NEAR else 'TOO FAR'}")]


def graph(bench: Bench) -> Lines:
    """Whether an AR step is captured, and that replaying draws what single kernels draw."""
    ar = released.random_weights(lambda: ARGenerator(released.tiny().ar), bench.device, bench.dtype)
    plans = [_plan(ar, bench, captured) for captured in (True, False)]
    said = "the same tokens" if torch.equal(plans[0][0], plans[1][0]) else "OTHER TOKENS"
    captured = "captured" if plans[0][1] else "not captured"
    return [("AR step as a graph", f"{captured}; against single kernels {said}")]


@torch.no_grad()
def _plan(ar: ARGenerator, bench: Bench, captured: bool) -> tuple[torch.Tensor, bool]:
    ids = torch.arange(PROMPT_TOKENS, device=bench.device)[None]
    places = torch.arange(PROMPT_TOKENS, device=bench.device).expand(3, 1, -1)
    cache = ar.make_cache(1, PROMPT_TOKENS)
    logits = ar.lm_head(ar(ids, places, cache=cache)[:, -1])
    positions = decode_positions(PROMPT_TOKENS, [(4, 4)])
    prefix = Prefix(cache=cache, length=PROMPT_TOKENS, logits=logits, positions=positions, tokens=16)
    slots = make_slots(ar, fuse_for_decode(ar), 1)
    if not captured and hasattr(slots, "_capturable"):
        slots._capturable = False  # noqa: SLF001  # the other way to run the same step
    sequence = PlanSequence(prefix, torch.linspace(0.05, 0.95, 16), Sampling())
    slots.join(sequence)
    while not sequence.finished:
        slots.advance([sequence])
    return slots.plan(sequence).cpu(), getattr(slots, "_graph", None) is not None


def picture(side: int, edited: bool, bench: Bench) -> Lines:
    """Seconds of the three stages at the released sizes, shares of their floors, and the peak."""
    sized = bench.side(side)
    reference = (sized, sized) if edited else None
    work = ForecastInput(height=sized, width=sized, steps=bench.steps, reference=reference)
    got = released.measure(bench.sizes, work, bench.device, bench.dtype)
    total = got.ar + got.decoder + got.vae
    theirs = REFERENCE[side, edited]
    name = f"{sized}x{sized} {'edit' if edited else 'drawing'}, {bench.steps} steps"
    shares = (
        f"AR {got.ar:.2f} ({got.ar_of_floor:.0%} of its floor), decoder {got.decoder:.2f} ({got.decoder_of_floor:.0%})"
    )
    beside = "" if bench.dry else f"; the reference on one H100 by its own table: {theirs} s, {theirs / total:.1f}x"
    return [(name, f"{total:.2f} s: {shares}, VAE {got.vae:.2f}; peak {got.peak / 1e9:.1f} GB{beside}")]


def quantized(bench: Bench) -> Lines:
    """Products of matrices in 8 and 4 bits beside the plain one, and that they are those of the widened matrix."""
    width = 256 if bench.dry else bench.sizes.decoder.width
    weight = torch.randn(4 * width, width) * 0.02
    plain = weight.to(bench.device, bench.dtype)
    lines = []
    for rows in (1, 64 if bench.dry else 4096):
        x = torch.randn(rows, width, device=bench.device).to(bench.dtype)
        base = best(lambda x=x: torch.nn.functional.linear(x, plain), bench.device)  # type: ignore[misc]
        for kind, make in (("int8", quantize_int8), ("int4", quantize_int4)):
            matrix = make(weight).to(bench.device)
            with torch.no_grad():
                took = best(partial(product, x, matrix), bench.device)
                wanted = x.float() @ dequantize(matrix).t()
                error = float((product(x, matrix).float() - wanted).norm() / wanted.norm())
            lines.append((f"{kind}, {rows} rows", f"{took * 1e3:.3f} ms, plain {base * 1e3:.3f} ms; error {error:.1e}"))
    return lines


TASKS = (
    Task(name="parity", seconds=25, run=parity),
    Task(name="graph", seconds=20, run=graph),
    Task(name="512", seconds=60, run=partial(picture, 512, False)),
    Task(name="1024", seconds=90, run=partial(picture, 1024, False)),
    Task(name="quantized", seconds=15, run=quantized),
    Task(name="1024-edit", seconds=100, run=partial(picture, 1024, True)),
    Task(name="2048", seconds=170, run=partial(picture, 2048, False)),
    Task(name="2048-edit", seconds=220, run=partial(picture, 2048, True)),
)


def plan_of(tasks: Sequence[Task], budget: float) -> str:
    """What will be run and what is left out, were every estimate right."""
    at, lines = 0.0, []
    for task in tasks:
        fits = at + task.seconds <= budget
        lines.append(f"{task.name:<12}{task.seconds:>5.0f} s  {f'from {at:.0f} s on' if fits else 'no time left'}")
        at += task.seconds if fits else 0
    return "\n".join(lines)


def run_day(
    tasks: Sequence[Task],
    bench: Bench,
    budget: float,
    keep: Callable[[Lines], None],
    clock: Callable[[], float] = time.monotonic,
) -> Lines:
    """Run what fits into `budget` seconds; `keep` gets all lines after each task."""
    start, lines = clock(), []
    for task in tasks:
        left = budget - (clock() - start)
        if task.seconds > left:
            lines.append(
                (task.name, f"left out: {math.floor(max(left, 0))} s were left of the {task.seconds:.0f} it takes")
            )
        else:
            try:
                lines += task.run(bench)
            except Exception as error:  # one finding among others, never the end of the day
                lines.append(
                    (task.name, f"failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
                )
            if bench.device.type == "cuda":
                torch.cuda.empty_cache()
        print(*(f"{name}: {said}" for name, said in lines[-4:]), sep="\n", flush=True)
        keep(lines)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--only", nargs="+", choices=[task.name for task in TASKS], default=None)
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args()
    device = torch.device("cpu") if given.dry else pick_device(None)
    if device.type == "cpu" and not given.dry:
        parser.error("there is no GPU: --dry runs the same tasks at nano's sizes on the CPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    dtype = torch.float32 if given.dry else torch.bfloat16
    bench = Bench(device=device, dtype=dtype, sizes=released.tiny() if given.dry else Sizes.released(), dry=given.dry)
    tasks = [task for task in TASKS if given.only is None or task.name in given.only]
    if given.dry:
        tasks = [replace(task, seconds=1) for task in tasks]
    budget = 60 * given.minutes
    print(plan_of(tasks, budget))

    def keep(lines: Lines) -> None:
        if not given.dry:
            sheet.write("gpu-day", sheet.table(("what", "found"), lines), device)

    run_day(tasks, bench, budget, keep)


if __name__ == "__main__":
    main()
