"""`inkwash eval`: draw held-out scenes or edits and read them back; score pictures of published benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import eval_agent, eval_benchmarks, eval_compare, eval_questions
from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.cli.help import WholeSummaries
from inkwash.cli.options import DeviceOptions, ReportOptions, SamplingOptions, command

if TYPE_CHECKING:
    from inkwash.core.types import Size

app = typer.Typer(
    cls=WholeSummaries,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Draw held-out cases and read them back: word accuracy and more.",
)


@dataclass(frozen=True, kw_only=True)
class CaseOptions:
    """Which cases, and which pictures of them."""

    model: o.Model = "nano"
    level: Annotated[
        str, typer.Option("--level", help="Which scenes: card, which nano draws, or second, first, free, full.")
    ] = "card"
    seed: Annotated[int, typer.Option("--seed", help="Decides the cases and the noise; picture i has seed + i.")] = 0
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="Width x height, multiples of 32 [default: 384x384 for card and second, 256x256].",
        ),
    ] = None
    batch: Annotated[int, typer.Option("--batch", help="Pictures drawn at once; changes speed and memory only.")] = 4
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Score the finished pictures 00000.png ... of a folder."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Keep the pictures there; a second run goes on from them."),
    ] = None

    @property
    def usual(self) -> tuple[str, str]:
        """What the scenes of the level were made for: a size, and how many texts."""
        from inkwash.scenes.levels import BASIC, LEVELS

        level = LEVELS.get(self.level, BASIC)  # an unknown one is refused later
        return f"{level.side}x{level.side}", f"{level.texts[0]}-{level.texts[1]}"

    def parsed_size(self) -> Size:
        """The size in pixels."""
        from inkwash.core.types import Size

        return Size.parse(self.size or self.usual[0])


Count = Annotated[int, typer.Option("-n", "--n", help="How many cases; case i is the same in every larger run.")]


@dataclass(frozen=True, kw_only=True)
class SceneCaseOptions:
    """What is asked of scenes."""

    n: Count = 200
    regions: Annotated[
        str | None,
        typer.Option(
            "--regions", metavar="A-B", help="How many texts a picture has [default: 1-5 for card and second, 1-2]."
        ),
    ] = None
    source: Annotated[
        str,
        typer.Option("--source", help="ar: the whole model; teacher: true tokens; vae: round trip; truth: no model."),
    ] = "ar"
    language: Annotated[str, typer.Option("--language", help="Of texts and prompts: en, or zh (not for first).")] = "en"
    tries: o.Tries = None
    best_of: o.BestOf = None


@dataclass(frozen=True, kw_only=True)
class EditCaseOptions:
    """What is asked of edits."""

    n: Count = 100
    kinds: Annotated[
        str | None,
        typer.Option(
            "--kinds", metavar="A,B", help="Kinds of edits, which take turns [default: the level's usual ones]."
        ),
    ] = None


def scenes(
    wanted_cases: SceneCaseOptions,
    cases: CaseOptions,
    sampling: SamplingOptions,
    report: ReportOptions,
    device: DeviceOptions,
) -> None:
    """Draw held-out scenes and read their words back by OCR; with --tries or --best-of as `generate --verify` does.

    Example: inkwash eval scenes -n 200 --html report.html
    """
    from inkwash.cli.options import VerifyOptions
    from inkwash.eval.bench import ScenesRun, run_scenes
    from inkwash.eval.report import scenes_page
    from inkwash.scenes.render import render

    session.check_outputs(report.json, report.html)
    cancel, counts = session.cancel_token(), session.parse_regions(wanted_cases.regions or cases.usual[1])
    draws = cases.images is None and wanted_cases.source != "truth"
    wanted = wanted_cases.tries is not None or wanted_cases.best_of is not None
    verify = VerifyOptions(verify=wanted, tries=wanted_cases.tries, best_of=wanted_cases.best_of).rules()
    run = ScenesRun(
        n=wanted_cases.n,
        regions=counts,
        source=wanted_cases.source,
        language=wanted_cases.language,
        verify=verify,
        draw=sampling.config(cases.model if draws else None, cases.seed, cancel),
        **_shared(cases),
    )
    reader, opener = _judge(cases), session.opener(cases.model, device.device, device.dtype)
    if draws:
        run = replace(run, fingerprint=session.fingerprint(cases.model))
    result = session.watched(
        lambda tell: run_scenes(run, opener, reader=reader, progress=tell), cancel, quiet=device.quiet, out=cases.out
    )
    session.write_json(report.json, result.to_dict())
    if report.html is not None:
        truths = [render(case.scene) for case in result.cases]
        page = scenes_page(
            result.report, result.images, title="Held-out scenes", settings=result.settings, truths=truths
        )
        _write_page(page, report.html)
    session.show(result.to_dict(), "per_regions", report.json)


def edits(
    wanted_cases: EditCaseOptions,
    cases: CaseOptions,
    sampling: SamplingOptions,
    report: ReportOptions,
    device: DeviceOptions,
) -> None:
    """Edit held-out scenes: is the asked change there, and the rest as it was?

    Example: inkwash eval edits -n 100 --kinds background,words
    """
    from inkwash.eval.bench import EditsRun, run_edits, usual_kinds
    from inkwash.eval.report import edits_page
    from inkwash.scenes.render import render

    session.check_outputs(report.json, report.html)
    cancel = session.cancel_token()
    run = EditsRun(
        n=wanted_cases.n,
        kinds=usual_kinds(cases.level)
        if wanted_cases.kinds is None
        else tuple(k.strip() for k in wanted_cases.kinds.split(",")),
        draw=sampling.config(cases.model if cases.images is None else None, cases.seed, cancel),
        **_shared(cases),
    )
    reader, opener = _judge(cases), session.opener(cases.model, device.device, device.dtype)
    if cases.images is None:
        run = replace(run, fingerprint=session.fingerprint(cases.model))
    result = session.watched(
        lambda tell: run_edits(run, opener, reader=reader, progress=tell), cancel, quiet=device.quiet, out=cases.out
    )
    session.write_json(report.json, result.to_dict())
    if report.html is not None:
        before = [render(case.edit.sources[0]) for case in result.cases]
        page = edits_page(result.report, result.images, before, title="Held-out edits", settings=result.settings)
        _write_page(page, report.html)
    session.show(result.to_dict(), "per_kind", report.json)


def _shared(cases: CaseOptions) -> dict[str, Any]:
    """What both kinds of runs take from the options."""
    return {
        "level": cases.level,
        "size": cases.parsed_size(),
        "model": cases.model,
        "batch": cases.batch,
        "images": cases.images,
        "out": cases.out,
    }


def _judge(cases: CaseOptions) -> Any:
    from inkwash.eval.bench import reader_config
    from inkwash.eval.ocr import Reader

    return Reader(reader_config(cases.level))


def _write_page(page: str, path: Path) -> None:
    from inkwash.eval.report import write_page

    write_page(page, path)


eval_benchmarks.register(app)
app.command("compare")(eval_compare.compare)
app.command("questions")(eval_questions.questions)
app.command("agent")(eval_agent.agent)
app.command("scenes")(command(scenes, SceneCaseOptions, CaseOptions, SamplingOptions, ReportOptions, DeviceOptions))
app.command("edits")(command(edits, EditCaseOptions, CaseOptions, SamplingOptions, ReportOptions, DeviceOptions))
