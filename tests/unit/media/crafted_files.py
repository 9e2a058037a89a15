"""Files made to hurt or to confuse a reader, each with what must be said of it: "read", or a part of the refusal.

Bombs are small here: what limits them is tested in test_process and test_documents; here they end in a sentence at all.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.media.test_documents import make_letter, make_pdf, make_slides, paragraph

WORD = b'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
ONE_PAGE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
Crafted = Iterator[tuple[str, bytes, str]]


def crafted_pictures() -> Crafted:
    grey = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    picture = Image.fromarray(grey)
    saved = {kind: _saved(picture, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF", "ICO")}
    damaged, animated, size = "damaged or unusual", "animated or has several pages", "too large"
    yield "a profile of 20 MB", _png(8, 8, _chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(20_000_000)))), damaged
    yield "a comment of 20 MB", _png(8, 8, _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(20_000_000)))), damaged
    yield "a profile of noise", _png(8, 8, _chunk(b"iCCP", b"x\0\0" + zlib.compress(grey.tobytes()[:900]))), "read"
    yield "5000 comments", _png(8, 8, _chunk(b"tEXt", b"a\0b") * 5000), "read"
    yield "more pixels than its size", _png(8, 8, data=zlib.compress(bytes(10_000_000))), "read"
    yield "fewer pixels than its size", _png(80, 80, data=zlib.compress(bytes(30))), "a PNG picture that is damaged"
    yield "a palette that is missing", _png(8, 8, color=3), "read"
    yield "no width", _png(0, 8), damaged
    yield "2**31 wide", _png(2**31 - 1, 2**31 - 1, data=b""), size
    yield "many bits", _png(20_000, 6_000, depth=1, color=0), size
    yield "frames without an end", _gif(20_000), animated
    yield "a canvas of 65535", b"GIF89a" + b"\xff" * 4 + b"\x80\0\0" + bytes(6) + _GIF_FRAME + b";", size
    yield "60 scans", _progressive(picture, 60), "read"
    yield "a directory that names itself", _looping_tiff(saved["TIFF"]), "read"
    yield "65535 tags of noise", b"II*\0\x08\0\0\0\xff\xff" + grey.tobytes() * 60, damaged
    yield "Exif of noise", _saved(picture, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + grey.tobytes()), "read"
    yield "rows from below", saved["BMP"][:22] + struct.pack("<i", -64) + saved["BMP"][26:], "read"
    yield "an archive behind it", saved["JPEG"] + b"PK\3\4" + bytes(99), "read"
    yield "an animated PNG", _saved(picture, "PNG", save_all=True, append_images=[picture.rotate(90)]), animated
    yield "a lossless WebP", _saved(picture, "WEBP", lossless=True), "read"
    yield "an AVIF", saved["AVIF"], "read"
    yield "16 bits of PPM", b"P6 4 4 65535\n" + bytes(96), "read"
    yield "floats of PFM", b"Pf\n2 2\n-1.0\n" + bytes(16), "read"
    yield from (
        ("an icon", saved["ICO"], "an icon (ICO)"),
        ("an XPM", b"/* XPM */ static char * a[] = {", "a text"),
        ("a page", b"<!DOCTYPE html><p>", "an HTML page"),
        ("JSON", b'{"a": 1}', "a text"),
        ("a HEIC", b"\0\0\0\x18ftypheic" + bytes(200), "a HEIC picture"),
        ("a document", make_pdf(1), "a PDF document"),
        ("a presentation", make_slides(), "a PPTX presentation"),
        ("a sound", b"ID3\4" + bytes(500), "an MP3 sound"),
    )


def crafted_documents() -> Crafted:
    """The suffix of a name is that of the file."""
    xml, pages, no_pdf = "XMLSyntaxError", "pages to read", "a PDF document, damaged or no PDF"
    words = b"".join(b'<!ENTITY %c "%s">' % (98 + i, (b"&%c;" % (97 + i)) * 12) for i in range(9))
    laughs = b'<!DOCTYPE l [<!ENTITY a "lol">' + words + b"]>" + _body(b"&j;")
    yield "laughs.docx", _letter(b'<?xml version="1.0"?>' + laughs), xml
    outside = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + _body(b"A&a;")
    yield "outside.docx", _letter(outside), "read"
    yield "deep.docx", _letter(b"<w:document " + WORD + b">" + b"<w:p>" * 9000 + b"</w:p>" * 9000), xml
    yield "empty.docx", _letter(b""), xml
    yield "loop.pdf", _pdf([CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 999999 >>"]), pages
    many = b"<< /Type /Pages /Kids [" + b"3 0 R " * 20_000 + b"] /Count 20000 >>"
    yield "many.pdf", _pdf([CATALOG, many, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"]), pages
    for name, box in (
        ("turned", b"[0 0 300 100] /Rotate 90 /CropBox [0 0 150 100]"),
        ("backwards", b"[0 0 -600 -600]"),
        ("endless", b"[0 0 1e30 1e30] /UserUnit 100000"),
    ):
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox %s >>" % box
        yield f"{name}.pdf", _pdf([CATALOG, ONE_PAGE, page]), "read"
    yield "no pages.pdf", _pdf([CATALOG, b"<< /Type /Pages /Kids [] >>"]), no_pdf
    yield "no catalogue.pdf", _pdf([ONE_PAGE]), no_pdf
    yield "junk before.pdf", b"junk\n" * 100 + make_pdf(1), "read"
    yield "zeros behind.pdf", make_pdf(1) + bytes(5000), "read"
    yield "short.pptx", make_slides()[:-40], "a damaged ZIP archive"
    yield "table.docx", b"a,b\n1,2", "a text"
    yield "rich.doc", b"{\\rtf1 hello}", "an old DOC file"
    yield "old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "an old DOC file"
    yield "other.docx", _zipped({"a.txt": b"x"}), "a ZIP archive"
    yield "sheet.docx", _zipped({"xl/workbook.xml": b"<x/>"}), "an XLSX spreadsheet"


def crafted_videos(folder: Path) -> Crafted:
    """Codecs and containers of every age, then headers that lie and texts that name other files."""
    from tests.unit.media.test_videos import write_video

    for name, how in {
        "vp8.webm": {"codec": "libvpx"},
        "h264.mp4": {"codec": "libx264"},
        "mpeg2.ts": {"codec": "mpeg2video"},
        "wmv2.wmv": {"codec": "wmv2"},
        "ffv1.mkv": {"codec": "ffv1"},
        "one frame.mp4": {"frames": 1},
    }.items():
        path = folder / name
        write_video(path, **{"frames": 12, **how})
        yield name, path.read_bytes(), "read"
    whole = (folder / "h264.mp4").read_bytes()
    unread = "an MP4 video, not a video that can be read"
    yield "the longest time.mp4", _changed(whole, b"mvhd", 16, b"\0\0\0\1\xff\xff\xff\xff"), "read"
    yield "2**31 samples.mp4", _changed(whole, b"stsz", 12, b"\xff\xff\xff\x7f"), unread
    yield "2**24 times.mp4", _changed(whole, b"stts", 8, b"\0\xff\xff\xff\0\xff\xff\xff\x7f\xff\xff\xff"), unread
    yield "frames without an end.gif", _gif(21_000), "at most 20000 are read"
    text = "a text, not a video that can be read"
    yield from (
        ("captions.mp4", b"WEBVTT\n\n00:00.000 --> 00:01.000\nx\n", text),
        ("a list behind a mark.mp4", b"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", text),
        ("a manifest.mp4", b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/</BaseURL></MPD>', "an XML file"),
        ("a list of shows.wmv", b'<asx version="3.0"><ref href="file:///etc/hostname"/></asx>', text),
        ("a list behind blanks.mp4", b"  \nffconcat version 1.0\nfile /etc/hostname\n", text),
        ("an address.mp4", b"concat:/etc/hostname|/etc/hosts", text),
        ("a sound.mp4", b"ID3\4" + bytes(500), "an MP3 sound"),
        ("a picture.mp4", _png(8, 8), "a PNG picture"),
    )


_GIF_FRAME = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"


def _gif(frames: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + (b"!\xf9\x04\0\1\0\0\0" + _GIF_FRAME) * frames + b";"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, extra: bytes = b"", *, depth: int = 8, color: int = 2, data: bytes | None = None
) -> bytes:
    if data is None:
        row = b"\0" + bytes((width * {0: 1, 2: 3, 3: 1}[color] * depth + 7) // 8)
        data = zlib.compress(row * height)
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _progressive(picture: Image.Image, scans: int) -> bytes:
    whole = _saved(picture.resize((256, 256)), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + b"\xff\xd9"


def _looping_tiff(whole: bytes) -> bytes:
    """The first directory is its own successor."""
    changed = bytearray(whole)
    (start,) = struct.unpack("<I", whole[4:8])
    (tags,) = struct.unpack("<H", whole[start : start + 2])
    changed[start + 2 + 12 * tags : start + 6 + 12 * tags] = struct.pack("<I", start)
    return bytes(changed)


def _pdf(objects: list[bytes]) -> bytes:
    content, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(content))
    return content + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


def _body(text: bytes) -> bytes:
    return b"<w:document " + WORD + b"><w:body><w:p><w:r><w:t>" + text + b"</w:t></w:r></w:p></w:body></w:document>"


def _letter(document: bytes) -> bytes:
    """A DOCX whose text is this XML."""
    with zipfile.ZipFile(io.BytesIO(make_letter(paragraph("Hello")))) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    return _zipped({**parts, "word/document.xml": document})


def _zipped(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
    return buffer.getvalue()


def _changed(whole: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """A file with other bytes behind a mark."""
    start = whole.index(mark) + offset
    return whole[:start] + new + whole[start + len(new) :]
