"""``inkwash eval cvtg2k`` and ``longtext-en|zh``: read finished pictures of a published benchmark and score them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import eval_session as session
from inkwash.cli import options as o
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.eval.predictions import Judge

Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="The benchmark's official prompt files.")]
Pictures = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="Finished pictures in the official layout; none may miss.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", help="Only N prompts; files or categories take turns.")
]
Samples = Annotated[int, typer.Option("--samples", help="Pictures per prompt; the benchmark has 4.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FILE", help="What was read [default: predictions.jsonl beside the pictures]."),
]
Address = Annotated[
    str | None,
    typer.Option("--judge-url", metavar="URL", help="Read by a vision model of an OpenAI-compatible server."),
]
JudgeModel = Annotated[str | None, typer.Option("--judge-model", metavar="NAME", help="Its name on that server.")]
Key = Annotated[
    str,
    typer.Option("--judge-key", envvar="INKWASH_JUDGE_KEY", help="Its key, if it wants one.", show_default=False),
]
Workers = Annotated[int, typer.Option("--workers", help="Pictures the server is asked about at once.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON; - is stdout.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page, worst pictures first.")]
Official = Annotated[
    Path | None, typer.Option("--official", metavar="FILE", help="Write the official scorer's results file.")
]


def cvtg2k(
    data: Data,
    images: Pictures,
    limit: Limit = None,
    cache: Cache = None,
    judge_url: Address = None,
    judge_model: JudgeModel = None,
    judge_key: Key = "",
    workers: Workers = 8,
    json: JsonFile = None,
    html: HtmlFile = None,
    official: Official = None,
    quiet: o.Quiet = False,
) -> None:
    """Score finished CVTG-2K pictures: word accuracy and NED.

    Example: inkwash eval cvtg2k --data CVTG-2K --images drawn --html report.html
    """
    settings = {"task": "cvtg2k", "data": data, "images": images, "limit": limit}
    _score(settings, cache, (judge_url, judge_model, judge_key, workers), json, html, official, quiet)


def longtext_en(
    data: Data,
    images: Pictures,
    limit: Limit = None,
    samples: Samples = 4,
    cache: Cache = None,
    judge_url: Address = None,
    judge_model: JudgeModel = None,
    judge_key: Key = "",
    workers: Workers = 8,
    json: JsonFile = None,
    html: HtmlFile = None,
    quiet: o.Quiet = False,
) -> None:
    """Score finished English LongText-Bench pictures: share of words read.

    Example: inkwash eval longtext-en --data textbench --images drawn --json scores.json
    """
    settings = {"task": "longtext-en", "data": data, "images": images, "limit": limit, "samples": samples}
    _score(settings, cache, (judge_url, judge_model, judge_key, workers), json, html, None, quiet)


def longtext_zh(
    data: Data,
    images: Pictures,
    limit: Limit = None,
    samples: Samples = 4,
    cache: Cache = None,
    judge_url: Address = None,
    judge_model: JudgeModel = None,
    judge_key: Key = "",
    workers: Workers = 8,
    json: JsonFile = None,
    html: HtmlFile = None,
    quiet: o.Quiet = False,
) -> None:
    """Score finished Chinese LongText-Bench pictures: share of characters read.

    Example: inkwash eval longtext-zh --data textbench --images drawn --json scores.json
    """
    settings = {"task": "longtext-zh", "data": data, "images": images, "limit": limit, "samples": samples}
    _score(settings, cache, (judge_url, judge_model, judge_key, workers), json, html, None, quiet)


def _score(
    settings: dict[str, Any],
    cache: Path | None,
    judge: tuple[str | None, str | None, str, int],
    json: Path | None,
    html: Path | None,
    official: Path | None,
    quiet: bool,
) -> None:
    from inkwash.eval.benchmarks.page import benchmark_page
    from inkwash.eval.benchmarks.runs import PREDICTIONS_FILE, Scoring, score_pictures
    from inkwash.eval.report import write_page

    session.check_outputs(json, html, official)
    stop = threading.Event()
    open_reader, workers = _reader(*judge, stop)
    run = Scoring(**settings, cache=cache or settings["images"] / PREDICTIONS_FILE, workers=workers)
    result = session.watched(
        lambda tell: score_pictures(run, open_reader, progress=tell, stop=stop),
        session.cancel_token(),
        quiet=quiet,
        out=None,
    )
    scores = result.to_dict()
    session.write_json(json, scores)
    if official is not None and result.official is not None:
        session.write_json(official, result.official)
    if html is not None:
        write_page(benchmark_page(result, title=f"{result.task}: {settings['images']}"), html)
    scores.pop("measures")
    session.show(scores, result.parts_name, json)


def _reader(
    url: str | None, model: str | None, key: str, workers: int, stop: threading.Event
) -> tuple[Callable[[], Judge], int]:
    """A function that opens the judge, and how many pictures it takes at once."""
    if url is None and model is None:

        def open_ocr() -> Judge:
            from inkwash.eval.ocr import Reader, ReaderConfig

            # Joining is made for scenes: of plainly rendered benchmark texts it read "OCEANS NOW" as one word.
            return Reader(ReaderConfig(join_tracking=False))

        return open_ocr, 1
    if url is None or model is None:
        raise ConfigError("a vision model as judge needs both --judge-url and --judge-model; give both or neither.")
    from inkwash.eval.benchmarks.chat import Endpoint, VisionClient
    from inkwash.eval.benchmarks.judges import VlmReader

    endpoint = Endpoint(url=url, model=model, key=key, workers=workers)
    return lambda: VlmReader(VisionClient(endpoint, stop)), workers
