"""The HTML page of a benchmark: our numbers, the published ones with their own judge, the worst pictures first.

Published rows stand in a table of their own: they come from another judge, and a `Table` would refuse to hold both.
"""

from __future__ import annotations

from typing import Any

from inkwash.eval.aligned import align, plain_row
from inkwash.eval.benchmarks.benchmark import Benchmark
from inkwash.eval.benchmarks.measures import Table
from inkwash.eval.benchmarks.results import JudgedPicture, Result
from inkwash.eval.report import ReportCard, bars_of, embed, render_page
from inkwash.media.images import load_image

MAX_CARDS = 200  # pictures on a page; the worst ones
_HIDDEN = ("measures", "judges", "per_prompt", "pictures", "notes")


def benchmark_page(benchmark: Benchmark[Any, Any], result: Result, *, title: str, cards: int = MAX_CARDS) -> str:
    """The whole page as one string."""
    scores = result.to_dict()
    hidden = {*_HIDDEN, *result.settings}
    numbers: dict[str, Any] = {key: value for key, value in scores.items() if key not in hidden}
    numbers["this run"] = this_run_table(result).rows()
    if rows := published_table(benchmark).rows():
        numbers["published by the makers of GLM-Image, other judges"] = rows
    worst = result.worst_first()[:cards]
    faults = sum(not _good(picture) for picture in result.pictures)
    note = f"{faults} of {len(result.pictures)} have a fault"
    if len(worst) < len(result.pictures):
        note += f", the worst {len(worst)} are shown"
    listed = [_card(number, picture, benchmark.shows_texts) for number, picture in enumerate(worst, start=1)]
    bars = bars_of(result.parts, benchmark.best)
    return render_page(title, numbers, result.settings, listed, note=note, bars=bars, notes=result.notes)


def this_run_table(result: Result) -> Table:
    """This run's row; columns carry the judge."""
    table = Table()
    table.add(str(result.settings.get("model") or result.settings["images"]), result.measures)
    return table


def published_table(benchmark: Benchmark[Any, Any]) -> Table:
    """Published numbers; columns carry the official judge. Empty where nothing was published."""
    table = Table()
    known = benchmark.published.measures(benchmark.name) if benchmark.published else {}
    for model, numbers in known.items():
        table.add(model, numbers)
    return table


def _good(picture: JudgedPicture) -> bool:
    return all(right for _, right in (*picture.wanted, *picture.marks))


def _card(number: int, picture: JudgedPicture, as_text: bool) -> ReportCard:
    pictures = [embed(load_image(picture.path), picture.path.name)]
    if picture.source is not None:
        pictures.insert(0, embed(load_image(picture.source), "before"))
    if as_text:
        rows, beyond = align(picture.wanted, picture.read)
    else:
        complete = len(picture.read) == len(picture.wanted)
        answers = picture.read if complete else ("",) * len(picture.wanted)
        rows = [
            plain_row(question, answer, right)
            for (question, right), answer in zip(picture.wanted, answers, strict=True)
        ]
        beyond = "" if complete else ", ".join(picture.read)
    return ReportCard(
        number=number,
        prompt=f"{picture.key}: {picture.prompt}",
        pictures=tuple(pictures),
        rows=tuple(rows),
        beyond=beyond,
        marks=picture.marks,
        good=_good(picture),
    )
