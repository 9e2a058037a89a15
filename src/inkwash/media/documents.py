"""Documents in: pages of a PDF as pictures, PPTX and DOCX as pictures or, without LibreOffice, as text and pictures.

Pages are counted and measured before one is rendered, and rendered one at a time when they are looked at. PDF needs
pypdfium2, the others LibreOffice or python-pptx (the extra `media`).
"""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from inkwash.core.errors import MediaError, MissingExtraError, RequestError
from inkwash.media.kinds import OLD, PDF, SLIDES, TEXTS, sniff
from inkwash.media.letters import read_letter
from inkwash.media.slides import SlideContent, open_slides, read_slide
from inkwash.media.sources import Source, read_source, source_name

DPI = 180
MAX_BYTES = 512 * 2**20
MAX_PAGES = 100
MAX_RANGE = 200  # characters of a range of pages
MAX_NAMED = 10_000  # pages that a range may name
MAX_PAGE_PIXELS = 12 * 10**6  # what the largest models look at; larger pages are rendered at fewer dots per inch
MAX_UNPACKED = 2 * 2**30  # of the archive that a PPTX is
CONVERT_SECONDS = 180
_READ = ("a PPTX presentation", "a DOCX document")  # as `sniff` names them
_PDFIUM = threading.Lock()  # the library is not made for threads


class Load(Protocol):
    """Renders a page, resized to `size` (width, height) by Pillow's bicubic filter if one is given."""

    def __call__(self, size: tuple[int, int] | None = None) -> Image.Image: ...


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page or slide: a picture that is rendered when `load` is called, or text where there is no picture."""

    number: int  # from 1 on, in the document
    width: int = 0
    height: int = 0
    load: Load | None = None
    text: str = ""


def read_document(
    source: Source,
    *,
    suffix: str | None = None,
    dpi: float = DPI,
    pages: str | None = None,
    max_pages: int = MAX_PAGES,
    max_bytes: int = MAX_BYTES,
    password: str | None = None,
) -> list[Page]:
    """The pages of a PDF or the slides of a PPTX; `pages` names some of them, such as "1-3,7" or "5-".

    `suffix` says what bytes are (".pdf", ".pptx"); `password` opens a locked PDF. Raises MediaError for what
    cannot be read, RequestError for a range that makes no sense and for more pages than `max_pages`.
    """
    name = source_name(source, "document")
    kind = (suffix or (Path(source).suffix if isinstance(source, str | os.PathLike) else "")).lower()
    content = read_source(source, "document", max_bytes)
    if content.startswith(b"%PDF") or kind == PDF:
        return _pdf(content, name, dpi, pages, max_pages, password)
    if kind in OLD or kind in SLIDES or kind in TEXTS or content.startswith(b"PK"):
        return _office(content, kind, name, dpi, pages, max_pages)
    raise MediaError(f"{name} is {sniff(content)}, no PDF, PPTX or DOCX that can be read: save it as PDF.")


def _office(content: bytes, kind: str, name: str, dpi: float, wanted: str | None, max_pages: int) -> list[Page]:
    """Slides and texts: by LibreOffice where there is one, else their words and pictures."""
    if kind not in OLD:
        _check_archive(content, name)
        seen = sniff(content)
        if seen not in _READ:
            raise MediaError(f"{name} is {seen}, no PDF, PPTX or DOCX that can be read: save it as PDF.")
        if not kind or (kind in TEXTS) != (seen == _READ[1]):  # what it is counts, not what it is called
            kind = ".docx" if seen == _READ[1] else ".pptx"
    if office := shutil.which("soffice") or shutil.which("libreoffice"):
        return _pdf(_converted(content, kind, office, name), name, dpi, wanted, max_pages)
    if kind in OLD:
        raise MediaError(f"{name} is an old {kind[1:].upper()} file, which needs LibreOffice: save it as PPTX or PDF.")
    if kind in TEXTS:
        sheets = read_letter(content, name)
        return _sheets(
            "Page", ((number, sheets[number - 1]) for number in _chosen(wanted, len(sheets), max_pages, name))
        )
    slides = open_slides(content, name)
    numbers = _chosen(wanted, len(slides), max_pages, name)
    return _sheets("Slide", ((number, read_slide(slides[number - 1])) for number in numbers))


def _sheets(what: str, sheets: Iterable[tuple[int, SlideContent]]) -> list[Page]:
    found: list[Page] = []
    for number, sheet in sheets:
        found.append(Page(number=number, text=f"{what} {number}:\n" + "\n".join(sheet.texts)))
        found += [Page(number=number, width=f.width, height=f.height, load=f.load) for f in sheet.figures]
    return found


def page_numbers(wanted: str | None, count: int) -> Sequence[int]:
    """Numbers from 1 on that a range such as "1-3,7,10-" names in a document of `count` pages.

    The text comes from clients: it is short, and is read in one pass without a pattern that could try it twice.
    """
    if wanted is None:
        return range(1, count + 1)
    if not isinstance(wanted, str) or len(wanted) > MAX_RANGE:
        described = f"{len(wanted)} characters" if isinstance(wanted, str) else type(wanted).__name__
        raise RequestError(
            f"The pages are {described}, but must be a text of at most {MAX_RANGE} characters such as 1-3,7 or 5-.",
            param="pages",
        )
    if not wanted.strip():
        return range(1, count + 1)
    found: dict[int, None] = {}
    for part in wanted.split(","):
        begin, dash, end = (piece.strip() for piece in part.partition("-"))
        if not (begin or end) or not all(piece == "" or _is_number(piece) for piece in (begin, end)):
            raise RequestError(
                f"The pages are {wanted!r}, but must be numbers and ranges such as 1-3,7 or 5-.", param="pages"
            )
        first = int(begin or 1)
        last = int(end or count) if dash else first
        if not 1 <= first <= last:
            raise RequestError(f"The pages {part.strip()!r} are no range from 1 on.", param="pages")
        if first > count or (end and last > count):
            raise RequestError(f"The pages {part.strip()!r} are asked for, but there are {count}.", param="pages")
        if len(found) + last - first >= MAX_NAMED:
            raise RequestError(f"The pages {wanted!r} are more than {MAX_NAMED} pages: ask for fewer.", param="pages")
        found.update(dict.fromkeys(range(first, last + 1)))
    return list(found)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _chosen(wanted: str | None, count: int, max_pages: int, name: str) -> Sequence[int]:
    if count == 0:
        raise MediaError(f"{name} has no pages or slides: add one.")
    numbers = page_numbers(wanted, count)
    if len(numbers) > max_pages:
        raise RequestError(
            f"{name} has {len(numbers)} pages to read, but at most {max_pages} are read at once: choose some with a "
            f"range such as 1-{max_pages}.",
            param="pages",
        )
    return numbers


def _pdf(
    content: bytes, name: str, dpi: float, wanted: str | None, max_pages: int, password: str | None = None
) -> list[Page]:
    pdfium = _pdfium()
    if not 1 <= dpi <= 1200:
        raise RequestError(f"dpi is {dpi}, but must lie between 1 and 1200.", param="dpi")
    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(content, password=password)
            count = len(document)
        except pdfium.PdfiumError as error:
            raise MediaError(f"{name} {_unopened(error, content, password)}.") from None
    found: list[Page] = []
    for number in _chosen(wanted, count, max_pages, name):
        with _PDFIUM:
            try:
                across, down = document.get_page_size(number - 1)
            except pdfium.PdfiumError:
                raise MediaError(f"{name} is damaged at page {number}: save it again.") from None
        if not (0 < across < math.inf and 0 < down < math.inf):
            raise MediaError(f"{name} has an empty page {number}.")
        scale = min(dpi / 72, math.sqrt(MAX_PAGE_PIXELS / (across * down)))
        width, height = (max(1, math.ceil(side * scale)) for side in (across, down))
        found.append(
            Page(
                number=number,
                width=width,
                height=height,
                load=_renderer(document, number, scale, (width, height), name),
            )
        )
    return found


def _unopened(error: Exception, content: bytes, password: str | None) -> str:
    if "password" not in str(error).lower():
        return f"is {sniff(content)}, damaged or no PDF: save it again"
    if password is None:
        return "is a PDF that is locked with a password: give the password, or save it without one"
    return "is a PDF that is locked with another password than the one given"


def _pdfium() -> Any:
    """The library, which has no types."""
    try:
        import pypdfium2  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("Reading PDF files", extra="media") from error
    return pypdfium2


def _fitted(picture: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    if size is None or picture.size == size:
        return picture
    return picture.resize(size, Image.Resampling.BICUBIC)


def _renderer(document: Any, number: int, scale: float, stated: tuple[int, int], name: str) -> Load:
    def render(size: tuple[int, int] | None = None) -> Image.Image:
        pdfium = _pdfium()
        with _PDFIUM:
            try:
                page = document[number - 1]
                image = page.render(scale=scale).to_pil().convert("RGB")
                page.close()
            except pdfium.PdfiumError:
                raise MediaError(f"{name} is damaged at page {number}: save it again.") from None
        picture: Image.Image = image
        return _fitted(_fitted(picture, stated), size)

    return render


def _converted(content: bytes, suffix: str, office: str, name: str) -> bytes:
    """Slides as a PDF by LibreOffice, in a folder and with a profile of their own."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"slides{suffix}"
        source.write_bytes(content)
        command = [office, "--headless", f"-env:UserInstallation={(Path(folder) / 'profile').as_uri()}"]
        command += ["--convert-to", "pdf", "--outdir", folder, str(source)]
        try:
            subprocess.run(command, capture_output=True, timeout=CONVERT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MediaError(f"{name} could not be converted ({type(error).__name__}): save it as PDF.") from None
        made = source.with_suffix(".pdf")
        if not made.is_file():
            raise MediaError(f"{name} could not be converted by LibreOffice: save it as PDF.")
        return made.read_bytes()


def _check_archive(content: bytes, name: str) -> None:
    """A PPTX or DOCX is an archive: how large it is unpacked stands in its directory."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise MediaError(f"{name} is {sniff(content)}, damaged or no PPTX or DOCX: save it again.") from None
    if unpacked > MAX_UNPACKED:
        raise MediaError(
            f"{name} is {unpacked / 2**30:.1f} GiB unpacked: at most {MAX_UNPACKED / 2**30:.0f} GiB are read."
        )
