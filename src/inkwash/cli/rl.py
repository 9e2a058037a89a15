"""`inkwash rl`: reinforces a checkpoint, or measures what there is to gain, with settings as `inkwash train`."""

from __future__ import annotations

from typing import Annotated

import typer

from inkwash.cli.train import Overrides, check_overrides, show

Recipe = Annotated[
    str | None, typer.Argument(metavar="RECIPE", help="ar, decoder, see, detail or headroom; none lists them.")
]


def rl(recipe: Recipe = None, overrides: Overrides = None) -> None:
    """Reinforce a checkpoint by rewards on its own pictures; an interrupted run goes on where it stopped.

    Example: inkwash rl ar --set model=nano --set work=work/rl --set train.steps=300
    """
    check_overrides(overrides)

    from inkwash import recipes

    if recipe is None:
        show(recipes.summaries(recipes.REINFORCEMENT))
        return
    recipes.run(recipe, overrides or [], recipes.REINFORCEMENT)
