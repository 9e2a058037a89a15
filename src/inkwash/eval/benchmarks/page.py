"""The HTML page of a benchmark: our numbers, the published rows with their own judge, the worst pictures first.

Published rows stand in a table of their own: they come from another judge, and a `Table` would refuse to hold both.
"""

from __future__ import annotations

from typing import Any

from inkwash.eval.benchmarks.measures import Table
from inkwash.eval.benchmarks.published import published
from inkwash.eval.benchmarks.runs import Entry, Result
from inkwash.eval.report import Card, embed, render_page
from inkwash.media.images import load_image

MAX_CARDS = 200  # pictures on a page; the worst ones


def benchmark_page(result: Result, *, title: str, cards: int = MAX_CARDS) -> str:
    """The whole page as one string."""
    scores = result.to_dict()
    numbers: dict[str, Any] = {key: value for key, value in scores.items() if key not in result.settings}
    numbers.pop("measures")
    numbers["this run"] = own_table(result).rows()
    numbers["published by the makers of GLM-Image, other judges"] = published_table(result.task).rows()
    shown = result.worst_first()[:cards]
    faults = sum(not _good(entry) for entry in result.entries)
    note = f"{faults} of {len(result.entries)} have a fault"
    if len(shown) < len(result.entries):
        note += f", the worst {len(shown)} are shown"
    pages = [_card(number, entry) for number, entry in enumerate(shown, start=1)]
    return render_page(title, numbers, result.settings, pages, note=note)


def own_table(result: Result) -> Table:
    """This run's row; columns carry the judge."""
    table = Table()
    table.add(result.settings["images"], result.measures)
    return table


def published_table(task: str) -> Table:
    """The published rows of a task; columns carry the official judge."""
    table = Table()
    for model, measures in published(task).items():
        table.add(model, measures)
    return table


def _good(entry: Entry) -> bool:
    return all(right for _, right in entry.wanted)


def _card(number: int, entry: Entry) -> Card:
    picture = embed(load_image(entry.path), entry.path.name)
    return Card(
        number=number,
        prompt=f"{entry.key}: {entry.prompt}",
        pictures=(picture,),
        wanted=entry.wanted,
        read=entry.read,
        marks=(),
        good=_good(entry),
    )
