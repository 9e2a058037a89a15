"""`inkwash eval cvtg2k`, `longtext-en` and the other benchmarks: draw into the official layout, score.

There is one function for all of them. `register` loops over the registry and gives each benchmark a command with the
shared options, those of its judges and its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli.options import DeviceOptions, ReportOptions, SamplingOptions, command
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.eval.benchmarks.benchmark import Benchmark, BenchmarkRun
    from inkwash.eval.benchmarks.drawing import DrawPictures
    from inkwash.eval.benchmarks.judges import Judges
    from inkwash.eval.predictions import TextReader

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """The prompts of a benchmark that does not ship with the package."""

    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="The benchmark's official prompt files.")]


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Pictures."""

    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Score finished pictures in the official layout; none may miss."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Draw into this folder, or go on there [default: drawn/TASK/MODEL]."),
    ] = None
    model: Annotated[
        str, typer.Option("--model", help="What draws: a name that `inkwash models` lists, or a checkpoint folder.")
    ] = "nano"
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Only N prompts; files or categories take turns.")
    ] = None

    @property
    def model_folder(self) -> str:
        """The model's name as a folder name."""
        return Path(self.model).name if Path(self.model).is_dir() else self.model.replace("/", "--")

    def folder(self, task: str) -> Path:
        """Where the pictures are, or are drawn."""
        return self.images or self.out or Path("drawn") / task / self.model_folder


@dataclass(frozen=True, kw_only=True)
class DrawingOptions:
    """How the pictures are drawn."""

    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="Of the pictures [default: the model's own, or the source's]."),
    ] = None
    seed: Annotated[int, typer.Option("--seed", help="Every picture's seed follows from it and from its place.")] = 0
    batch: Annotated[
        int, typer.Option("--batch", help="Pictures drawn at once; more is faster on a GPU, and changes no picture.")
    ] = 1
    draw_only: Annotated[
        bool, typer.Option("--draw-only", help="Draw, and leave the scoring to the official scripts.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """Who reads."""

    reader: Annotated[
        str | None,
        typer.Option("--reader", help="What reads: rapidocr (default, offline), rapidocr-v4, tesseract or paddle."),
    ] = None
    reader_models: Annotated[
        Path | None, typer.Option("--reader-models", metavar="DIR", help="PaddleOCR models for --reader paddle.")
    ] = None

    def __post_init__(self) -> None:
        from inkwash.eval.readers import READERS

        if self.reader is not None and self.reader not in READERS:
            raise ConfigError(f"the reader is {self.reader!r}; it must be one of {', '.join(READERS)}.")
        if (self.reader_models is not None) != (self.reader == "paddle"):
            raise ConfigError("--reader paddle and --reader-models belong together; give both or neither.")


@dataclass(frozen=True, kw_only=True)
class WeightsOptions:
    """Weights of judges."""

    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights", metavar="NAME=PATH", help="A judge's weights: clip, llm2clip, csd, style, dreamsim, mplug."
        ),
    ] = None

    def paths(self) -> dict[str, Path]:
        """Weights by name."""
        found = {}
        for entry in self.weights or []:
            name, _, path = entry.partition("=")
            if not path:
                raise ConfigError(f"--weights {entry!r} is not NAME=PATH; write it like clip=ViT-L-14.pt.")
            found[name] = Path(path)
        return found


@dataclass(frozen=True, kw_only=True)
class VisionOptions:
    """A vision model as judge."""

    judge_url: Annotated[
        str | None,
        typer.Option("--judge-url", metavar="URL", help="A vision model of an OpenAI-compatible server judges."),
    ] = None
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", metavar="NAME", help="Its name on that server.")
    ] = None
    judge_key: Annotated[
        str,
        typer.Option("--judge-key", envvar="INKWASH_JUDGE_KEY", help="Its key, if it wants one.", show_default=False),
    ] = ""
    workers: Annotated[int, typer.Option("--workers", help="Pictures the server is asked about at once.")] = 8
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="FILE", help="What was answered [default: predictions.jsonl beside the pictures]."
        ),
    ] = None

    def __post_init__(self) -> None:
        if (self.judge_url is None) != (self.judge_model is None):
            raise ConfigError("a vision model as judge needs both --judge-url and --judge-model; give both or neither.")


@dataclass(frozen=True, kw_only=True)
class OfficialFileOptions:
    """The results file of the official scorer."""

    official: Annotated[
        Path | None, typer.Option("--official", metavar="FILE", help="Write the official scorer's results file.")
    ] = None


def register(app: typer.Typer) -> None:
    """Give the app one command for each benchmark."""
    from inkwash.eval.benchmarks.registry import BENCHMARKS

    for benchmark in BENCHMARKS.values():
        data = "--data DIR --limit 40 " if benchmark.data is None else ""
        doc = f"{benchmark.summary}\n\nExample: inkwash eval {benchmark.name} {data}--html report.html"
        app.command(benchmark.name)(command(partial(_run, benchmark), *_groups(benchmark), doc=doc))


def _groups(benchmark: Benchmark[Any, Any]) -> list[type]:
    return [
        *([DataOptions] if benchmark.data is None else []),
        FileOptions,
        benchmark.options,
        DrawingOptions,
        SamplingOptions,
        *([ReaderOptions] if benchmark.reads else []),
        *([WeightsOptions] if benchmark.weights else []),
        VisionOptions,
        ReportOptions,
        *([OfficialFileOptions] if benchmark.official_file else []),
        DeviceOptions,
    ]


def _run(benchmark: Benchmark[Any, Any], *groups: Any) -> None:
    """Draw one benchmark (unless the pictures are there already) and score it."""
    options: dict[type, Any] = {type(group): group for group in groups}
    files, report, device = options[FileOptions], options[ReportOptions], options[DeviceOptions]
    official = options.get(OfficialFileOptions, OfficialFileOptions()).official
    draw_only = options[DrawingOptions].draw_only
    session.check_outputs(report.json, report.html, official)
    drawing = files.images is None
    if not drawing and (files.out is not None or draw_only):
        raise ConfigError("--images scores finished pictures, --out and --draw-only draw; give one of them.")
    run = _benchmark_run(benchmark, options)
    judges = _judges(run, options)
    cancel = session.cancel_token()
    draw = None
    if drawing:
        config = options[SamplingOptions].config(files.model, options[DrawingOptions].seed, cancel)
        draw = _drawing(run, files.model, options[DrawingOptions], config, device)
        if not draw_only:
            judges.check(benchmark.needs(run.options))

    def work(tell: session.Tell) -> tuple[dict[str, Any], Any]:
        drawn = {} if draw is None else draw(tell)
        return drawn, None if draw_only else run.score(judges, progress=tell)

    drawn, result = session.watched(work, cancel, quiet=device.quiet, out=run.images if drawing else None)
    if result is None:
        print(f"The pictures are in {run.images}, as the official scripts expect them.")
        return
    _report(run, replace(result, settings=result.settings | drawn), report, official)


def _benchmark_run(benchmark: Benchmark[Any, Any], options: dict[type, Any]) -> BenchmarkRun[Any]:
    from inkwash.eval.benchmarks.benchmark import BenchmarkRun

    files = options[FileOptions]
    folder = files.folder(benchmark.name)
    return BenchmarkRun(
        benchmark=benchmark,
        data=benchmark.data or options[DataOptions].data,
        images=folder,
        options=options[benchmark.options],
        limit=files.limit,
        cache=options[VisionOptions].cache or folder / PREDICTIONS_FILE,
        model_folder=files.model_folder if files.images is None else None,
    )


def _report(run: BenchmarkRun[Any], result: Any, report: ReportOptions, official: Path | None) -> None:
    from inkwash.eval.benchmarks.page import benchmark_page
    from inkwash.eval.report import write_page

    scores, model = result.to_dict(), result.settings.get("model")
    session.write_json(report.json, scores)
    if model is not None:  # drawn here; finished pictures may lie where nothing else may be written
        session.write_json(run.images / "scores.json", scores)
    if official is not None:
        session.write_json(official, result.official)
    if report.html is not None:
        title = f"{result.task}: {model or run.images}"
        write_page(benchmark_page(run.benchmark, result, title=title), report.html)
    session.show(scores, result.parts_name, report.json)


def _drawing(
    run: BenchmarkRun[Any], model: str, drawing: DrawingOptions, config: Any, device: DeviceOptions
) -> Callable[[session.Tell], dict[str, Any]]:
    """The function that draws what is missing; returns what the report says about it."""
    from inkwash.core import limits
    from inkwash.core.types import Size
    from inkwash.eval.benchmarks.drawing import draw_tasks, drawer

    size = None if drawing.size is None else limits.check_size(Size.parse(drawing.size))
    limits.check_whole("batch", drawing.batch, 1, 1024)
    tasks = run.tasks()
    settings = {
        "model": model,
        "fingerprint": session.fingerprint(model),
        "size": None if size is None else str(size),
        **config.settings(),
    }

    def open_draw() -> DrawPictures:
        return drawer(session.opener(model, device.device, device.dtype)(), size, config)

    def draw(tell: session.Tell) -> dict[str, Any]:
        seconds = draw_tasks(
            tasks,
            run.images,
            open_draw,
            seed=config.seed,
            settings={"task": run.task, **settings, **run.options.that_select_prompts()},
            batch=drawing.batch,
            progress=partial(tell, "draw"),
        )
        return settings | {"seconds_per_picture": None if seconds != seconds else round(seconds, 4)}

    return draw


def _judges(run: BenchmarkRun[Any], options: dict[type, Any]) -> Judges:
    """The judges that the options name."""
    from inkwash.eval.benchmarks.chat import JudgeEndpoint, VisionClient
    from inkwash.eval.benchmarks.judges import Judges
    from inkwash.eval.benchmarks.vision import VlmReader

    reading, vision = options.get(ReaderOptions, ReaderOptions()), options[VisionOptions]
    stop = threading.Event()
    client = None
    if vision.judge_url is not None and vision.judge_model is not None:
        endpoint = JudgeEndpoint(
            url=vision.judge_url, model=vision.judge_model, key=vision.judge_key, workers=vision.workers
        )
        client = VisionClient(endpoint, stop)

    def open_reader() -> TextReader:
        from inkwash.eval.readers import open_reader as open_ocr

        if client is not None and reading.reader is None:
            return VlmReader(client)
        return open_ocr(
            reading.reader or "rapidocr",
            models=reading.reader_models,
            language=run.benchmark.language,
            config=run.benchmark.reader,
        )

    return Judges(
        open_reader=open_reader,
        client=client,
        weights=options.get(WeightsOptions, WeightsOptions()).paths(),
        cache=run.cache,
        workers=_workers(vision.workers, client is not None and reading.reader is None, reading.reader),
        device=options[DeviceOptions].device,
        stop=stop,
    )


def _workers(wanted: int, server: bool, reader: str | None) -> int:
    """Questions at once: as wanted where a server answers, one for each core where pictures are read here."""
    if server:
        return wanted
    if reader == "paddle":  # the official package is not made for threads
        return 1
    from inkwash.core.device import usable_cores

    return min(wanted, usable_cores())
