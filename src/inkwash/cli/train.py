"""`inkwash train`: runs one of the training recipes, with single settings changed from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

Recipe = Annotated[str | None, typer.Argument(metavar="RECIPE", help="Name of the recipe; none lists them.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as a.b=c.")
]


def train(recipe: Recipe = None, overrides: Overrides = None) -> None:
    """Run a training recipe; an interrupted run goes on where it stopped.

    Example: inkwash train finetune --set data=pictures --set work=work/mine
    """
    check_overrides(overrides)
    from inkwash import recipes

    if recipe is None:
        show(recipes.summaries())
        return
    recipes.run(recipe, overrides or [])


def show(summaries: Mapping[str, str]) -> None:
    """The recipes, each with what it does."""
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:{width}}  {summary}")


def check_overrides(overrides: list[str] | None) -> None:
    """Refuse what is not KEY=VALUE, before anything is imported."""
    from inkwash.core.errors import ConfigError

    for override in overrides or []:
        key, equals, _ = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {override!r} is not KEY=VALUE: write it like --set steps=2000.")
