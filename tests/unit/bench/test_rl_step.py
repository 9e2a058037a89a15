"""The benchmark of a step of reinforcement: its clock, its check of the replicas, and both loops on tiny networks."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.rl_step import NEVER_S, PARTS, StepClock, TimedPrompts, check_packed, cpu_seconds, measured, report

from inkwash.rl.grpo_ar import ARReinforce, grpo_ar
from inkwash.rl.grpo_decoder import grpo_decoder
from inkwash.rl.replica import PolicyReplica
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.velocities import DecoderReinforce
from tests.unit.rl.stages import COMMON, SOURCE, Brightness, tiny_parts


class Ticks:
    """A clock that goes on by what it is told."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_part_s_seconds_are_without_those_of_the_parts_inside_it() -> None:
    ticks = Ticks()
    clock = StepClock(now=ticks)

    def spend(seconds: float) -> None:
        ticks.at += seconds

    spend_in_reward = clock.within("reward", spend)
    with clock.part("update"):
        spend(100.0)  # before the count
    clock.begin()
    spend(1.0)
    with clock.part("update"):
        spend(2.0)
        spend_in_reward(4.0)
        spend(8.0)
        with pytest.raises(TypeError):
            clock.within("prompts", len)()
    clock.end()
    spend_in_reward(100.0)  # behind it
    assert dict(clock.seconds) == {"other": 1.0, "update": 10.0, "reward": 4.0, "prompts": 0.0}
    assert clock.wall == 15.0 and clock.cpu >= 0.0


def test_cpu_seconds_hold_those_of_workers() -> None:
    """This process waits, so that what grows is the worker's; on a busy machine that takes a while."""
    process = multiprocessing.get_context("fork").Process(target=_work, daemon=True)
    process.start()
    try:
        before, own, deadline = cpu_seconds(), time.process_time(), time.monotonic() + 30
        while cpu_seconds() - before - (time.process_time() - own) < 0.05:
            assert time.monotonic() < deadline, "a worker's time is not counted"
            time.sleep(0.05)
    finally:
        process.kill()
        process.join()


def _work() -> None:
    while True:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["decoder", "ar"])
def test_every_part_of_a_loop_is_seen_and_its_replica_is_fast(stage: str, tmp_path: Path) -> None:
    loop: Any = grpo_ar if stage == "ar" else grpo_decoder
    kind: Any = ARReinforce if stage == "ar" else DecoderReinforce
    config = kind(**{**COMMON, "steps": 2, "save_every_s": NEVER_S, "asks": 1, "group": 2, "draw_steps": 1})
    scorer = Scorer(rewards={"brightness": Brightness()})

    def run(clock: StepClock) -> None:
        parts = tiny_parts(tmp_path)
        loop(
            parts,
            TimedPrompts(replace(SOURCE, count=1), clock),
            scorer,
            tmp_path / stage,
            config,
            device=torch.device("cpu"),
        )

    found = measured(stage, run, 1, 2)
    assert all(found.parts[part] > 0 for part in PARTS) and found.save > 0
    assert sum(found.parts.values()) == pytest.approx(found.wall, rel=1e-3) and 0 < found.busy < 1.5
    assert f"| {stage} |" in report([found])


def test_a_replica_that_keeps_all_bits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own weights are rounded and pass; the policy's, which no 16 bits hold, do not."""
    parts = tiny_parts(tmp_path)
    check_packed(PolicyReplica(parts.ar).network)
    check_packed(PolicyReplica(parts.decoder).network)
    with pytest.raises(AssertionError, match="not packed"):
        check_packed(parts.ar.eval().requires_grad_(False))
    with pytest.raises(AssertionError, match="not fused"):
        check_packed(parts.decoder)
