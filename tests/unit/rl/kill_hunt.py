"""Kill a tiny run of reinforcement at random moments, many times, and hold what is left to a run that was never killed.

    python -m tests.unit.rl.kill_hunt [ar|decoder] [--kills 20] [--steps 16] [--seed 0]

A life of the run ends with SIGKILL after a random share of the CPU time of about two steps, counted from the first
step on, so that rollouts, rewards, updates and saves are all met. Weights and log must be the same to the last bit.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {
    "ar": ["minibatches=2"],
    "decoder": ["loss=flow_grpo", "minibatches=2", "window_last=2"],
}


def life(stage: str, folder: Path, steps: int, seconds: float | None = None) -> int:
    """Run the stage, until it has taken so many CPU seconds since its first step; the return code."""
    command = [sys.executable, "-m", "tests.unit.rl.stages", stage, str(folder), "--steps", str(steps)]
    command += [] if seconds is None else ["--kill", f"after={seconds}"]
    command += ["--set", *SETTINGS[stage]]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(done.stderr)
    return done.returncode


def hunt(stage: str, folder: Path, kills: int, steps: int, seed: int, step_s: float) -> int:
    """Kill up to so many times; how often it was. Raises where the result differs."""
    rng = random.Random(f"{stage}/{seed}")
    life(stage, folder / "whole", steps)
    killed = 0
    while killed < kills and life(stage, folder / "cut", steps, rng.uniform(0.0, 2 * step_s)) != 0:
        killed += 1
        print(f"killed {killed} times", flush=True)
    life(stage, folder / "cut", steps)
    whole, cut = (torch.load(folder / name / f"{stage}.pt") for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole), "the weights differ"
    logs = [(folder / name / stage / "log.csv").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1], "the logs differ"
    return killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", default="ar", choices=tuple(SETTINGS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step-s", type=float, default=0.6, help="CPU seconds of a step")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killed = hunt(args.stage, Path(folder), args.kills, args.steps, args.seed, args.step_s)
    print(f"{args.stage}: killed {killed} times at random moments; weights and log are the same to the last bit")


if __name__ == "__main__":
    main()
