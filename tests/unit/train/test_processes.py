"""Whole processes: killed ones end as uninterrupted ones do, two under torchrun lose what one loses."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
STAGES = "tests.unit.train.stages"


def start(*words: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run stages in a process of their own, or in several under torchrun."""
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*launcher, STAGES, *words]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)


def weights_differ(a: Path, b: Path) -> float:
    first, second = torch.load(a), torch.load(b)
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


def logs(folder: Path) -> str:
    return (folder / "log.csv").read_text()


def test_killed_stages_end_bit_identical(tmp_path: Path) -> None:
    """SIGKILL at a random step of every stage; the log of every step and the weights are the same to the last bit."""
    whole = start("all", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    rng = random.Random()
    kills = {stage: rng.randrange(1, 6) for stage in ("vae", "tokenizer", "decoder", "ar")}
    words = [f"{stage}={step}" for stage, step in kills.items()]
    for stage in kills:  # each start gets as far as the next kill
        killed = start("all", str(tmp_path / "cut"), "--kill", *words)
        assert killed.returncode == -signal.SIGKILL, (stage, kills, killed.stderr)
        words.pop(0)
    rest = start("all", str(tmp_path / "cut"))
    assert rest.returncode == 0, rest.stderr
    for stage in kills:
        same = weights_differ(tmp_path / "whole" / f"{stage}.pt", tmp_path / "cut" / f"{stage}.pt")
        assert same == 0.0, (stage, kills)
        assert logs(tmp_path / "whole" / stage) == logs(tmp_path / "cut" / stage), (stage, kills)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    done = start("large", str(folder), "--set", "precision=fp32")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("settings", [[], ["tensor=2"]], ids=["shards", "tensor"])
def test_two_processes_lose_what_one_loses(alone: Path, settings: list[str], tmp_path: Path) -> None:
    """FSDP2 and tensor parallelism over gloo, edits and references included."""
    for stage in ("ar", "decoder"):  # each under its own torchrun: a group made twice in one process finds stale keys
        done = start(stage, str(tmp_path), "--set", "precision=fp32", *settings, processes=2)
        assert done.returncode == 0, done.stderr[-3000:]
        command = [sys.executable, "bench/loss_compare.py", str(alone / stage), str(tmp_path / stage)]
        compared = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert compared.returncode == 0, compared.stdout
        assert weights_differ(alone / f"{stage}.pt", tmp_path / f"{stage}.pt") < 1e-5


def test_a_killed_rank_of_two_resumes_from_sealed_shards(tmp_path: Path) -> None:
    """Each rank's files have digests; flipped bytes are refused by name, and the rest ends as an uninterrupted run."""
    words = ("--set", "precision=fp32")
    whole = start("decoder", str(tmp_path / "whole"), *words, processes=2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    killed = start("decoder", str(tmp_path / "cut"), "--kill", "decoder=4", "--kill-rank", "1", *words, processes=2)
    assert killed.returncode != 0 and "SIGKILL" in killed.stderr + killed.stdout
    (shards,) = (folder for folder in (tmp_path / "cut").rglob("shards-*") if (folder / "digests-1.json").is_file())
    told = [json.loads((shards / f"digests-{rank}.json").read_text()) for rank in (0, 1)]
    assert any(name.startswith("__1_") for name in told[1]) and not told[0].keys() & told[1].keys()
    assert {file.name for file in shards.glob("__*")} | {".metadata"} == told[0].keys() | told[1].keys()

    damaged = tmp_path / "damaged"
    shutil.copytree(tmp_path / "cut", damaged)
    (file,) = damaged.rglob("__1_0.distcp")
    content = bytearray(file.read_bytes())
    content[-100:-36] = bytes(byte ^ 0xFF for byte in content[-100:-36])
    file.write_bytes(bytes(content))
    refused = start("decoder", str(damaged), *words, processes=2)
    assert refused.returncode != 0 and "__1_0.distcp is damaged" in refused.stderr

    rest = start("decoder", str(tmp_path / "cut"), *words, processes=2)
    assert rest.returncode == 0, rest.stderr[-3000:]
    assert weights_differ(tmp_path / "whole" / "decoder.pt", tmp_path / "cut" / "decoder.pt") == 0.0
    assert logs(tmp_path / "whole" / "decoder") == logs(tmp_path / "cut" / "decoder")
