"""The stop switch in a real browser: the page tells when the last event came, and that nothing is left pressed."""

from __future__ import annotations

import random

import pytest
from bench.agent_stop import LIMIT_S, try_once, web_stage

TRIALS = 8  # python -m bench.agent_stop makes fifty, of every executor


@pytest.mark.slow  # a browser, stopped eight times
def test_no_event_comes_after_a_stop_and_nothing_stays_pressed(chromium: str) -> None:
    rng = random.Random(0)
    with web_stage() as stage:
        trials = [try_once(stage, rng.uniform(0.3, 1.2)) for _ in range(TRIALS)]
    assert [trial.pressed for trial in trials] == [[]] * TRIALS
    assert max(trial.last_event_s for trial in trials) <= LIMIT_S
    assert sorted(trial.ended_s for trial in trials)[-2] <= LIMIT_S, "the machine of a test may be busy once"
