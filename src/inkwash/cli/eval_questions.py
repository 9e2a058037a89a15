"""``inkwash eval questions``: a model that sees, asked about held-out scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.core.errors import RequestError

Count = Annotated[int, typer.Option("-n", "--n", help="How many scenes; scene i is the same in every larger run.")]
Kinds = Annotated[str, typer.Option("--kinds", metavar="A,B", help="Kinds of questions [default: all].")]
Level = Annotated[str, typer.Option("--level", help="first, or card: cards with things and wrapped texts.")]
Language = Annotated[str, typer.Option("--language", help="Of the cards: en or zh.")]
Wrong = Annotated[int, typer.Option("--wrong", help="How many wrong answers to print.")]
Think = Annotated[bool, typer.Option("--think/--no-think", help="With thoughts before the answers, or without.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides scenes and questions.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is stdout.")]


def questions(  # noqa: PLR0913 (each parameter is a setting)
    n: Count = 300,
    model: s.Model = "nano-v",
    kinds: Kinds = "",
    think: Think = True,
    wrong: Wrong = 10,
    seed: Seed = 300,
    level: Level = "first",
    language: Language = "en",
    json: JsonFile = None,
    quantize: s.Quantize = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Ask a model that sees about held-out scenes: colours, shapes or things, counts, boxes, readings.

    Example: inkwash eval questions -n 300 --json scores.json
    """
    if n < 1 or wrong < 0:
        raise RequestError(f"-n is {n} and --wrong {wrong}, but they must be at least 1 and 0.", param="n")
    settings = s.AnswerOptions(model=model, device=device, dtype=dtype, quantize=quantize)
    session.check_outputs(json)
    s.check_model(model)
    from inkwash.eval.seeing import as_dict, ask_pipeline, check_kinds, check_level
    from inkwash.eval.tasks.questions import kinds_of

    check_level(level, language)
    chosen = check_kinds([kind.strip() for kind in kinds.split(",")], level) if kinds else kinds_of(level)
    cancel = session.cancel_token()

    def work(tell: session.Tell) -> Any:
        pipe = s.open_pipeline(settings)
        return ask_pipeline(
            pipe,
            count=n,
            kinds=chosen,
            seed=seed,
            think=think,
            level=level,
            language=language,
            tell=lambda done: tell("ask", done, n),
        )

    score = session.watched(work, cancel, quiet=quiet, out=None)
    found = as_dict(score, model=model, n=n, seed=seed, thinking=think, level=level, language=language)
    session.write_json(json, found)
    if json != session.STDOUT:
        _show(found, wrong)


def _show(found: dict[str, Any], wrong: int) -> None:
    """A table of the shares, then some answers that were wrong."""
    from rich.console import Console
    from rich.table import Table

    table = Table("questions", "right", "asked")
    for name, row in {**found["per_kind"], **found["groups"]}.items():
        table.add_row(name, f"{row['right']:.3f}", str(row["asked"]))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"answers with a thought first: {found['thought_first']:.3f}; world {found['world']}", markup=False)
    for row in [row for row in found["questions"] if not row["right"]][:wrong]:
        console.print(f"  {row['question']!r}: {row['answer']!r} for {row['expected']!r}", soft_wrap=True, markup=False)
