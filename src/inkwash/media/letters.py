"""DOCX files without an office program: their text with tables, and their pictures, page by page.

Pages are told by the breaks that the program which saved the file has left in it. What can only be drawn is named in
the text. Needs lxml, which comes with python-pptx.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from typing import Any

from inkwash.core.errors import MediaError, MissingExtraError
from inkwash.media.kinds import sniff
from inkwash.media.slides import SlideContent

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_RELATIONS = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_BODY = "word/document.xml"
_MOST_ELEMENTS = 2_000_000


def read_letter(content: bytes, name: str) -> list[SlideContent]:
    """The pages of a DOCX, DOCM or DOTX."""
    try:
        from lxml import etree  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("Reading DOCX files", extra="media") from error
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            tree = etree.fromstring(archive.read(_BODY), parser)
            return _Reader(archive, _links(archive, parser)).read(tree)
    except (MediaError, MemoryError):
        raise
    except Exception as error:  # archives and XML of strangers raise many things
        raise MediaError(
            f"{name} is {sniff(content)} that is damaged or no DOCX ({type(error).__name__}): save it again."
        ) from None


def _links(archive: zipfile.ZipFile, parser: Any) -> dict[str, str]:
    """Where the ids of pictures lead within the archive."""
    from lxml import etree

    try:
        tree = etree.fromstring(archive.read("word/_rels/document.xml.rels"), parser)
    except KeyError:
        return {}
    inside = (link for link in tree if link.get("TargetMode") != "External")
    return {link.get("Id"): posixpath.normpath(posixpath.join("word", link.get("Target", ""))) for link in inside}


class _Reader:
    """Walks through the body in order and fills pages."""

    def __init__(self, archive: zipfile.ZipFile, links: dict[str, str]) -> None:
        self.archive, self.links = archive, links
        self.sheets = [SlideContent()]
        self.line: list[str] = []
        self.broken = False  # the page has just been turned by a break of its own

    def read(self, tree: Any) -> list[SlideContent]:
        count, cells = 0, 0
        for event, element in _events(tree):
            count += 1
            if count > _MOST_ELEMENTS:
                raise MediaError("The document has too many parts: save it as PDF.")
            if not isinstance(element.tag, str):
                continue
            tag = element.tag.removeprefix(_WORD)
            if event == "start":
                cells += tag == "tc"
                self._start(tag, element)
            elif tag == "p":
                self._end_line(inside=cells > 0)
            elif tag == "tc":
                cells -= 1
                self.line.append(" | ")
            elif tag == "tr":
                self._end_line(row=True)
        return [sheet for sheet in self.sheets if sheet.texts or sheet.figures] or [SlideContent()]

    def _start(self, tag: str, element: Any) -> None:
        name = element.tag.rpartition("}")[2]
        if tag == "t":
            self.line.append(element.text or "")
        elif tag == "tab":
            self.line.append("\t")
        elif tag == "br":
            if element.get(f"{_WORD}type") == "page":
                self._turn()
                self.broken = True
            else:
                self.line.append("\n")
        elif tag == "lastRenderedPageBreak":
            if not self.broken:
                self._turn()
            self.broken = False
        elif name == "blip" or name == "imagedata":
            self._picture(element.get(f"{_RELATIONS}embed") or element.get(f"{_RELATIONS}id"))
        elif name == "chart" and element.get(f"{_RELATIONS}id"):
            self.line.append("[Here is a chart, which is not read: save the document as PDF.]")
        elif name == "relIds":
            self.line.append("[Here is a SmartArt drawing, which is not read: save the document as PDF.]")
        elif name == "OLEObject":
            self.line.append("[Here is an embedded object, which is not read.]")

    def _picture(self, link: str | None) -> None:
        place = self.links.get(link or "")
        if place is None:
            self.sheets[-1].texts.append("[Here is a picture without content.]")
            return
        try:
            content = self.archive.read(place)
        except KeyError:
            self.sheets[-1].texts.append("[Here is a picture without content.]")
            return
        self.sheets[-1].add_picture(content)

    def _end_line(self, *, inside: bool = False, row: bool = False) -> None:
        """The end of a paragraph, of one inside a cell, or of a row of cells."""
        if inside:
            self.line.append("\n")
            return
        text = "".join(self.line).strip()
        if row:
            text = " ".join(text.removesuffix("|").split())
        self.line = []
        if text:
            self.sheets[-1].texts.append(text)
            self.broken = False

    def _turn(self) -> None:
        self._end_line()
        self.sheets.append(SlideContent())


def _events(tree: Any) -> Any:
    """Start and end of every element in order; of what stands twice for old readers only the first."""
    from lxml import etree

    for old in list(tree.iter("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback")):
        old.getparent().remove(old)
    return etree.iterwalk(tree, events=("start", "end"))
