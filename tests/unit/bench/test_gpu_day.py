"""The day on a GPU keeps within its time, survives what fails, and its tasks run at nano's sizes on a CPU."""

from __future__ import annotations

import pytest
import torch
from bench import released
from bench.gpu_day import TASKS, Bench, Lines, Task, plan_of, run_day

DRY = Bench(device=torch.device("cpu"), dtype=torch.float32, sizes=released.tiny(), dry=True)


def test_a_day_stops_by_itself_and_keeps_what_it_has() -> None:
    now, kept = [0.0], []

    def takes(seconds: float) -> Lines:
        now[0] += seconds
        return [("found", f"{seconds}")]

    def fails(_bench: Bench) -> Lines:
        raise RuntimeError("no memory\nat all")

    tasks = (
        Task(name="long", seconds=10, run=lambda _bench: takes(40)),
        Task(name="broken", seconds=5, run=fails),
        Task(name="late", seconds=30, run=lambda _bench: takes(1)),
        Task(name="short", seconds=5, run=lambda _bench: takes(5)),
    )
    lines = run_day(tasks, DRY, 60, lambda so_far: kept.append(len(so_far)), clock=lambda: now[0])
    assert [name for name, _ in lines] == ["found", "broken", "late", "found"]
    assert lines[1][1] == "failed: RuntimeError: no memory"
    assert lines[2][1] == "left out: 20 s were left of the 30 it takes"
    assert kept == [1, 2, 3, 4]


def test_the_plan_says_what_has_no_time_left() -> None:
    said = plan_of(TASKS, 12 * 60).splitlines()
    assert len(said) == len(TASKS)
    assert sum(task.seconds for task in TASKS) <= 12 * 60
    assert all("from" in line for line in said)
    assert "no time left" in plan_of(TASKS, 60)


@pytest.mark.parametrize("name", ["graph", "quantized"])
def test_a_task_runs_at_nanos_sizes(name: str) -> None:
    (task,) = [task for task in TASKS if task.name == name]
    lines = task.run(DRY)
    assert lines and not any("OTHER" in said or "TOO FAR" in said for _, said in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parity", "512", "1024-edit"])
def test_a_longer_task_runs_at_nanos_sizes(name: str) -> None:
    (task,) = [task for task in TASKS if task.name == name]
    (line,) = task.run(DRY)
    assert "TOO FAR" not in line[1] and line[1]
