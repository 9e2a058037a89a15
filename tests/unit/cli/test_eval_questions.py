"""inkwash eval questions: every kind is asked, marks are those of the answers, bad options are one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.tasks.questions import KINDS
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The settings of each answer of the shipped model, which is really asked."""
    calls: list[dict[str, Any]] = []
    answer = GlmVisionPipeline.__call__

    def counted(self: GlmVisionPipeline, messages: Any, **settings: Any) -> Any:
        calls.append(settings)
        return answer(self, messages, **settings)

    monkeypatch.setattr(GlmVisionPipeline, "__call__", counted)
    return calls


def test_every_kind_is_asked_and_marked(inkwash: Run, asked: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    done = inkwash("eval", "questions", "-n", "2", "--quiet", "--json", str(file))
    assert done.code == 0, done.err
    found = json.loads(file.read_text())
    assert len(asked) == 2 * len(KINDS) and set(found["per_kind"]) == set(KINDS)
    for kind, row in found["per_kind"].items():
        marks = [one["right"] for one in found["questions"] if one["kind"] == kind]
        assert row == {"right": sum(marks) / 2, "asked": 2}
        assert f"{row['right']:.3f}" in done.out
    again = inkwash("eval", "questions", "-n", "1", "--quiet", "--json", "-")
    assert json.loads(again.out)["questions"] == found["questions"][: len(KINDS)]  # scene i is the same in every run


def test_cards_are_asked_about_in_their_own_kinds(inkwash: Run, asked: list[dict[str, Any]]) -> None:
    done = inkwash(
        "eval", "questions", "-n", "1", "--level", "card", "--kinds", "things,color,count", "--quiet", "--json", "-"
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [one["kind"] for one in found["questions"]] == ["things", "color", "count"] and found["level"] == "card"
    assert set(found["groups"]) == {"things named", "colours", "counts"} and asked[0]["max_new_tokens"] > 128


def test_without_thoughts(inkwash: Run, asked: list[dict[str, Any]]) -> None:
    done = inkwash("eval", "questions", "-n", "1", "--kinds", "count, read", "--no-think", "--quiet", "--json", "-")
    found = json.loads(done.out)
    assert [one["kind"] for one in found["questions"]] == ["count", "read"] and found["thought_first"] == 0.0
    assert asked[0]["enable_thinking"] is False


@pytest.mark.parametrize(
    "bad",
    [
        ["-n", "0"],
        ["--kinds", "colour"],
        ["--model", "nowhere"],
        ["--json", "no/where.json"],
        ["--level", "second"],
        ["--kinds", "things"],
        ["--level", "card", "--kinds", "shapes"],
        ["--language", "zh"],
        ["--level", "card", "--language", "fr"],
    ],
)
def test_bad_options_are_one_sentence(inkwash: Run, bad: list[str]) -> None:
    done = inkwash("eval", "questions", *bad)
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("inkwash: "), done.err
