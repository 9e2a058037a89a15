"""Documents: pages counted and measured first, rendered one by one, ranges, limits, and slides without an office."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkwash.core.errors import MediaError, RequestError
from inkwash.media import documents
from inkwash.media.documents import page_numbers, read_document
from inkwash.media.kinds import kind_of

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
    begun = time.process_time()
    with pytest.raises(RequestError) as caught:
        page_numbers(wanted, 4)  # type: ignore[arg-type]
    assert caught.value.status == 400 and caught.value.param == "pages"
    assert time.process_time() - begun < 0.05


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


def test_a_document_without_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)  # no LibreOffice
    buffer = io.BytesIO()
    pptx.Presentation().save(buffer)
    with pytest.raises(MediaError, match="has no pages or slides"):
        read_document(buffer.getvalue())


def test_an_archive_that_would_burst_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ppt/slides/slide1.xml", b"0" * 2_000_000)  # packed it takes two thousand bytes
    monkeypatch.setattr(documents, "MAX_UNPACKED", 1_000_000)
    monkeypatch.setattr(documents, "open_slides", lambda *_: pytest.fail("opened"))
    with pytest.raises(MediaError, match="GiB unpacked"):
        read_document(buffer.getvalue(), suffix=".pptx")


def test_slides_without_an_office_are_text_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    first, second, picture = read_document(make_slides(), suffix=".pptx")
    assert (first.text, second.text) == ("Slide 1:\nTitle 1", "Slide 2:\nTitle 2\na | b")
    assert picture.load is not None and picture.load().size == (picture.width, picture.height) == (30, 20)
    with pytest.raises(MediaError, match="LibreOffice"):
        read_document(b"x", suffix=".ppt")


def test_an_office_turns_slides_into_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(command: list[str], **_: object) -> None:
        Path(command[-1]).with_suffix(".pdf").write_bytes(make_pdf(2))

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/soffice")
    monkeypatch.setattr(subprocess, "run", convert)
    assert len(read_document(make_slides(), suffix=".pptx")) == 2
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    with pytest.raises(MediaError, match="could not be converted"):
        read_document(make_slides(), suffix=".pptx")


def changed(content: bytes, changes: dict[str, Any]) -> bytes:
    """An archive with some entries made anew: bytes, or a function of the old ones."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for name in [*old.namelist(), *(name for name in changes if name not in old.namelist())]:
            change = changes.get(name)
            new.writestr(
                name, old.read(name) if change is None else change(old.read(name)) if callable(change) else change
            )
    return made.getvalue()


def saved(show: Any) -> bytes:
    buffer = io.BytesIO()
    show.save(buffer)
    return buffer.getvalue()


@pytest.fixture
def no_office(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.usefixtures("no_office")
@pytest.mark.parametrize("suffix", [".pptm", ".ppsx", ".ppsm", ".potx", ".potm", None])
def test_shows_and_templates_are_read_like_presentations(suffix: str | None) -> None:
    kinds = {
        ".pptm": b"application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml",
        ".ppsx": b"application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml",
        ".ppsm": b"application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml",
        ".potx": b"application/vnd.openxmlformats-officedocument.presentationml.template.main+xml",
        ".potm": b"application/vnd.ms-powerpoint.template.macroEnabled.main+xml",
    }
    plain = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
    content = make_slides()
    if suffix is not None:
        content = changed(content, {"[Content_Types].xml": lambda old: old.replace(plain, kinds[suffix])})
        assert kind_of(Path(f"x{suffix}")) == "file"
    assert [page.text for page in read_document(content, suffix=suffix)][:2] == [
        "Slide 1:\nTitle 1",
        "Slide 2:\nTitle 2\na | b",
    ]


@pytest.mark.usefixtures("no_office")
def test_a_chart_is_read_as_its_figures() -> None:
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    show = pptx.Presentation()
    data = CategoryChartData()
    data.categories = ["Apples", "Pears"]
    data.add_series("2025", (3, 42.5))
    data.add_series("2026", (None, 7))
    slide = show.slides.add_slide(show.slide_layouts[6])
    chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 3_000_000, 2_000_000, data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Fruit"
    slide.notes_slide.notes_text_frame.text = "Say hello"
    (page,) = read_document(saved(show), suffix=".pptx")
    assert page.text == (
        "Slide 1:\nChart (column clustered): Fruit\n"
        "2025: Apples 3, Pears 42.5\n2026: Apples -, Pears 7\nNotes: Say hello"
    )


@pytest.mark.usefixtures("no_office")
def test_smart_art_drawings_and_lost_pictures_are_said() -> None:
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[6])
    picture = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(picture, "PNG")
    slide.shapes.add_picture(picture, 0, 0)
    content = saved(show)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        image = next(name for name in archive.namelist() if name.startswith("ppt/media/"))
    uri = b"http://schemas.openxmlformats.org/drawingml/2006/diagram"
    frame = (
        b'<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="9" name="d"/><p:cNvGraphicFramePr/><p:nvPr/>'
        b'</p:nvGraphicFramePr><p:xfrm><a:off x="0" y="0"/><a:ext cx="9" cy="9"/></p:xfrm><a:graphic>'
        b'<a:graphicData uri="' + uri + b'"><d:relIds xmlns:d="' + uri + b'" r:dm="rId99"/></a:graphicData>'
        b"</a:graphic></p:graphicFrame></p:spTree>"
    )
    relation = (
        b'<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
        b'diagramData" Target="../diagrams/data1.xml"/></Relationships>'
    )
    points = b"".join(
        b"<d:pt><d:t><a:p><a:r><a:t>%s</a:t></a:r></a:p></d:t></d:pt>" % word for word in (b"Plan", b"Do")
    )
    drawing = b'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    data = b'<d:dataModel xmlns:d="' + uri + b'" ' + drawing + b"><d:ptLst>" + points + b"</d:ptLst></d:dataModel>"
    art = changed(
        content,
        {
            "ppt/slides/slide1.xml": lambda old: old.replace(b"</p:spTree>", frame).replace(
                b"<p:sld ", b'<p:sld xmlns:q="urn:q" ', 1
            ),
            "ppt/slides/_rels/slide1.xml.rels": lambda old: old.replace(b"</Relationships>", relation),
            "ppt/diagrams/data1.xml": data,
            "[Content_Types].xml": lambda old: old.replace(
                b"</Types>", b'<Override PartName="/ppt/diagrams/data1.xml" ContentType="application/xml"/></Types>'
            ),
        },
    )
    page, shown = read_document(art, suffix=".pptx")
    assert page.text == "Slide 1:\nSmartArt: Plan; Do" and shown.load is not None and shown.load((6, 4)).size == (6, 4)
    emf = bytes(40) + b" EMF" + bytes(60)
    (page,) = read_document(changed(content, {image: emf}), suffix=".pptx")
    assert page.text == "Slide 1:\n[Here is an EMF drawing, which cannot be shown.]"
    without = changed(
        content,
        {"ppt/slides/slide1.xml": lambda old: re.sub(rb"<p:blipFill>.*?</p:blipFill>", b"", old, flags=re.S)},
    )
    (page,) = read_document(without, suffix=".pptx")
    assert page.text == "Slide 1:\n[Here is a picture without content.]"


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def make_letter(body: str, pictures: dict[str, bytes] | None = None) -> bytes:
    """A DOCX with this body; pictures by their relationship ids."""
    buffer = io.BytesIO()
    links = "".join(f'<Relationship Id="{key}" Target="media/{key}.png"/>' for key in pictures or {})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{WORD}" xmlns:r="{RELATIONS}" xmlns:a="urn:a" xmlns:c="urn:c" '
            f'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:body>{body}</w:body></w:document>',
        )
        archive.writestr("word/_rels/document.xml.rels", f"<Relationships>{links}</Relationships>")
        for key, content in (pictures or {}).items():
            archive.writestr(f"word/media/{key}.png", content)
    return buffer.getvalue()


def paragraph(text: str, more: str = "") -> str:
    return f"<w:p><w:r><w:t>{text}</w:t>{more}</w:r></w:p>"


@pytest.mark.usefixtures("no_office")
def test_a_letter_is_its_texts_tables_and_pictures(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(picture, "PNG")
    cells = "".join(f"<w:tc>{paragraph(word)}</w:tc>" for word in ("a", "b"))
    body = (
        paragraph("Hello")
        + f"<w:tbl><w:tr>{cells}</w:tr><w:tr>{cells}</w:tr></w:tbl>"
        + paragraph("look", '<w:drawing><a:blip r:embed="x1"/></w:drawing>')
        + paragraph("end", '<w:br w:type="page"/>')
        + paragraph("Second", '<w:drawing><c:chart r:id="x9"/></w:drawing><mc:Fallback><w:t>twice</w:t></mc:Fallback>')
        + paragraph("lost", '<w:drawing><a:blip r:embed="none"/></w:drawing>')
    )
    path = tmp_path / "letter.docx"
    path.write_bytes(make_letter(body, {"x1": picture.getvalue()}))
    assert kind_of(path) == "file"
    first, shown, second = read_document(path)
    assert first.text == "Page 1:\nHello\na | b\na | b\nlook\nend"
    assert shown.load is not None and shown.load().size == (30, 20)
    assert second.text.startswith("Page 2:\nSecond[Here is a chart, which is not read")
    assert "twice" not in second.text and "[Here is a picture without content.]" in second.text
    assert [page.number for page in read_document(path.read_bytes(), pages="2")] == [2]


@pytest.mark.usefixtures("no_office")
def test_refusals_name_what_they_saw() -> None:
    sheet = io.BytesIO()
    with zipfile.ZipFile(sheet, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    for content, suffix, kind in (
        (sheet.getvalue(), ".pptx", "an XLSX spreadsheet"),
        (b"hello", None, "a text"),
        (b"hello", ".pdf", "a text"),
        (b"<html></html>", ".docx", "an HTML page"),
        (make_letter("<w:p>"), ".docx", "a DOCX document that is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), ".pptx", "an old Office document"),
        (b"x", ".doc", "an old DOC file"),
    ):
        with pytest.raises(MediaError, match=f"The document is {kind}") as caught:
            read_document(content, suffix=suffix)
        assert "\n" not in caught.value.message


def locked_pdf(password: bytes) -> bytes:
    """A PDF of one empty page under a password, by the oldest of its ciphers (RC4 of 40 bits)."""
    filler = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")

    def cipher(key: bytes, content: bytes) -> bytes:
        box, j, found = list(range(256)), 0, bytearray()
        for i in range(256):
            j = (j + box[i] + key[i % len(key)]) % 256
            box[i], box[j] = box[j], box[i]
        i = j = 0
        for value in content:
            i = (i + 1) % 256
            j = (j + box[i]) % 256
            box[i], box[j] = box[j], box[i]
            found.append(value ^ box[(box[i] + box[j]) % 256])
        return bytes(found)

    padded = (password + filler)[:32]
    owner = cipher(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (-4 & 0xFFFFFFFF).to_bytes(4, "little") + b"0123456789abcdef").digest()[:5]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 144] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        % (owner.hex().encode(), cipher(key, filler).hex().encode()),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(content)
    content += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    ids = b"<%s>" % b"0123456789abcdef".hex().encode()
    return content + b"trailer << /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [%s %s] >>\nstartxref\n%d\n%%%%EOF\n" % (
        ids,
        ids,
        start,
    )


def test_a_locked_pdf_opens_with_its_password_only() -> None:
    content = locked_pdf(b"secret")
    (page,) = read_document(content, password="secret", dpi=72)
    assert page.load is not None and page.load().size == (72, 144)
    with pytest.raises(MediaError, match="locked with a password: give the password"):
        read_document(content)
    with pytest.raises(MediaError, match="locked with another password"):
        read_document(content, password="wrong")
