"""`inkwash eval agent` without a browser: its choices, its refusals, and how agents are compared."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from inkwash.agent.worlds.evaluate import MarkedEpisode, baseline
from inkwash.cli import eval_agent


def suite(**successes: list[bool]) -> eval_agent.Suite:
    """A world in which baselines succeed as it is written; the first is `random`."""
    turns = iter(successes.values())

    def play(world: Any, make: Any, tell: eval_agent.Tell) -> list[MarkedEpisode]:
        tell(1)
        return [
            MarkedEpisode(seed=seed, kind="press", task="x", success=success, status="done", acts=())
            for seed, success in enumerate(next(turns))
        ]

    return eval_agent.Suite(total=1, open=lambda: nullcontext(), baseline=baseline, play=play)


def test_agents_are_compared_on_the_same_episodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = suite(random=[True, True, True, False] * 25, first=[True, False, False, False] * 25)
    monkeypatch.setattr(eval_agent, "_panels", lambda *given: made)
    eval_agent.agent(model="random", compare="first widget", json=tmp_path / "scores.json", quiet=True)
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["models"]["random"]["shares"]["press"]["success"] == 0.75
    less = found["paired"]["first widget"]["metrics"]["success"]
    assert less["difference"] == 0.5 and 0.38 < less["low"] < 0.45 and 0.55 < less["high"] < 0.62
    said = capsys.readouterr().out
    assert "0.750 (0.66 to 0.82)" in said and "random less first widget: +0.500" in said


@pytest.mark.parametrize(
    ("given", "says"),
    [({"suite": "web"}, "panels or miniwob"), ({"n": 0}, "at least 1"), ({"split": "test"}, "train or held_out"),
     ({"compare": "nobody"}, "expert"), ({"tasks": "hard"}, "single, multi"),
     ({"suite": "miniwob", "pages": Path("none")}, "pip install --no-deps miniwob")],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(given: dict[str, Any], says: str) -> None:
    from inkwash.core.errors import InkwashError

    with pytest.raises(InkwashError) as refused:
        eval_agent.agent(model="random", quiet=True, **given)
    assert says in refused.value.message and refused.value.message.endswith(".")
