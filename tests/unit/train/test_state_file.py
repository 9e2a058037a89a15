"""What a run refuses: a folder in use, a damaged state, changed settings; and how it says what broke from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from inkwash.core.errors import InkwashError
from inkwash.data.loader import step_batches
from inkwash.recipes import table
from inkwash.train.checkpoint import read_file, write_file
from inkwash.train.config import Training
from inkwash.train.failures import explained
from inkwash.train.lora import LoRA
from inkwash.train.run import TrainingRun
from inkwash.train.state_file import check_files, digest_of, seal_files

ROOT = Path(__file__).resolve().parents[3]
HOLD = "import sys, time; from pathlib import Path; from inkwash.train.lock import lock_folder\n"
HOLD += "lock_folder(Path(sys.argv[1])); print('held', flush=True); time.sleep(float(sys.argv[2]))"


def python(*words: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", *words]
    return subprocess.Popen(
        command, env={**env, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run_in(folder: Path, **options: Any) -> TrainingRun:
    torch.manual_seed(0)
    return TrainingRun(folder, {"net": nn.Linear(64, 64)}, [], None, **{"total": 4, **options})


@dataclass(frozen=True)
class Batches:
    """A data set with a setting of its own."""

    seed: int
    folder: Path = Path("anywhere")

    def __call__(self, step: int) -> dict[str, Any]:
        return {"prompts": [str(step)]}


def test_a_folder_in_use_is_refused_and_free_again_after_a_kill(tmp_path: Path) -> None:
    holder = python(HOLD, str(tmp_path), "120")
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(InkwashError, match=rf"{tmp_path} is in use by another training \(process {holder.pid} on "):
            run_in(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", "1")
            run_in(tmp_path)  # the first process holds the lock for all of them
    finally:
        holder.kill()
        holder.communicate()
    run_in(tmp_path)
    run_in(tmp_path)  # a second stage of the same process


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_flipped_bytes_of_a_state_are_found(tmp_path: Path, share: float) -> None:
    run = run_in(tmp_path)
    run.save(2)
    whole = run.state_file.read_bytes()
    assert run_in(tmp_path).resume() == 2
    numbers = run.modules["net"].weight.detach().numpy().tobytes()
    at = whole.index(numbers) + round(share * (len(numbers) - 64))
    run.state_file.write_bytes(whole[:at] + bytes(byte ^ 1 for byte in whole[at : at + 64]) + whole[at + 64 :])
    with pytest.raises(InkwashError, match=r"state\.pt is damaged: its numbers are not those that were saved"):
        run_in(tmp_path).resume()


def test_a_digest_sees_every_kind_of_value_and_states_without_one_are_read(tmp_path: Path) -> None:
    state: dict[str, Any] = {"a": [1, 2.0, None], "b": {"c": torch.zeros(3, dtype=torch.bfloat16)}, "d": torch.ones(2)}
    others: list[dict[str, Any]] = [
        {**state, "a": [1, 2.5, None]},
        {**state, "d": torch.ones(1, 2)},
        {**state, "b": {"c": torch.zeros(3, dtype=torch.float16)}},
        {**state, "b": {"e": state["b"]["c"]}},
    ]
    assert len({digest_of(each) for each in [state, *others]}) == 5
    run = run_in(tmp_path)
    run.save(3)
    older = read_file(run.state_file)
    del older["digest"], older["settings"]
    write_file(run.state_file, older)
    assert run_in(tmp_path).resume() == 3


def test_files_of_shards_are_held_to_their_digests(tmp_path: Path) -> None:
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    for rank in (0, 1):
        seal_files(tmp_path, rank)
    check_files(tmp_path, 0, 1)
    (tmp_path / "__1_0.distcp").write_bytes(b"_" * 1200)
    refused = 0
    for rank in (0, 1):
        try:
            check_files(tmp_path, rank, 2)
        except InkwashError as error:
            refused += "__1_0.distcp is damaged" in error.message
    assert refused == 1, "each process looks at its share"


def test_changed_settings_are_refused_and_those_of_speed_are_not(tmp_path: Path) -> None:
    config, make = Training(steps=4, lr=0.1), Batches(seed=1)

    def go_on(config: Training, make: Callable[[int], Any], **more: Any) -> int:
        return next(run_in(tmp_path, settings=config, **more).batches(make, workers=0))[0]

    assert go_on(config, make, adapters=LoRA(alpha=8.0)) == 0
    assert go_on(replace(config, workers=3, save_every_s=1.0), Batches(1, Path("moved")), adapters=LoRA(alpha=8.0)) == 0
    for other, said in (
        ((replace(config, lr=0.2), make, LoRA(alpha=8.0)), r"train.lr was 0.1 and is 0.2\)"),
        ((replace(config, steps=9), make, LoRA(alpha=8.0)), r"train.steps was 4 and is 9\)"),
        ((config, Batches(seed=2), LoRA(alpha=8.0)), r"data.seed was 1 and is 2\)"),
        ((config, make, LoRA(alpha=4.0)), r"lora.alpha was 8.0 and is 4.0\): continue with the same ones"),
    ):
        with pytest.raises(InkwashError, match=said):
            go_on(*other[:2], adapters=other[2])


def test_a_plateau_may_get_another_length_until_its_descent(tmp_path: Path) -> None:
    config, make = Training(steps=10, lr=0.1, warmup=1, schedule="wsd", decay=0.5), Batches(seed=1)
    run = run_in(tmp_path, settings=config, total=10)
    next(run.batches(make, workers=0))
    run.save(4)

    def go_on(**changes: Any) -> int:
        run = run_in(tmp_path, settings=replace(config, **changes), total=20)
        return next(run.batches(make, workers=0))[0]

    assert go_on(steps=8) == 4, "four of eight steps are the plateau's"
    for changes, said in (
        ({"steps": 7}, r"train.steps was 10 and is 7\)"),
        ({"steps": 20, "schedule": "cosine"}, "train.schedule was 'wsd'"),
        ({"steps": 20, "decay": 0.4}, r"\(train.decay was 0.5 and is 0.4\)"),
    ):
        with pytest.raises(InkwashError, match=said):
            go_on(**changes)
    run.save(6)
    with pytest.raises(InkwashError, match=r"train.steps was 10 and is 20"):
        go_on(steps=20)


def kill_loader(step: int) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_killed_loader_is_one_sentence() -> None:
    with pytest.raises(RuntimeError, match="DataLoader worker") as found:
        list(step_batches(kill_loader, first=0, total=2, workers=1))
    said = explained(found.value)
    assert said is not None and said.message.startswith("A process that loads the data has died")


NEIGHBOUR = """
import os, signal, sys, torch, torch.distributed as dist
from inkwash.train.failures import explained
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
dist.barrier()
if rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    dist.all_reduce(torch.ones(3))
except Exception as error:
    print(explained(error).message, flush=True)
"""


@pytest.mark.slow
def test_a_killed_neighbour_is_one_sentence(tmp_path: Path) -> None:
    first, second = (python(NEIGHBOUR, str(rank), str(tmp_path / "store")) for rank in (0, 1))
    said, _ = first.communicate(timeout=120)
    second.communicate(timeout=120)
    lines = said.splitlines()  # torch's own threads may add words of theirs while the process ends
    assert any(line.startswith("Another process of this training has ended") for line in lines), said


def full_disk() -> None:
    with open("/dev/full", "w") as file:
        file.write("x")
        file.flush()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_anywhere_in_a_recipe_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe() -> None:
        try:
            full_disk()
        except OSError as error:
            raise ValueError("the library's own words") from error

    monkeypatch.setattr(f"{__name__}.recipe", recipe, raising=False)
    monkeypatch.setitem(table.RECIPES, "odd", f"{__name__}:recipe")
    with pytest.raises(InkwashError, match=r"^The disk.* is full: free some space; the last saved state"):
        table.run("odd")


def test_a_mistake_of_ours_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explained(ValueError("odd")) is None
    assert explained(RuntimeError("shapes cannot be multiplied; gloo is not even there")) is None

    def recipe() -> None:
        raise KeyError("odd")

    monkeypatch.setattr(f"{__name__}.recipe", recipe, raising=False)
    monkeypatch.setitem(table.RECIPES, "odd", f"{__name__}:recipe")
    with pytest.raises(KeyError):
        table.run("odd")
