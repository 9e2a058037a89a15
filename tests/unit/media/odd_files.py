"""Odd pictures, documents and videos, always the same: kinds, modes, headers that lie, cuts, flipped bytes.

    python -m tests.unit.media.odd_files FOLDER        # reads every file of a folder instead, and lists the outcomes

Each is either read or refused in one sentence that names what it is; the command ends with 1 where one is not.
"""

from __future__ import annotations

import io
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from inkwash.core.errors import InkwashError, MediaError
from inkwash.media.kinds import kind_of
from inkwash.media.process import MediaLimits, MediaProcess
from inkwash.media.reader import MediaReader

MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGB"),
    "BMP": ("1", "L", "P", "RGB"),
    # Pillow writes TIFF files in YCbCr that it cannot read itself.
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "LAB"),
    "PPM": ("1", "L", "RGB"),
    "AVIF": ("RGB", "RGBA"),
}
FOREIGN = ("ICO", "TGA", "PCX", "SGI", "DDS", "JPEG2000", "PDF", "IM", "MSP", "ICNS", "SPIDER", "XBM", "QOI", "EPS")


def odd_pictures() -> Iterator[tuple[str, bytes]]:
    """At least two hundred."""
    dice = random.Random(7)
    grey = np.random.default_rng(7).integers(0, 256, (37, 53), dtype=np.uint8)
    for kind, modes in MODES.items():
        for mode in modes:
            picture = _picture(grey, mode)
            whole = _saved(picture, kind)
            if whole is None:
                continue
            yield f"{kind} {mode}", whole
            for share in (0.3, 0.9):
                yield f"{kind} {mode} cut at {share}", whole[: int(len(whole) * share)]
            for number in range(3):
                yield f"{kind} {mode} damaged {number}", _damaged(whole, dice)
    for kind in FOREIGN:
        content = _saved(_picture(grey, "RGB"), kind) or _saved(_picture(grey, "1"), kind)
        if content is not None:
            yield kind, content
    for turn in range(10):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"turned {turn}", _saved(_picture(grey, "RGB"), "JPEG", exif=exif) or b""
    yield from (("nothing", b""), ("text", b"hello"), ("svg", b"<svg/>"), ("zeros", bytes(9000)), ("page", b"<html>"))


def odd_documents() -> Iterator[tuple[str, bytes]]:
    """At least sixty PDF, PPTX and DOCX files, by the suffix of their names."""
    from tests.unit.media.test_documents import locked_pdf, make_letter, make_pdf, make_slides, paragraph

    dice = random.Random(8)
    wholes = [
        ("plain.pdf", make_pdf(2)),
        ("wide.pdf", make_pdf(1, (14_000, 3))),
        ("tiny.pdf", make_pdf(1, (0.01, 0.01))),
        ("locked.pdf", locked_pdf(b"x")),
        ("plain.pptx", make_slides()),
        ("letter.docx", make_letter(paragraph("Hello"))),
        ("slides.docx", make_slides()),
        ("letter.pptx", make_letter(paragraph("Hello"))),
        ("renamed.pptx", make_pdf(1)),
    ]
    for name, whole in wholes:
        yield name, whole
        stem, _, suffix = name.rpartition(".")
        for share in (0.1, 0.5, 0.98):
            yield f"{stem} cut at {share}.{suffix}", whole[: int(len(whole) * share)]
        for number in range(4):
            yield f"{stem} damaged {number}.{suffix}", _damaged(whole, dice)


def odd_videos(folder: Path) -> Iterator[tuple[str, bytes]]:
    """At least thirty."""
    from tests.unit.media.test_videos import write_video

    dice = random.Random(9)
    for suffix in (".mp4", ".mkv", ".avi", ".mov", ".ts", ".flv"):
        path = folder / f"film{suffix}"
        write_video(path, frames=12, fps=25, codec="flv" if suffix == ".flv" else "mpeg4")
        whole = path.read_bytes()
        yield path.name, whole
        for share in (0.2, 0.7):
            yield f"cut at {share}{suffix}", whole[: int(len(whole) * share)]
        for number in range(3):
            yield f"damaged {number}{suffix}", _damaged(whole, dice)
    yield from (
        ("list.mp4", b"ffconcat version 1.0\nfile x\n"),
        ("list.ts", b"#EXTM3U\n#EXTINF:1,\nx\n"),
        ("text.mp4", b"hello"),
        ("nothing.mkv", b""),
    )


def outcome(reader: MediaReader, name: str, source: bytes | Path, kind: str) -> str:
    """ "read", or the sentence of the refusal; anything else is raised."""
    try:
        if kind == "video":
            facts = reader.video(source)
            frames = sum(len(stack) for stack in reader.frames(source, [0, max(0, facts.frames // 2)], facts=facts))
            assert frames == 2
        elif kind == "file":
            pages = reader.document(source, suffix=Path(name).suffix, dpi=40, max_pages=5)
            assert pages
            for page in pages:
                if page.load is not None:
                    assert page.load().size == (page.width, page.height)
        else:
            size = reader.picture_size(source)
            assert reader.picture(source).size == size
    except (MediaError, InkwashError) as error:
        return error.message
    return "read"


def check(reader: MediaReader, name: str, source: bytes | Path, kind: str) -> str:
    """The outcome, within ten seconds, as one sentence that says what was seen."""
    began = time.monotonic()
    said = outcome(reader, name, source, kind)
    assert time.monotonic() - began < 10, f"{name}: {time.monotonic() - began:.1f} s"
    assert said == "read" or (said.startswith("The ") and said.endswith(".") and "\n" not in said), f"{name}: {said}"
    return said


def _picture(grey: np.ndarray, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    colors = Image.fromarray(np.stack([grey, grey.T.repeat(2, 1)[:37, :53], 255 - grey], -1) if mode != "L" else grey)
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(colors, srgb, lab, outputMode="LAB") or colors
    return colors.convert(mode)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes | None:
    buffer = io.BytesIO()
    try:
        picture.save(buffer, kind, **options)
    except (OSError, KeyError, ValueError):
        return None  # this Pillow writes no such file
    return buffer.getvalue()


def _damaged(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 12)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def main(folder: Path) -> int:
    """Every file below a folder, each outcome on a line; how many are wrong."""
    wrong = 0
    with MediaProcess(MediaLimits(processes=1)) as media:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                said = check(media.within(), path.name, path, kind_of(path))
            except Exception as error:
                said, wrong = f"WRONG {type(error).__name__}: {error}", wrong + 1
            print(f"{path.relative_to(folder)}: {said}")
    print(f"{wrong} wrong")
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
