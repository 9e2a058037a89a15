"""Two editions of this repository by turns in one run: cold start, and one picture of a model that is loaded.

    git worktree add /tmp/before 98cf37b
    python -m bench.editions /tmp/before . --model /tmp/before/src/inkwash/assets/nano [--repeats 5] [--write]

Both read the same checkpoint, so name one that the older edition can read. Every value is the least of the repeats;
CPU time is what to compare where other programs keep the cores busy, and ratios rather than seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import sheet

PROMPT = 'A poster that says "HELLO"'
WARM = """
import json, sys, time
import torch
from inkwash import GlmImagePipeline
pipe = GlmImagePipeline.from_pretrained(sys.argv[1], device_map="cpu")
found = []
for number in range(4):
    wall, cpu = time.perf_counter(), time.process_time()
    generator = torch.Generator().manual_seed(7)
    pipe(prompt=sys.argv[2], height=256, width=256, num_inference_steps=20, guidance_scale=2.2, generator=generator)
    found.append((time.perf_counter() - wall, time.process_time() - cpu))
print(json.dumps([min(column) for column in zip(*found[1:])]))
"""
ROWS = ("cold start, wall s", "cold start, CPU s", "picture, wall s", "picture, CPU s")


def measure(edition: Path, model: Path) -> list[float]:
    """The four values of one turn."""
    environment = {**os.environ, "PYTHONPATH": str(edition / "src"), "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "inkwash", "generate", PROMPT, "-o", f"{folder}/out.png", "-q", "--seed", "2"]
        command += ["--model", str(model), "--size", "256x256", "--steps", "20", "--device", "cpu"]
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=folder)
        wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        warm = [sys.executable, "-c", WARM, str(model), PROMPT]
        done = subprocess.run(warm, check=True, capture_output=True, text=True, env=environment, cwd=folder)
    return [wall, cpu, *json.loads(done.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("now", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    editions = [given.before.resolve(), given.now.resolve()]
    runs: list[list[list[float]]] = [[], []]
    for turn in range(given.repeats):
        for number in (0, 1) if turn % 2 == 0 else (1, 0):
            runs[number].append(measure(editions[number], given.model.resolve()))
    before, now = ([min(column) for column in zip(*each, strict=True)] for each in runs)
    rows = [
        (name, f"{old:.2f}", f"{new:.2f}", f"{new / old:.2f}") for name, old, new in zip(ROWS, before, now, strict=True)
    ]
    body = (
        f"256x256, 20 steps, one checkpoint, least of {given.repeats} turns; load average {os.getloadavg()[0]:.1f}.\n\n"
        + sheet.table(("", "before", "now", "now / before"), rows)
    )
    print(body)
    if given.write:
        print(sheet.write("editions", body))


if __name__ == "__main__":
    main()
