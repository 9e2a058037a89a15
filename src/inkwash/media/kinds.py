"""What a file is to a model that sees (a picture, a video or a document), and what its first bytes say it is.

Loads nothing at import beyond the standard library.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal

FileKind = Literal["image", "video", "file"]
PDF = ".pdf"
SLIDES = frozenset({".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm"})
TEXTS = frozenset({".docx", ".docm", ".dotx", ".dotm"})
OLD = frozenset({".ppt", ".doc"})  # which only LibreOffice reads
DOCUMENTS = frozenset({PDF, *SLIDES, *TEXTS, *OLD})
VIDEOS = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".wmv", ".flv", ".webm", ".mpeg", ".mpg", ".m4v"}
    | {".ts", ".mts", ".m2ts", ".3gp", ".3g2", ".ogv"}
)
ANIMATED = frozenset({".gif", ".webp", ".png", ".apng"})  # pictures that may move
HEAD = 4096

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"BM", "a BMP picture"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"II+\0", "a BigTIFF picture"),
    (0, b"MM\0+", "a BigTIFF picture"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\2\0\1\0", "a mouse cursor (CUR)"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (0, b"\x01\xda", "an SGI picture"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster picture"),
    (0, b"BLP1", "a BLP texture"),
    (0, b"BLP2", "a BLP texture"),
    (0, b"FTEX", "an FTEX texture"),
    (0, b"\xabKTX ", "a KTX texture"),
    (0, b"\xb1\x68\xde\x3a", "a fax (DCX)"),
    (0, b"DanM", "a Microsoft Paint picture (MSP)"),
    (0, b"LinS", "a Microsoft Paint picture (MSP)"),
    (0, b"SIMPLE  =", "a FITS picture"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"GRIB", "a GRIB file"),
    (0, b"BUFR", "a BUFR file"),
    (257, b"ustar", "a TAR archive"),
    (0, b"8BPS", "a Photoshop file (PSD)"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"qoif", "a QOI picture"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"gimp xcf", "a GIMP file (XCF)"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    (40, b" EMF", "an EMF drawing"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"FLV\1", "an FLV video"),
    (0, b"\0\0\1\xba", "an MPEG video"),
    (0, b"\0\0\1\xb3", "an MPEG video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"ffconcat", "an FFmpeg playlist"),
    (0, b"#EXTM3U", "an M3U playlist"),
    (0, b"v=0", "an SDP description"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"\xff\xfb", "an MP3 sound"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (or one with a password)"),
)
# Kinds that only several bytes of a header tell together.
_FLIC = (b"\x11\xaf", b"\x12\xaf")  # after the length of the file
_TGA_END = b"TRUEVISION-XFILE.\0"
_TGA_KINDS = (1, 2, 3, 9, 10, 11)
_RIFF = {b"WEBP": "a WebP picture", b"AVI ": "an AVI video", b"WAVE": "a WAV sound"}
_BRANDS = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"hevc": "a HEIC picture",
    b"mif1": "a HEIF picture",
    b"msf1": "a HEIF picture",
    b"qt  ": "a QuickTime video",
    b"crx ": "a raw camera picture (CR3)",
    b"M4A ": "an M4A sound",
}
_ARCHIVES = (
    ("ppt/", "a PPTX presentation"),
    ("word/", "a DOCX document"),
    ("xl/", "an XLSX spreadsheet"),
    ("META-INF/", "an EPUB, JAR or OpenDocument file"),
    ("content.xml", "an OpenDocument file"),
)
_MARKUP = (
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML file"),
)


def kind_of(path: Path) -> FileKind:
    """Video or document by the suffix, an animated GIF, WebP or PNG a video too, anything else a picture."""
    suffix = path.suffix.lower()
    if suffix in ANIMATED and path.is_file():
        with open(path, "rb") as file:
            return "video" if is_animated(file) else "image"
    return "video" if suffix in VIDEOS else "file" if suffix in DOCUMENTS else "image"


def sniff(content: bytes | BinaryIO) -> str:
    """What the first bytes say something is, with its article: "a PNG picture", "a ZIP archive", "a text" ..."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        return "an empty file"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "a RIFF file")
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a 3GP video" if head[8:11] in (b"3gp", b"3g2") else "an MP4 video")
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _archive(file)
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    if len(head) > 376 and head[0] == head[188] == 0x47:
        return "an MPEG transport stream"
    if head[0:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace():
        return "a PPM picture"
    return _by_header(head) or (_text(head) if not _ends_as_tga(file) else "a TGA picture")


def _by_header(head: bytes) -> str | None:
    """Kinds without a mark of their own at the beginning: what their first fields hold together."""
    if head[4:6] in _FLIC:
        return "an FLI or FLC animation"
    if head[:1] == b"\x0a" and head[1:2] in (b"\0", b"\2", b"\3", b"\4", b"\5") and head[2:3] in (b"\0", b"\1"):
        return "a PCX picture"
    if len(head) > 18 and head[1] in (0, 1) and head[2] in _TGA_KINDS and head[16] in (8, 15, 16, 24, 32):
        mapped = head[1] == 1 and head[2] in (1, 9) and head[7] in (15, 16, 24, 32)
        plain = head[1] == 0 and head[2] in (2, 3, 10, 11) and head[3:8] == bytes(5)
        if (mapped or plain) and b"\0\0" not in (head[12:14], head[14:16]) and head[17] & 0xC0 == 0:
            return "a TGA picture"
    return None


def _ends_as_tga(file: BinaryIO) -> bool:
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - len(_TGA_END)))
    return file.read() == _TGA_END


def is_animated(file: BinaryIO) -> bool:
    """Whether an open GIF, WebP or PNG has several pictures that follow each other; reads headers only."""
    file.seek(0)
    head = file.read(64)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _gif_pictures(file, 2) > 1
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & 2)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_frames(file) > 1
    return False


def _gif_pictures(file: BinaryIO, most: int) -> int:
    """Image blocks of a GIF, counted up to `most`."""
    file.seek(10)
    flags = file.read(3)
    file.seek(3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0, io.SEEK_CUR)
    count = 0
    while count < most:
        mark = file.read(1)
        if mark == b"!":
            file.seek(1, io.SEEK_CUR)
        elif mark == b",":
            count += 1
            place = file.read(9)
            if len(place) < 9:
                break
            colours = 3 << ((place[8] & 7) + 1) if place[8] & 0x80 else 0
            file.seek(colours + 1, io.SEEK_CUR)
        else:
            break
        while size := file.read(1):
            if size == b"\0":
                break
            file.seek(size[0], io.SEEK_CUR)
    return count


def _png_frames(file: BinaryIO) -> int:
    """What the animation chunk of a PNG says, which stands before its pixels; 1 without one."""
    file.seek(8)
    for _ in range(1000):
        head = file.read(8)
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or kind == b"IDAT":
            break
        if kind == b"acTL":
            return int.from_bytes(file.read(4), "big")
        file.seek(size + 4, io.SEEK_CUR)
    return 1


def _archive(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # damaged directories raise many things
        return "a damaged ZIP archive"
    return next((kind for start, kind in _ARCHIVES if any(n.startswith(start) for n in names)), "a ZIP archive")


def _text(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1024].lower()
    for mark, name in _MARKUP:
        if start.startswith(mark):
            return "an SVG drawing" if b"<svg" in start else name
    try:
        head.decode("utf-8", "strict") if len(head) < HEAD else head[:-4].decode("utf-8", "strict")
    except UnicodeDecodeError:
        return "of an unknown kind"
    return "of an unknown kind" if b"\0" in head else "a text"
