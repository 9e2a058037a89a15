"""Train hands a recipe and its settings over, and lists the recipes when asked for none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from inkwash import recipes
from inkwash.core.errors import ConfigError
from inkwash.recipes.table import RECIPES
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize(("command", "table"), [("train", RECIPES), ("rl", recipes.REINFORCEMENT)])
def test_lists_the_recipes_and_what_each_does(inkwash: Run, command: str, table: dict[str, str]) -> None:
    outcome = inkwash(command)
    rows = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert outcome.code == 0 and [name for name, _ in rows] == list(table)
    assert len({summary for _, summary in rows}) >= len(table) - 3 and all(summary.endswith(".") for _, summary in rows)


def test_runs_with_settings(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(recipes, "run", lambda name, overrides: calls.append((name, overrides)))
    assert inkwash("train", "nano", "--set", "steps=5", "--set", "a.b=c=d").code == 0
    assert calls == [("nano", ["steps=5", "a.b=c=d"])]


def test_a_failing_recipe_is_one_line(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, overrides: list[str]) -> None:
        raise ConfigError(f"There is no recipe {name!r}.")

    monkeypatch.setattr(recipes, "run", fail)
    outcome = inkwash("train", "nanno")
    assert outcome.code == 2 and outcome.err == "inkwash: There is no recipe 'nanno'.\n"
