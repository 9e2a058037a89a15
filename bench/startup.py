"""Cold start: `inkwash generate` as a process of its own, from the command to the file on disk.

    python -m bench.startup [--repeats 3] [--side 256] [--steps 20] [--write]

Wall time is what a user waits; CPU time (user + system) is what the start costs wherever the machine is shared. The
second table shows where the CPU time goes, from one run inside a process.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import sheet

INSIDE = """
import time
marks = [("start", time.process_time())]
import torch
marks.append(("import torch", time.process_time()))
from inkwash.engine.pipeline import GlmImagePipeline
marks.append(("import inkwash", time.process_time()))
pipe = GlmImagePipeline.from_pretrained("nano")
marks.append(("load the weights", time.process_time()))
call = dict(prompt='A poster that says "HELLO"', height={side}, width={side}, num_inference_steps={steps})
plan = pipe(**dict(call, num_inference_steps=1), output_type="latent", generator=torch.Generator().manual_seed(2)).plan
marks.append(("plan (and first calls)", time.process_time()))
pipe(**call, plan=plan, generator=torch.Generator().manual_seed(2)).images[0].save("{file}")
marks.append(("denoise, decode, save", time.process_time()))
for (_, before), (name, after) in zip(marks, marks[1:]):
    print(f"{{name}}|{{after - before:.2f}}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.png"
        command = [sys.executable, "-m", "inkwash", "generate", 'A poster that says "HELLO"', "-o", str(file), "-q"]
        command += ["--seed", "2", "--size", f"{given.side}x{given.side}", "--steps", str(given.steps)]
        runs = [start(command) for _ in range(given.repeats)]
        code = INSIDE.format(side=given.side, steps=given.steps, file=file)
        sleeping = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as the command sets it for itself
        inside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=sleeping)
    rows = [(str(n + 1), *(f"{value:.2f}" for value in run)) for n, run in enumerate(runs)]
    best = min(run[0] for run in runs), min(run[1] for run in runs)
    body = (
        f"`inkwash generate`, nano, {given.side}x{given.side}, {given.steps} steps; load average before the runs: "
        f"{os.getloadavg()[0]:.1f}. Best: {best[0]:.2f} s wall, {best[1]:.2f} s of CPU time.\n\n"
        + sheet.table(("run", "wall, s", "CPU, s", "peak MB"), rows)
        + "\n\n"
        + sheet.table(("step (one process)", "CPU, s"), [tuple(line.split("|")) for line in inside.stdout.splitlines()])
    )
    print(body)
    if given.write:
        print(sheet.write("startup", body))


def start(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and the largest resident size so far in MB of one run."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, after.ru_maxrss / 1e3


if __name__ == "__main__":
    main()
