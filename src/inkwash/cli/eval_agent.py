"""`inkwash eval agent`: a model that sees, on held-out panels or on MiniWoB++ in a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from inkwash.agent.model import Model
    from inkwash.agent.worlds.evaluate import MarkedEpisode
    from inkwash.eval.paired import Scores

Count = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--n",
        help="How many tasks; task i is the same in every larger run; of miniwob, of each task [default: 300; 50].",
    ),
]
SuiteName = Annotated[
    str, typer.Option("--suite", metavar="panels|miniwob", help="Held-out panels, or ten tasks of MiniWoB++.")
]
Pages = Annotated[
    Path | None,
    typer.Option("--miniwob", metavar="DIR", help="The pages of MiniWoB++ [default: those of the package miniwob]."),
]
Tasks = Annotated[
    str,
    typer.Option("--tasks", metavar="single|multi|all", help="Of one act, of several, or both; of miniwob, names."),
]
Split = Annotated[str, typer.Option("--split", help="held_out: new words, layout and styles; or train.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides pages and tasks.")]
Compare = Annotated[str, typer.Option("--compare", metavar="A,B", help="Also: expert (panels), random, first widget.")]
ModelName = Annotated[str, typer.Option("--model", help="A model that sees, or one of those of --compare alone.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is stdout.")]
Tell = Callable[[int], None]
MAX_TOKENS = 192
SUCCESS = "success"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A world with its tasks: how many episodes there are, and how an agent plays them."""

    total: int
    open: Callable[[], AbstractContextManager[Any]]
    baseline: Callable[[str], Callable[[Any, Any], Model]]
    play: Callable[[Any, Callable[[Any, Any], Model], Tell], list[MarkedEpisode]]


def agent(
    n: Count = None,
    model: ModelName = "nano-v",
    suite: SuiteName = "panels",
    tasks: Tasks = "all",
    split: Split = "held_out",
    seed: Seed = 0,
    compare: Compare = "random",
    pages: Pages = None,
    json: JsonFile = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Have a model that sees operate pages in a browser: shares of tasks done, by the pages themselves.

    Example: inkwash eval agent -n 300 --tasks single --json scores.json
    """
    from inkwash.agent.worlds.evaluate import BASELINES, shares

    if suite not in ("panels", "miniwob"):
        raise RequestError(f"--suite is {suite!r}, but must be panels or miniwob.", param="suite")
    count = n if n is not None else {"panels": 300, "miniwob": 50}[suite]
    if count < 1:
        raise RequestError(f"-n is {count}, but must be at least 1.", param="n")
    if split not in ("train", "held_out"):
        raise RequestError(f"--split is {split!r}, but must be train or held_out.", param="split")
    others = [name.strip() for name in compare.split(",") if name.strip()]
    if unknown := [name for name in others if name not in BASELINES]:
        raise RequestError(f"--compare {unknown[0]!r} is none of {', '.join(BASELINES)}.", param="compare")
    session.check_outputs(json)
    if model not in BASELINES:
        s.check_model(model)
    names = [model, *(name for name in others if name != model)]
    chosen = _panels(count, tasks, split, seed) if suite == "panels" else _miniwob(count, tasks, seed, pages)
    makers = {name: chosen.baseline(name) for name in names if name in BASELINES}
    facts = {"suite": suite, "n": count, "tasks": tasks, "split": split, "seed": seed}
    found: dict[str, Any] = {**facts, "models": {}, "paired": {}}

    def work(tell: session.Tell) -> None:
        first: list[MarkedEpisode] = []
        with chosen.open() as world:
            for name in names:
                make = makers.get(name) or _maker(name, device, dtype)
                marked = chosen.play(world, make, partial(_report, tell, name, chosen.total))
                found["models"][name] = {
                    "shares": {kind: share.to_dict() for kind, share in shares(marked).items()},
                    "episodes": [vars(each) | {"acts": list(each.acts)} for each in marked],
                }
                if first:
                    found["paired"][name] = _compared((name, marked), (names[0], first))
                first = first or marked

    session.watched(work, session.cancel_token(), quiet=quiet, out=None)
    session.write_json(json, found)
    if json != session.STDOUT:
        _show(found)


def _compared(a: tuple[str, Sequence[MarkedEpisode]], b: tuple[str, Sequence[MarkedEpisode]]) -> dict[str, Any]:
    """`b` less `a`, on the same episodes."""
    from inkwash.eval.paired import compare

    return compare(_scores(*a), _scores(*b)).to_dict()


def _scores(name: str, marked: Sequence[MarkedEpisode]) -> Scores:
    from inkwash.eval.paired import PairedItem, Scores

    items = tuple(PairedItem(key=f"{each.kind} {each.seed}", sums={SUCCESS: (each.success, 1)}) for each in marked)
    return Scores(name=name, task="agent", judges={SUCCESS: "the page"}, items=items)


def _report(tell: session.Tell, name: str, total: int, done: int) -> None:
    tell(f"act: {name}", done, total)


def _panels(count: int, tasks: str, split: str, seed: int) -> Suite:
    from inkwash.agent.worlds.evaluate import baseline, check_group, evaluate
    from inkwash.agent.worlds.panels import PanelWorld

    kinds = check_group(tasks)
    return Suite(
        total=count,
        open=PanelWorld,
        baseline=baseline,
        play=lambda world, make, tell: evaluate(
            world, make, count=count, kinds=kinds, split=split, seed=seed, tell=tell
        ),
    )


def _miniwob(count: int, tasks: str, seed: int, pages: Path | None) -> Suite:
    from inkwash.agent.worlds.miniwob import (
        TASKS,
        MiniWobWorld,
        check_tasks,
        evaluate_miniwob,
        find_pages,
        miniwob_baseline,
    )

    folder = find_pages(pages)
    kinds = TASKS if tasks == "all" else check_tasks(folder, tasks)
    return Suite(
        total=count * len(kinds),
        open=lambda: MiniWobWorld(folder),
        baseline=miniwob_baseline,
        play=lambda world, make, tell: evaluate_miniwob(world, make, count=count, tasks=kinds, seed=seed, tell=tell),
    )


def _maker(name: str, device: str | None, dtype: str | None) -> Any:
    from inkwash.agent.model import Local

    pipe = s.open_pipeline(s.SeeingOptions(model=name, device=device, dtype=dtype))
    return lambda world, episode: Local(pipe, name, max_tokens=MAX_TOKENS)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("tasks", *found["models"])
    kinds = next(iter(found["models"].values()))["shares"]
    for kind in kinds:
        row = [one["shares"][kind] for one in found["models"].values()]
        table.add_row(kind, *(f"{each['success']:.3f} ({each['low']:.2f} to {each['high']:.2f})" for each in row))
    console, first = Console(highlight=False), next(iter(found["models"]))
    console.print(table)
    for name, compared in found["paired"].items():
        less = compared["metrics"][SUCCESS]
        interval = f"{less['low']:+.3f} to {less['high']:+.3f}"
        console.print(f"{first} less {name}: {less['difference']:+.3f} ({interval}, paired)")
