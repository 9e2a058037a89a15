"""``inkwash eval``: draw held-out scenes or edits and read them back; score pictures of published benchmarks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import eval_benchmarks as benchmarks
from inkwash.cli import eval_compare, eval_questions
from inkwash.cli import eval_session as session
from inkwash.cli import options as o

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Draw held-out cases and read them back: word accuracy and more.",
)
benchmarks.register(app)
app.command("compare")(eval_compare.compare)
app.command("questions")(eval_questions.questions)

Count = Annotated[int, typer.Option("-n", "--n", help="How many cases; case i is the same in every larger run.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides the cases and the noise; picture i has seed + i.")]
SizeText = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="WxH", help="Width x height, multiples of 32 [default: 384x384 for second, 256x256]."
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON; - is stdout.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with every picture.")]
Images = Annotated[
    Path | None, typer.Option("--images", metavar="DIR", help="Score the finished pictures 00000.png ... of a folder.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep the pictures there; a second run goes on from them.")
]
Batch = Annotated[int, typer.Option("--batch", help="Pictures drawn at once; changes speed and memory only.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Sampling temperature [default: the model's].")
]
Level = Annotated[str, typer.Option("--level", help="Which scenes: second, which nano knows, or first, free, full.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="Nucleus mass [default: the model's].")]


def _natural(level: str) -> tuple[str, str]:
    """What the scenes of a level were made for: a size, and how many texts."""
    return ("384x384", "1-5") if level == "second" else ("256x256", "1-2")


@app.command("scenes")
def scenes(
    n: Count = 200,
    regions: Annotated[
        str | None,
        typer.Option("--regions", metavar="A-B", help="How many texts a picture has [default: 1-5 for second, 1-2]."),
    ] = None,
    model: o.Model = "nano",
    source: Annotated[
        str,
        typer.Option("--source", help="ar: the whole model; teacher: true tokens; vae: round trip; truth: no model."),
    ] = "ar",
    level: Level = "second",
    language: Annotated[
        str, typer.Option("--language", help="Of texts and prompts: en, or zh (not for first).")
    ] = "en",
    seed: Seed = 0,
    size: SizeText = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch: Batch = 4,
    tries: o.Tries = None,
    best_of: o.BestOf = None,
    images: Images = None,
    out: Out = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Draw held-out scenes and read their words back by OCR; with --tries or --best-of as `generate --verify` does.

    Example: inkwash eval scenes -n 200 --html report.html
    """
    from inkwash.cli.settings import pace, verification
    from inkwash.core.types import Size
    from inkwash.eval.bench import ScenesRun, reader_config, run_scenes
    from inkwash.eval.ocr import Reader
    from inkwash.eval.report import scenes_page, write_page
    from inkwash.eval.sources import DrawConfig
    from inkwash.scenes.render import render

    session.check_outputs(json, html)
    cancel, counts = session.cancel_token(), session.parse_regions(regions or _natural(level)[1])
    draws = images is None and source != "truth"
    if draws:  # finished pictures may be of any model, whatever it is called
        steps, guidance = pace(model, steps, guidance)
    run = ScenesRun(
        n=n,
        regions=counts,
        level=level,
        language=language,
        verify=verification(tries is not None or best_of is not None, tries, best_of),
        source=source,
        size=Size.parse(size or _natural(level)[0]),
        model=model,
        draw=DrawConfig(
            seed=seed,
            steps=steps,
            guidance=guidance,
            temperature=temperature,
            top_p=top_p,
            cancel=cancel,
        ),
        batch=batch,
        images=images,
        out=out,
    )
    reader, opener = Reader(reader_config(level)), session.opener(model, device, dtype)
    if draws:
        run = replace(run, fingerprint=session.fingerprint(model))
    result = session.watched(
        lambda tell: run_scenes(run, opener, reader=reader, progress=tell), cancel, quiet=quiet, out=out
    )
    session.write_json(json, result.to_dict())
    if html is not None:
        truths = [render(case.scene) for case in result.cases]
        page = scenes_page(
            result.report, result.images, title="Held-out scenes", settings=result.settings, truths=truths
        )
        write_page(page, html)
    session.show(result.to_dict(), "per_regions", json)


@app.command("edits")
def edits(
    n: Count = 100,
    kinds: Annotated[str, typer.Option("--kinds", metavar="A,B", help="Kinds of edits, which take turns.")] = (
        "background,words"
    ),
    model: o.Model = "nano",
    level: Level = "second",
    seed: Seed = 0,
    size: SizeText = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch: Batch = 4,
    images: Images = None,
    out: Out = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Edit held-out scenes: is the asked change there, and the rest as it was?

    Example: inkwash eval edits -n 100 --kinds background,words
    """
    from inkwash.cli.settings import pace
    from inkwash.core.types import Size
    from inkwash.eval.bench import EditsRun, reader_config, run_edits
    from inkwash.eval.ocr import Reader
    from inkwash.eval.report import edits_page, write_page
    from inkwash.eval.sources import DrawConfig
    from inkwash.scenes.render import render

    session.check_outputs(json, html)
    cancel = session.cancel_token()
    if images is None:
        steps, guidance = pace(model, steps, guidance)
    run = EditsRun(
        n=n,
        kinds=tuple(kind.strip() for kind in kinds.split(",")),
        level=level,
        size=Size.parse(size or _natural(level)[0]),
        model=model,
        draw=DrawConfig(
            seed=seed,
            steps=steps,
            guidance=guidance,
            temperature=temperature,
            top_p=top_p,
            cancel=cancel,
        ),
        batch=batch,
        images=images,
        out=out,
    )
    reader, opener = Reader(reader_config(level)), session.opener(model, device, dtype)
    if images is None:
        run = replace(run, fingerprint=session.fingerprint(model))
    result = session.watched(
        lambda tell: run_edits(run, opener, reader=reader, progress=tell), cancel, quiet=quiet, out=out
    )
    session.write_json(json, result.to_dict())
    if html is not None:
        before = [render(case.edit.sources[0]) for case in result.cases]
        page = edits_page(result.report, result.images, before, title="Held-out edits", settings=result.settings)
        write_page(page, html)
    session.show(result.to_dict(), "per_kind", json)
