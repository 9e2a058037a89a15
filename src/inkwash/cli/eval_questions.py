"""`inkwash eval questions`: a model that sees, asked about held-out scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.cli.options import command
from inkwash.core.errors import RequestError

Count = Annotated[int, typer.Option("-n", "--n", help="How many scenes; scene i is the same in every larger run.")]
Kinds = Annotated[str, typer.Option("--kinds", metavar="A,B", help="Kinds of questions [default: all].")]
Level = Annotated[str, typer.Option("--level", help="first, or card: cards with things and wrapped texts.")]
Language = Annotated[str, typer.Option("--language", help="Of the cards: en or zh.")]
Wrong = Annotated[int, typer.Option("--wrong", help="How many wrong answers to print.")]
Think = Annotated[bool, typer.Option("--think/--no-think", help="With thoughts before the answers, or without.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides scenes and questions.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - is stdout.")]


@dataclass(frozen=True, kw_only=True)
class QuestionOptions:
    """Which scenes and questions, who is asked, and where the scores go."""

    n: Count = 300
    model: s.Model = "nano-v"
    kinds: Kinds = ""
    think: Think = True
    wrong: Wrong = 10
    seed: Seed = 300
    level: Level = "first"
    language: Language = "en"
    json: JsonFile = None
    quantize: s.Quantize = None
    device: o.DeviceName = None
    dtype: o.Dtype = None
    quiet: o.Quiet = False


def _questions(options: QuestionOptions) -> None:
    """Ask a model that sees about held-out scenes: colours, shapes or things, counts, boxes, readings.

    Example: inkwash eval questions -n 300 --json scores.json
    """
    if options.n < 1 or options.wrong < 0:
        raise RequestError(
            f"-n is {options.n} and --wrong {options.wrong}, but they must be at least 1 and 0.", param="n"
        )
    settings = s.SeeingOptions(
        model=options.model, device=options.device, dtype=options.dtype, quantize=options.quantize
    )
    session.check_outputs(options.json)
    s.check_model(options.model)
    from inkwash.eval.seeing import as_dict, ask_pipeline, check_kinds, check_level
    from inkwash.eval.tasks.questions import kinds_of

    check_level(options.level, options.language)
    chosen = (
        check_kinds([kind.strip() for kind in options.kinds.split(",")], options.level)
        if options.kinds
        else kinds_of(options.level)
    )
    cancel = session.cancel_token()

    def work(tell: session.Tell) -> Any:
        pipe = s.open_pipeline(settings)
        return ask_pipeline(
            pipe,
            count=options.n,
            kinds=chosen,
            seed=options.seed,
            think=options.think,
            level=options.level,
            language=options.language,
            tell=lambda done: tell("ask", done, options.n),
        )

    score = session.watched(work, cancel, quiet=options.quiet, out=None)
    found = as_dict(
        score,
        model=options.model,
        n=options.n,
        seed=options.seed,
        thinking=options.think,
        level=options.level,
        language=options.language,
    )
    session.write_json(options.json, found)
    if options.json != session.STDOUT:
        _show(found, options.wrong)


questions = command(_questions, QuestionOptions)


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
