"""``inkwash eval agent``: a model that sees, on held-out panels in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.core.errors import RequestError

Count = Annotated[int, typer.Option("-n", "--n", help="How many tasks; task i is the same in every larger run.")]
Tasks = Annotated[str, typer.Option("--tasks", metavar="single|multi|all", help="Of one act, of several, or both.")]
Split = Annotated[str, typer.Option("--split", help="held_out: new words, layout and styles; or train.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides panels and tasks.")]
Compare = Annotated[
    str, typer.Option("--compare", metavar="A,B", help="Also: expert, random, first widget [default: random].")
]
ModelName = Annotated[str, typer.Option("--model", help="A model that sees, or one of those of --compare alone.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is stdout.")]


def agent(
    n: Count = 300,
    model: ModelName = "nano-v",
    tasks: Tasks = "all",
    split: Split = "held_out",
    seed: Seed = 0,
    compare: Compare = "random",
    json: JsonFile = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Have a model that sees operate held-out panels in a browser: shares of tasks done, by the pages themselves.

    Example: inkwash eval agent -n 300 --tasks single --json scores.json
    """
    from inkwash.agent.worlds.evaluate import BASELINES, baseline, check_group, evaluate, shares
    from inkwash.agent.worlds.panels import PanelWorld

    if n < 1:
        raise RequestError(f"-n is {n}, but must be at least 1.", param="n")
    if split not in ("train", "held_out"):
        raise RequestError(f"--split is {split!r}, but must be train or held_out.", param="split")
    kinds = check_group(tasks)
    others = [name.strip() for name in compare.split(",") if name.strip()]
    if unknown := [name for name in others if name not in BASELINES]:
        raise RequestError(f"--compare {unknown[0]!r} is none of {', '.join(BASELINES)}.", param="compare")
    session.check_outputs(json)
    if model not in BASELINES:
        s.check_model(model)
    names = [model, *(name for name in others if name != model)]
    found: dict[str, Any] = {"n": n, "tasks": tasks, "split": split, "seed": seed, "models": {}}

    def work(tell: session.Tell) -> None:
        with PanelWorld() as world:
            for name in names:
                make = baseline(name) if name in BASELINES else _maker(name, device, dtype)
                marked = evaluate(
                    world,
                    make,
                    count=n,
                    kinds=kinds,
                    split=split,
                    seed=seed,
                    tell=lambda done, name=name: tell(f"act: {name}", done, n),  # type: ignore[misc]
                )
                found["models"][name] = {
                    "shares": {kind: share.to_dict() for kind, share in shares(marked).items()},
                    "episodes": [vars(each) | {"acts": list(each.acts)} for each in marked],
                }

    session.watched(work, session.cancel_token(), quiet=quiet, out=None)
    session.write_json(json, found)
    if json != session.STDOUT:
        _show(found)


def _maker(name: str, device: str | None, dtype: str | None) -> Any:
    from inkwash.agent.model import Local

    pipe = s.open_pipeline(s.AnswerOptions(model=name, device=device, dtype=dtype))
    return lambda world, episode: Local(pipe, name, max_tokens=192)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("tasks", *found["models"])
    kinds = next(iter(found["models"].values()))["shares"]
    for kind in kinds:
        row = [one["shares"][kind] for one in found["models"].values()]
        table.add_row(kind, *(f"{each['success']:.3f} ({each['low']:.2f} to {each['high']:.2f})" for each in row))
    Console(highlight=False).print(table)
