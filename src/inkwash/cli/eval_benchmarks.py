"""``inkwash eval cvtg2k``, ``longtext-en`` and the other published benchmarks: draw into the official layout, score.

One function has all options; each benchmark's command has those that mean something to it.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.engine.request import CancelToken
    from inkwash.eval.benchmarks.drawing import DrawPictures
    from inkwash.eval.benchmarks.panel import Panel
    from inkwash.eval.benchmarks.runs import Scoring
    from inkwash.eval.predictions import Judge

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The benchmark's official prompt files.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Score finished pictures in the official layout; none may miss."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Draw into this folder, or go on there [default: drawn/TASK/MODEL]."),
]
Model = Annotated[
    str, typer.Option("--model", help="What draws: a name that `inkwash models` lists, or a checkpoint folder.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Only N prompts; files or categories take turns.")
]
DrawOnly = Annotated[bool, typer.Option("--draw-only", help="Draw, and leave the scoring to the official scripts.")]
SizeText = Annotated[
    str | None,
    typer.Option("--size", metavar="WxH", help="Of the pictures [default: the model's own, or the source's]."),
]
Seed = Annotated[int, typer.Option("--seed", help="Every picture's seed follows from it and from its place.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Sampling temperature [default: the model's].")
]
TopP = Annotated[float | None, typer.Option("--top-p", help="Nucleus mass [default: the model's].")]
Batch = Annotated[
    int, typer.Option("--batch", help="Pictures drawn at once; more is faster on a GPU, and changes no picture.")
]
Samples = Annotated[int, typer.Option("--samples", help="Pictures per prompt; the benchmark has 4.")]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="NAME", help="The system's folder in this layout [default: the only one there]."),
]
Split = Annotated[str, typer.Option("--split", help="testmini, which published tables show, or test.")]
Mode = Annotated[str, typer.Option("--mode", help="official, with the scorer's known faults, or fixed.")]
Language = Annotated[str, typer.Option("--language", help="Of the instructions: en or cn.")]
Dimensions = Annotated[
    str, typer.Option("--dimensions", metavar="A,B", help="Which of the five are judged; the overall score needs all.")
]
Sources = Annotated[
    Path | None, typer.Option("--sources", metavar="DIR", help="The pictures to be edited [default: below the data].")
]
Reader = Annotated[
    str | None, typer.Option("--reader", help="What reads: rapidocr (default, offline), tesseract or paddle.")
]
ReaderModels = Annotated[
    Path | None, typer.Option("--reader-models", metavar="DIR", help="PaddleOCR models for --reader paddle.")
]
Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights", metavar="NAME=PATH", help="A judge's weights: clip, llm2clip, csd, style, dreamsim, mplug."
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--judge-url", metavar="URL", help="A vision model of an OpenAI-compatible server judges."),
]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", metavar="NAME", help="Its name on that server.")]
Key = Annotated[
    str,
    typer.Option("--judge-key", envvar="INKWASH_JUDGE_KEY", help="Its key, if it wants one.", show_default=False),
]
Workers = Annotated[int, typer.Option("--workers", help="Pictures the server is asked about at once.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FILE", help="What was answered [default: predictions.jsonl beside the pictures]."),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON; - is stdout.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page, worst pictures first.")]
Official = Annotated[
    Path | None, typer.Option("--official", metavar="FILE", help="Write the official scorer's results file.")
]


def benchmark(
    task: str,
    data: Data,
    images: Images = None,
    out: Out = None,
    model: Model = "nano",
    limit: Limit = None,
    samples: Samples = 4,
    system: System = None,
    split: Split = "testmini",
    mode: Mode = "official",
    language: Language = "en",
    dimensions: Dimensions = "alignment,text,reasoning,style,diversity",
    sources: Sources = None,
    size: SizeText = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    seed: Seed = 0,
    temperature: Temperature = None,
    top_p: TopP = None,
    batch: Batch = 1,
    draw_only: DrawOnly = False,
    reader: Reader = None,
    reader_models: ReaderModels = None,
    weights: Weights = None,
    judge_url: Address = None,
    judge_model: JudgeModel = None,
    judge_key: Key = "",
    workers: Workers = 8,
    cache: Cache = None,
    json: JsonFile = None,
    html: HtmlFile = None,
    official: Official = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    quiet: o.Quiet = False,
) -> None:
    """Draw one benchmark (unless the pictures are there already) and score it."""
    from inkwash.eval.benchmarks.runs import PREDICTIONS_FILE, Scoring

    session.check_outputs(json, html, official)
    drawing = images is None
    if not drawing and (out is not None or draw_only):
        raise ConfigError("--images scores finished pictures, --out and --draw-only draw; give one of them.")
    folder = images or out or Path("drawn") / task / _slug(model)
    run = Scoring(
        task=task,
        data=data,
        images=folder,
        limit=limit,
        samples=samples,
        cache=cache or folder / PREDICTIONS_FILE,
        system=system or (_slug(model) if drawing else None),
        split=split,
        mode=mode,
        language=language,
        dimensions=tuple(part.strip() for part in dimensions.split(",")),
        sources=sources,
    )
    panel = _panel(run, reader, reader_models, weights or [], (judge_url, judge_model, judge_key, workers), device)
    draw, cancel = None, session.cancel_token()
    if drawing:
        settings = (steps, guidance, seed, temperature, top_p, batch)
        draw = _drawing(run, model, size, settings, device, dtype, cancel)
    _work(run, panel, draw, draw_only, json, html, official, quiet, cancel)


def _work(
    run: Scoring,
    panel: Panel,
    draw: Callable[[session.Tell], dict[str, Any]] | None,
    draw_only: bool,
    json: Path | None,
    html: Path | None,
    official: Path | None,
    quiet: bool,
    cancel: CancelToken,
) -> None:
    from dataclasses import replace

    from inkwash.eval.benchmarks.page import benchmark_page
    from inkwash.eval.benchmarks.runs import score_pictures
    from inkwash.eval.report import write_page

    if draw is not None and not draw_only:
        panel.check(run.task, run.dimensions)

    def work(tell: session.Tell) -> tuple[dict[str, Any], Any]:
        made = {} if draw is None else draw(tell)
        return made, None if draw_only else score_pictures(run, panel, progress=tell)

    made, result = session.watched(work, cancel, quiet=quiet, out=None if draw is None else run.images)
    if result is None:
        print(f"The pictures are in {run.images}, as the official scripts expect them.")
        return
    result = replace(result, settings=result.settings | made)
    scores = result.to_dict()
    session.write_json(json, scores)
    if draw is not None:
        session.write_json(run.images / "scores.json", scores)
    if official is not None:
        if result.official is None:
            raise ConfigError(
                f"the official scorer of {run.task} has no results file of its own; leave --official out."
            )
        session.write_json(official, result.official)
    if html is not None:
        write_page(benchmark_page(result, title=f"{result.task}: {made.get('model', run.images)}"), html)
    session.show(scores, result.parts_name, json)


def _drawing(
    run: Scoring,
    model: str,
    size: str | None,
    settings: tuple[Any, ...],
    device: str | None,
    dtype: str | None,
    cancel: CancelToken,
) -> Callable[[session.Tell], dict[str, Any]]:
    """The function that draws what is missing; returns what the report says about it."""
    from functools import partial

    from inkwash.cli.settings import pace
    from inkwash.core import limits
    from inkwash.core.types import Size
    from inkwash.eval.benchmarks.drawing import draw_sheets, drawer
    from inkwash.eval.benchmarks.sheets import sheets
    from inkwash.eval.sources import DrawConfig

    steps, guidance, seed, temperature, top_p, batch = settings
    steps, guidance = pace(model, steps, guidance)
    config = DrawConfig(
        seed=seed,
        steps=steps,
        guidance=guidance,
        temperature=temperature,
        top_p=top_p,
        cancel=cancel,
    )
    wanted = None if size is None else limits.check_size(Size.parse(size))
    limits.check_whole("batch", batch, 1, 1024)
    asked = sheets(run)
    told = {
        "task": run.task,
        "model": model,
        "fingerprint": session.fingerprint(model),
        "size": None if wanted is None else str(wanted),
        "seed": seed,
        "steps": config.steps,
        "guidance": guidance,
        "temperature": temperature,
        "top_p": top_p,
    } | ({"split": run.split} if run.task == "tiif" else {})

    def open_draw() -> DrawPictures:
        return drawer(session.opener(model, device, dtype)(), wanted, config)

    def draw(tell: session.Tell) -> dict[str, Any]:
        progress = partial(tell, "draw")
        seconds = draw_sheets(asked, run.images, open_draw, seed=seed, settings=told, batch=batch, progress=progress)
        drawn = {key: value for key, value in told.items() if key != "task"}
        return drawn | {"seconds_per_picture": None if seconds != seconds else round(seconds, 4)}

    return draw


def _panel(
    run: Scoring,
    reader: str | None,
    models: Path | None,
    weights: list[str],
    judge: tuple[str | None, str | None, str, int],
    device: str | None,
) -> Panel:
    """The judges that the options name."""
    from inkwash.eval.benchmarks.chat import Endpoint, VisionClient
    from inkwash.eval.benchmarks.judges import VlmReader
    from inkwash.eval.benchmarks.panel import Panel
    from inkwash.eval.readers import READERS

    url, name, key, workers = judge
    if (url is None) != (name is None):
        raise ConfigError("a vision model as judge needs both --judge-url and --judge-model; give both or neither.")
    if reader is not None and reader not in READERS:
        raise ConfigError(f"the reader is {reader!r}; it must be one of {', '.join(READERS)}.")
    if (models is not None) != (reader == "paddle"):
        raise ConfigError("--reader paddle and --reader-models belong together; give both or neither.")
    stop = threading.Event()
    client = None
    if url is not None and name is not None:
        client = VisionClient(Endpoint(url=url, model=name, key=key, workers=workers), stop)

    def open_reader() -> Judge:
        from inkwash.eval.readers import open_reader as open_ocr

        if client is not None and reader is None:
            return VlmReader(client)
        return open_ocr(reader or "rapidocr", models=models, language="zh" if run.task.endswith("zh") else "en")

    return Panel(
        open_reader=open_reader,
        client=client,
        weights=dict(_weight(given) for given in weights),
        cache=run.cache,
        workers=_workers(workers, client is not None and reader is None, reader),
        device=device,
        stop=stop,
    )


def _workers(asked: int, server: bool, reader: str | None) -> int:
    """Questions at once: as asked where a server answers, one for each core where pictures are read here."""
    if server:
        return asked
    if reader == "paddle":  # the official package is not made for threads
        return 1
    from inkwash.core.device import usable_cores

    return min(asked, usable_cores())


def _weight(given: str) -> tuple[str, Path]:
    name, found, path = given.partition("=")
    if not found or not path:
        raise ConfigError(f"--weights {given!r} is not NAME=PATH; write it like clip=ViT-L-14.pt.")
    return name, Path(path)


def _slug(model: str) -> str:
    """A model's name as a folder name."""
    return Path(model).name if Path(model).is_dir() else model.replace("/", "--")


_SHARED = {
    *("data", "images", "out", "model", "limit", "size", "steps", "guidance", "seed", "temperature", "top_p", "batch"),
    *(
        "draw_only",
        "judge_url",
        "judge_model",
        "judge_key",
        "workers",
        "cache",
        "json",
        "html",
        "device",
        "dtype",
        "quiet",
    ),
}
_READING = {"reader", "reader_models"}
_OWN: dict[str, tuple[set[str], str]] = {  # what each benchmark has beyond that, and the first line of its help
    "cvtg2k": (_READING | {"weights", "official"}, "CVTG-2K: words of two to five texts per picture."),
    "longtext-en": (_READING | {"samples"}, "LongText-Bench in English: share of words read."),
    "longtext-zh": (_READING | {"samples"}, "LongText-Bench in Chinese: share of characters read."),
    "oneig-en": (_READING | {"weights", "system", "dimensions"}, "OneIG-Bench in English: five dimensions."),
    "oneig-zh": (_READING | {"weights", "system", "dimensions"}, "OneIG-Bench in Chinese: five dimensions."),
    "tiif": ({"system", "split"}, "TIIF-Bench: short and long descriptions, questions answered."),
    "dpg": ({"weights", "mode"}, "DPG-Bench: dense prompts, questions that depend on one another."),
    "geneval": ({"samples"}, "GenEval: objects, counts, colours and places."),
    "gedit": ({"sources", "language"}, "GEdit-Bench: edits of real pictures, VIEScore."),
    "imgedit": ({"sources"}, "ImgEdit: edits of real pictures, three points each."),
}


def register(app: typer.Typer) -> None:
    """Give the app one command for each benchmark."""
    for task in _OWN:
        app.command(task)(command(task))


def command(task: str) -> Callable[..., None]:
    """`benchmark` for one task, with the options that mean something to it."""
    own, says = _OWN[task]
    parameters = inspect.signature(benchmark, eval_str=True).parameters
    kept = [parameter for name, parameter in parameters.items() if name in _SHARED | own]

    def call(**given: Any) -> None:
        benchmark(task, **given)

    call.__name__ = task.replace("-", "_")
    call.__doc__ = f"{says}\n\nExample: inkwash eval {task} --data DIR --limit 40 --html report.html"
    call.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in kept}
    return call
