"""`inkwash eval compare`: two runs on the same prompts, with paired bootstrap intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import eval_session as session

First = Annotated[
    Path, typer.Argument(metavar="A", help="Scores of a run: its --json file, or the folder it drew into.")
]
Second = Annotated[Path, typer.Argument(metavar="B", help="Scores of the other run.")]
Resamples = Annotated[int, typer.Option("--resamples", help="How often the prompts are drawn again.")]
Confidence = Annotated[float, typer.Option("--confidence", help="Of the intervals.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the resampling.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON; - is stdout.")
]


def compare(
    a: First,
    b: Second,
    resamples: Resamples = 2000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    json: JsonFile = None,
) -> None:
    """Compare two runs on the same prompts by the same judge: B minus A, with paired bootstrap intervals.

    Example: inkwash eval compare nano.json refined.json
    """
    from inkwash.core import limits
    from inkwash.eval import paired

    session.check_outputs(json)
    limits.check_seed(seed)
    found = paired.compare(
        paired.read_scores(a), paired.read_scores(b), resamples=resamples, confidence=confidence, seed=seed
    )
    session.write_json(json, found.to_dict())
    if json != session.STDOUT:
        _show(found)


def _show(found: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from inkwash.eval.paired import RunComparison

    assert isinstance(found, RunComparison)
    interval = f"{100 * found.confidence:g} % interval"
    table = Table("metric", "A", "B", "B - A", interval, "p", "prompts")
    for each in found.differences:
        difference = f"{each.difference:+.4f}" + (" *" if each.clear else "")
        span = f"{each.low:+.4f} to {each.high:+.4f}"
        table.add_row(
            each.metric.replace("_", " "),
            f"{each.a:.4f}",
            f"{each.b:.4f}",
            difference,
            span,
            f"{each.p:.3f}" if each.p >= 0.001 else "<0.001",
            str(each.prompts),
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"A: {found.a}\nB: {found.b}", soft_wrap=True, markup=False)
    for judge in dict.fromkeys(each.judge for each in found.differences):
        console.print(f"judge: {judge}", soft_wrap=True, markup=False)
    if any(each.clear for each in found.differences):
        console.print("* the interval leaves out zero", markup=False)
