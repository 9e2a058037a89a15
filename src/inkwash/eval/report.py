"""The HTML page of an evaluation: numbers and settings on top, then every picture, the misread ones first.

One file without scripts or network: pictures are embedded as small data URLs. The layout is in
`templates/report.html.j2`; this file only turns reports into cards.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.core.files import atomic_write
from inkwash.eval.aligned import AlignedRow, align
from inkwash.eval.labels import label
from inkwash.eval.tasks.edits import EditsReport
from inkwash.eval.tasks.facts import is_read
from inkwash.eval.tasks.scenes import PictureScore, ScenesReport

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
PICTURE_SIDE = 256  # larger pictures are shrunk for the page
_QUALITY = 85


@dataclass(frozen=True, kw_only=True)
class EmbeddedPicture:
    """One embedded picture with its caption."""

    label: str
    url: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class ReportCard:
    """One case on the page."""

    number: int
    prompt: str
    pictures: tuple[EmbeddedPicture, ...]
    rows: tuple[AlignedRow, ...]  # texts beside their readings, or questions beside their answers
    beyond: str  # what was read besides
    marks: tuple[tuple[str, bool], ...]  # facts and whether they hold
    good: bool


@dataclass(frozen=True, kw_only=True)
class CategoryBars:
    """One metric by category, as horizontal bars."""

    title: str
    rows: tuple[tuple[str, float, str], ...]  # category, share of the full width, the number as shown


def scenes_page(
    report: ScenesReport,
    images: Sequence[Image.Image],
    *,
    title: str,
    settings: Mapping[str, Any],
    truths: Sequence[Image.Image] = (),
) -> str:
    """The page of `inkwash eval scenes`; `truths` are the rendered scenes, shown beside the pictures."""
    cards = []
    for score in report.worst_first():
        pictures = [embed(images[score.index], "drawn")]
        if truths:
            pictures.append(embed(truths[score.index], "asked for"))
        cards.append(_scene_card(score, tuple(pictures)))
    return render_page(title, report.to_dict(), settings, cards, bars=bars_of(report.per_regions))


def edits_page(
    report: EditsReport,
    images: Sequence[Image.Image],
    sources: Sequence[Image.Image],
    *,
    title: str,
    settings: Mapping[str, Any],
) -> str:
    """The page of `inkwash eval edits`: before and after, failed edits first."""
    cards = []
    for score in report.worst_first():
        rows, beyond = align([(word, score.changed) for word in score.wanted], score.read)
        cards.append(
            ReportCard(
                number=score.index,
                prompt=score.instruction,
                pictures=(embed(sources[score.index], "before"), embed(images[score.index], "after")),
                rows=tuple(rows),
                beyond=beyond,
                marks=((score.kind, score.changed), ("rest kept", score.kept)),
                good=score.changed and score.kept,
            )
        )
    return render_page(title, report.to_dict(), settings, cards, bars=bars_of(report.per_kind))


def embed(image: Image.Image, label: str) -> EmbeddedPicture:
    """A picture as a data URL."""
    small = image.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY)
    url = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return EmbeddedPicture(label=label, url=url, width=small.width, height=small.height)


def write_page(html: str, path: Path) -> None:
    """Write the page whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, html)
    except OSError as problem:
        raise MediaError(f"cannot write the page {path}: {problem.strerror}; give a file you may write.") from problem


def _scene_card(score: PictureScore, pictures: tuple[EmbeddedPicture, ...]) -> ReportCard:
    wanted = [(text, is_read(text, score.read)) for text in score.wanted]
    rows, beyond = align(wanted, score.read)
    return ReportCard(
        number=score.index,
        prompt=score.prompt,
        pictures=pictures,
        rows=tuple(rows),
        beyond=beyond,
        marks=tuple(_marks(score)),
        good=all(right for _, right in wanted),
    )


def _marks(score: PictureScore) -> Iterable[tuple[str, bool]]:
    facts = score.facts
    if facts.background is not None:
        yield "background", facts.background
    for name, values in (
        ("shapes", facts.shapes),
        ("shape places", facts.shape_places),
        ("shape colours", facts.shape_colors),
        ("text colours", facts.text_colors),
    ):
        if values:
            yield name, all(values)


def bars_of(parts: Mapping[str, Mapping[str, Any]], full: float = 1.0) -> list[CategoryBars]:
    """CategoryBars for every measured column of a table of parts; `full` is the best value there can be."""
    columns = [name for name in next(iter(parts.values()), {}) if name != "n"]
    found = []
    for column in columns:
        rows = [(name, values[column]) for name, values in parts.items() if values.get(column) is not None]
        widths = tuple((name, min(max(value / full, 0.0), 1.0), _number(float(value))) for name, value in rows)
        if widths:
            found.append(CategoryBars(title=label(column), rows=widths))
    return found


def render_page(
    title: str,
    numbers: Mapping[str, Any],
    settings: Mapping[str, Any],
    cards: Sequence[ReportCard],
    *,
    note: str = "",
    bars: Sequence[CategoryBars] = (),
    notes: Sequence[str] = (),
) -> str:
    """The page from plain values: numbers become tiles, mappings of rows tables; `note` says what the cards are.

    What was not measured, or was left to the model, is left out.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = _number
    environment.filters["label"] = label
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    plain = {key: value for key, value in numbers.items() if isinstance(value, int | float)}
    tables = {key: value for key, value in numbers.items() if _is_table(value)}
    known = {key: value for key, value in {**settings, "judge": numbers["judge"]}.items() if value is not None}
    note = note or f"{sum(not card.good for card in cards)} of {len(cards)} have a fault"
    return template.render(
        title=title, numbers=plain, tables=tables, settings=known, cards=cards, note=note, bars=bars, notes=notes
    )


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
