"""Documents: pages counted and measured first, rendered one by one, ranges, limits, and slides without an office."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkwash.core.errors import MediaError, RequestError
from inkwash.media import documents
from inkwash.media.documents import page_numbers, read_document

pdfium = pytest.importorskip("pypdfium2")
pptx = pytest.importorskip("pptx")


def make_pdf(pages: int, size: tuple[float, float] = (72, 144)) -> bytes:
    document = pdfium.PdfDocument.new()
    for _ in range(pages):
        document.new_page(*size)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def make_slides() -> bytes:
    show = pptx.Presentation()
    for number in (1, 2):
        slide = show.slides.add_slide(show.slide_layouts[5])
        slide.shapes.title.text = f"Title {number}"
    picture = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(picture, "PNG")
    slide.shapes.add_picture(picture, 0, 0)
    table = slide.shapes.add_table(1, 2, 0, 0, 1000, 1000).table
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    buffer = io.BytesIO()
    show.save(buffer)
    return buffer.getvalue()


def test_pages_have_their_size_at_the_asked_resolution(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(3))
    pages = read_document(path, dpi=90, pages="2-")
    assert [(page.number, page.width, page.height) for page in pages] == [(2, 90, 180), (3, 90, 180)]
    assert pages[0].load is not None and pages[0].load().size == (90, 180) and pages[0].load().mode == "RGB"


def test_a_huge_page_is_rendered_within_the_limit() -> None:
    page = read_document(make_pdf(1, (14000, 14000)), dpi=300)[0]
    assert page.width * page.height <= documents.MAX_PAGE_PIXELS * 1.01


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [(None, [1, 2, 3, 4]), ("2", [2]), ("1,3-", [1, 3, 4]), ("-2,2", [1, 2]), (" 4 , 1 ", [4, 1])],
)
def test_page_ranges(wanted: str | None, numbers: list[int]) -> None:
    assert list(page_numbers(wanted, 4)) == numbers


@pytest.mark.parametrize("wanted", ["x", "0", "3-2", "5", "1-9", ",", "-", "1.5"])
def test_ranges_that_make_no_sense(wanted: str) -> None:
    with pytest.raises(RequestError):
        page_numbers(wanted, 4)


@pytest.mark.parametrize("wanted", [" " * 400 + "x", "1" * 201, 3, ["1"], {"first": 1}, True, "1-" * 90, "²", "٣"])
def test_ranges_from_strangers_are_refused_at_once(wanted: object) -> None:
    begun = time.perf_counter()
    with pytest.raises(RequestError) as caught:
        page_numbers(wanted, 4)  # type: ignore[arg-type]
    assert caught.value.status == 400 and caught.value.param == "pages"
    assert time.perf_counter() - begun < 0.05


def test_many_pages_are_not_listed_before_they_are_counted() -> None:
    assert len(page_numbers(None, 10**12)) == 10**12
    with pytest.raises(RequestError, match="ask for fewer"):
        page_numbers("1-", 10**12)


@given(st.text(alphabet="0123456789-, ", max_size=30), st.integers(1, 30))
def test_a_range_names_what_its_parts_name(wanted: str, count: int) -> None:
    """Against the obvious way: every part on its own."""
    try:
        found = list(page_numbers(wanted, count))
    except RequestError:
        return
    named: list[int] = []
    for part in wanted.split(",") if wanted.strip() else ["1-"]:
        begin, dash, end = part.partition("-")
        first = int(begin.strip() or 1)
        last = int(end.strip() or count) if dash else first
        named += [number for number in range(first, last + 1) if number not in named]
    assert found == named and set(found) <= set(range(1, count + 1))


def test_too_many_pages_ask_for_a_range() -> None:
    content = make_pdf(6)
    with pytest.raises(RequestError, match="6 pages to read, but at most 5"):
        read_document(content, max_pages=5)
    assert len(read_document(content, max_pages=5, pages="2-6")) == 5


def test_broken_and_foreign_documents(tmp_path: Path) -> None:
    for content in (b"%PDF-1.7 nothing", b"hello", make_pdf(2)[:200], b"PK\x03\x04 nothing"):
        with pytest.raises(MediaError) as caught:
            read_document(content)
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="cannot be opened"):
        read_document(tmp_path / "none.pdf")
    with pytest.raises(MediaError, match="folder"):
        read_document(tmp_path, suffix=".pdf")
    with pytest.raises(MediaError, match="too large"):
        read_document(make_pdf(1), max_bytes=10)


def test_an_archive_that_would_burst_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ppt/slides/slide1.xml", b"0" * 2_000_000)
    monkeypatch.setattr(documents, "MAX_UNPACKED", 1_000_000)
    monkeypatch.setattr(documents, "_slides", lambda *_: pytest.fail("opened"))
    with pytest.raises(MediaError, match="GiB unpacked"):
        read_document(buffer.getvalue(), suffix=".pptx")


def test_slides_without_an_office_are_text_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents.shutil, "which", lambda _: None)
    first, second, picture = read_document(make_slides(), suffix=".pptx")
    assert (first.text, second.text) == ("Slide 1:\nTitle 1", "Slide 2:\nTitle 2\na | b")
    assert picture.load is not None and picture.load().size == (picture.width, picture.height) == (30, 20)
    with pytest.raises(MediaError, match="LibreOffice"):
        read_document(b"x", suffix=".ppt")


def test_an_office_turns_slides_into_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(command: list[str], **_: object) -> None:
        Path(command[-1]).with_suffix(".pdf").write_bytes(make_pdf(2))

    monkeypatch.setattr(documents.shutil, "which", lambda _: "/usr/bin/soffice")
    monkeypatch.setattr(documents.subprocess, "run", convert)
    assert len(read_document(make_slides(), suffix=".pptx")) == 2
    monkeypatch.setattr(documents.subprocess, "run", lambda *_, **__: None)
    with pytest.raises(MediaError, match="could not be converted"):
        read_document(make_slides(), suffix=".pptx")
