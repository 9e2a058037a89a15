"""The HTML page of a benchmark: our numbers, the published rows with their own judge, the worst pictures first.

Published rows stand in a table of their own: they come from another judge, and a `Table` would refuse to hold both.
"""

from __future__ import annotations

from typing import Any

from inkwash.eval.aligned import align, plain_row
from inkwash.eval.benchmarks.measures import Table
from inkwash.eval.benchmarks.published import MODELS, published
from inkwash.eval.benchmarks.results import TEXT_TASKS, Entry, Result
from inkwash.eval.report import Card, bars_of, embed, render_page
from inkwash.media.images import load_image

MAX_CARDS = 200  # pictures on a page; the worst ones
_HIDDEN = ("measures", "judges", "per_prompt", "notes")
_FULL = {"tiif": 100.0, "dpg": 100.0, "gedit": 10.0, "imgedit": 5.0}  # the best value of a part, else 1


def benchmark_page(result: Result, *, title: str, cards: int = MAX_CARDS) -> str:
    """The whole page as one string."""
    scores = result.to_dict()
    hidden = {*_HIDDEN, *result.settings}
    numbers: dict[str, Any] = {key: value for key, value in scores.items() if key not in hidden}
    numbers["this run"] = own_table(result).rows()
    if rows := published_table(result.task).rows():
        numbers["published by the makers of GLM-Image, other judges"] = rows
    shown = result.worst_first()[:cards]
    faults = sum(not _good(entry) for entry in result.entries)
    note = f"{faults} of {len(result.entries)} have a fault"
    if len(shown) < len(result.entries):
        note += f", the worst {len(shown)} are shown"
    as_text = result.task in TEXT_TASKS
    pages = [_card(number, entry, as_text) for number, entry in enumerate(shown, start=1)]
    bars = bars_of(result.parts, _FULL.get(result.task, 1.0))
    return render_page(title, numbers, result.settings, pages, note=note, bars=bars, notes=result.notes)


def own_table(result: Result) -> Table:
    """This run's row; columns carry the judge."""
    table = Table()
    table.add(str(result.settings.get("model") or result.settings["images"]), result.measures)
    return table


def published_table(task: str) -> Table:
    """The rows of all sixteen models; columns carry the official judge. Empty where nothing was published."""
    table, known = Table(), published(task)
    for model in MODELS if known else ():
        table.add(model, known.get(model, []))
    return table


def _good(entry: Entry) -> bool:
    return all(right for _, right in entry.wanted)


def _card(number: int, entry: Entry, as_text: bool) -> Card:
    pictures = [embed(load_image(entry.path), entry.path.name)]
    if entry.source is not None:
        pictures.insert(0, embed(load_image(entry.source), "before"))
    if as_text:
        rows, beyond = align(entry.wanted, entry.read)
    else:
        answers = entry.read if len(entry.read) == len(entry.wanted) else ("",) * len(entry.wanted)
        rows = [plain_row(asked, said, right) for (asked, right), said in zip(entry.wanted, answers, strict=True)]
        beyond = "" if answers is entry.read else ", ".join(entry.read)
    return Card(
        number=number,
        prompt=f"{entry.key}: {entry.prompt}",
        pictures=tuple(pictures),
        rows=tuple(rows),
        beyond=beyond,
        marks=(),
        good=_good(entry),
    )
