"""Slides without an office program: what stands on them as text, and their pictures.

Texts, tables, charts (their figures), SmartArt (its words) and notes are read; what can only be drawn (EMF and WMF
drawings, embedded objects, videos) is named in the text, so that nothing is lost without a word. Needs python-pptx.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from inkwash.core.errors import MediaError, MissingExtraError
from inkwash.media.images import image_size, load_image
from inkwash.media.kinds import sniff

MAX_SHAPES = 20_000  # of one slide, groups opened
MAX_VALUES = 200  # of one row of a chart
_DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"
_TYPES = "[Content_Types].xml"
_MAIN = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
_OTHERS = (
    b"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml",
    b"application/vnd.openxmlformats-officedocument.presentationml.template.main+xml",
    b"application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
    b"application/vnd.ms-powerpoint.template.macroEnabled.main+xml",
    b"application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
)


@dataclass(frozen=True)
class Figure:
    """A picture inside a document: its bytes and its size."""

    content: bytes
    width: int
    height: int

    def load(self, size: tuple[int, int] | None = None) -> Image.Image:
        """Its pixels, resized if a size is given."""
        return load_image(self.content, size=size)


@dataclass
class SlideContent:
    """What one slide or page of text holds, in order."""

    texts: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def add_picture(self, content: bytes) -> None:
        """A picture, or the words that it cannot be shown."""
        try:
            width, height = image_size(content)
        except MediaError:
            self.texts.append(f"[Here is {sniff(content)}, which cannot be shown.]")
            return
        self.figures.append(Figure(content, width, height))


def open_slides(content: bytes, name: str) -> list[Any]:
    """The slides of a PPTX, PPTM, PPSX or POTX."""
    try:
        import pptx
    except ImportError as error:
        raise MissingExtraError("Reading PPTX files without LibreOffice", extra="media") from error
    try:
        return list(pptx.Presentation(io.BytesIO(_plain(content))).slides)
    except MemoryError:
        raise
    except Exception as error:  # the library lets errors of its XML and archive readers through
        raise MediaError(
            f"{name} is {sniff(content)} that is damaged or no presentation ({type(error).__name__}): save it again."
        ) from None


def read_slide(slide: Any) -> SlideContent:
    """Texts and pictures of a slide in the order in which they stand in the file."""
    sheet = SlideContent()
    for shape in _shapes(slide.shapes):
        try:
            _read_shape(shape, sheet)
        except MemoryError:
            raise
        except Exception as error:  # a shape that the library cannot read must not cost the others
            sheet.texts.append(f"[Here is a shape that cannot be read ({type(error).__name__}).]")
    try:
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame.text.strip()):
            sheet.texts.append(f"Notes: {notes}")
    except Exception:  # notes without a text frame, or damaged ones
        sheet.texts.append("[The notes cannot be read.]")
    return sheet


def _plain(content: bytes) -> bytes:
    """The same archive as a plain presentation: shows and templates differ from it by their type alone."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        types = archive.read(_TYPES)
        if not any(other in types for other in _OTHERS):
            return content
        for other in _OTHERS:
            types = types.replace(other, _MAIN)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as copy:
            for entry in archive.infolist():
                copy.writestr(entry.filename, types if entry.filename == _TYPES else archive.read(entry))
    return made.getvalue()


def _shapes(shapes: Any) -> Iterator[Any]:
    """All shapes, groups opened without recursion."""
    waiting, count = [iter(shapes)], 0
    while waiting:
        shape = next(waiting[-1], None)
        if shape is None:
            waiting.pop()
        elif hasattr(shape, "shapes"):
            waiting.append(iter(shape.shapes))
        else:
            count += 1
            if count > MAX_SHAPES:
                raise MediaError(f"A slide has more than {MAX_SHAPES} shapes: save it as PDF.")
            yield shape


def _read_shape(shape: Any, sheet: SlideContent) -> None:
    if getattr(shape, "has_text_frame", False) and (text := shape.text_frame.text.strip()):
        sheet.texts.append(text)
    if getattr(shape, "has_table", False):
        sheet.texts += [" | ".join(cell.text for cell in row.cells) for row in shape.table.rows]
    elif getattr(shape, "has_chart", False):
        sheet.texts += _chart(shape.chart)
    elif shape._element.tag.endswith("}graphicFrame"):
        sheet.texts += _graphic(shape)
    elif shape._element.tag.endswith("}pic"):
        _read_picture(shape, sheet)


def _read_picture(shape: Any, sheet: SlideContent) -> None:
    """A picture; one without bytes has lost them, or links to a file elsewhere."""
    media = {"movie": "a video", "audio": "a sound"}
    found = next((words for word, words in media.items() if word in type(shape).__name__.lower()), None)
    if found is not None:
        sheet.texts.append(f"[Here is {found}, which is not read.]")
    try:
        content: bytes = shape.image.blob
    except Exception:  # no blip fill, no relationship, a link, a type that the library does not know
        if found is None:
            sheet.texts.append("[Here is a picture without content.]")
        return
    sheet.add_picture(content)


def _chart(chart: Any) -> list[str]:
    """Title, categories and figures of a chart."""
    title = ""
    if chart.has_title and chart.chart_title.has_text_frame:
        title = chart.chart_title.text_frame.text.strip()
    kind = str(chart.chart_type).split(" ")[0].replace("_", " ").lower()
    lines = [f"Chart ({kind}){f': {title}' if title else ''}"]
    for plot in chart.plots:
        categories = [str(category) for category in plot.categories]
        for series in plot.series:
            values = [_figure(value) for value in list(series.values)[: MAX_VALUES + 1]]
            named = [f"{c} {v}" for c, v in zip(categories, values, strict=False)] if categories else values
            more = ["..."] if len(values) > MAX_VALUES else []
            lines.append(f"{series.name or 'Series'}: {', '.join([*named[:MAX_VALUES], *more])}")
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _graphic(shape: Any) -> list[str]:
    """The words of SmartArt; what else a frame may hold is named."""
    ids = shape._element.xpath(".//*[local-name()='relIds']")
    if not ids:
        return ["[Here is an embedded object, which is not read.]"]
    data = shape.part.related_part(ids[0].get(f"{{{_RELATIONS}}}dm"))
    from lxml import etree  # type: ignore[import-untyped]

    tree = etree.fromstring(data.blob, etree.XMLParser(resolve_entities=False, no_network=True))
    points = tree.iterfind(f".//{{{_DIAGRAM}}}pt")
    words = ["".join(text.text or "" for text in point.iter(f"{{{_DRAWING}}}t")).strip() for point in points]
    words_left = [word for word in words if word]
    return [f"SmartArt: {'; '.join(words_left)}"] if words_left else ["[Here is a SmartArt drawing without words.]"]
