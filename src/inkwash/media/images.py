"""Pictures in and out: one function that reads anything sensible as RGB, one that writes it whole or not at all.

Reading checks the byte and pixel limits before it decodes, honours EXIF orientation and colour profiles, flattens
transparency on white, and turns CMYK, palette and 16-bit pictures into 8-bit RGB, band by band, so that a large one is
in memory once. Writing goes through a temporary file in the same folder and a rename, and keeps the settings of a
picture inside its file: a PNG text chunk named `inkwash`, or the EXIF user comment of WebP and JPEG.

No file is overwritten unasked, and missing folders are made. A name that is taken gets a number: `out.png`, then
`out-1.png`, `out-2.png`. Several pictures are numbered from the start, and numbers go on after the highest one there. A
name is claimed by creating the file, so that two commands at the same time never write to one.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import secrets
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from PIL import ExifTags, Image, ImageChops, ImageOps, PngImagePlugin

from inkwash.core.errors import MediaError
from inkwash.core.files import atomic_write
from inkwash.core.types import PathLike
from inkwash.media.colors import converted
from inkwash.media.kinds import sniff
from inkwash.media.sources import Source, open_source, read_source, reason, source_name

ImageSource: TypeAlias = Source | Image.Image

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 2**20  # 8192x8192; Pillow's own alarm rings later
READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
_KINDS = ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF", "AVIF")  # those that refusals name
SUFFIXES = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_METADATA_KEY = "inkwash"
_COMMENT_HEAD = b"ASCII\0\0\0"  # the EXIF standard's name of the character code
_GREY_SPREAD = 16  # between the channels of a grey picture that JPEG has been at
_MAX_COMMENT = 60_000  # an EXIF block of a JPEG holds at most 64 KiB
EXACT_PIXELS = 16 * 10**6  # what is larger and wanted smaller is reduced by whole numbers first, a JPEG while decoded
_OPENING = threading.Lock()  # warnings.catch_warnings changes the state of the whole process


def load_image(
    source: ImageSource,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Reads one still picture as 8-bit RGB from a path, from bytes or from a PIL image.

    `size` (width, height): resized to it by Pillow's bicubic filter; of more than EXACT_PIXELS only as much is
    decoded (JPEG) or filtered as it takes for that. Raises MediaError, with the file, what it is and the way out, for
    anything missing, unreadable, damaged, animated or huge.
    """
    picture, name = _still(source, max_bytes, max_pixels)
    try:
        upright = _upright(picture, size)
        read = converted(upright, "RGB")
        if read is source:
            read = read.copy()
        if size is None or read.size == size:
            return read
        gap = 3.0 if math.prod(read.size) > EXACT_PIXELS else None
        return read.resize(size, Image.Resampling.BICUBIC, reducing_gap=gap)
    except (MediaError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} is too large ({reason(error)}): make it smaller.") from error
    except Exception as error:  # decoders raise anything on foreign bytes: SyntaxError, struct.error, IndexError ...
        raise MediaError(
            f"{name} is {_sort(picture)} that is damaged or cut short ({reason(error)}): export it again as PNG or "
            "JPEG."
        ) from error


def load_mask(source: ImageSource, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads a mask as 8-bit grey in which white is the part to change.

    Where the picture has transparency, what is transparent may change, whatever its colours are, as in OpenAI's API; in
    one without transparency it is what is white. Raises MediaError for a picture that is neither transparent nor grey.
    """
    picture, name = _still(source, max_bytes, max_pixels)
    if picture.has_transparency_data:
        alpha = load_rgba(picture, max_bytes=max_bytes, max_pixels=max_pixels).getchannel("A")
        if alpha.getextrema() != (255, 255):
            return ImageOps.invert(alpha)
    grey = load_image(picture, max_bytes=max_bytes, max_pixels=max_pixels)
    red, green, blue = grey.split()
    for one, other in ((red, green), (green, blue), (red, blue)):
        if _largest(ImageChops.difference(one, other)) > _GREY_SPREAD:
            raise MediaError(
                f"{name} is no mask: it has colours and no transparency. Make what may change transparent, or send a "
                "grey picture in which it is white."
            )
    return grey.convert("L")


def _largest(picture: Image.Image) -> int:
    """The largest value of a picture of one channel."""
    return max((value for value, count in enumerate(picture.histogram()) if count), default=0)


def load_rgba(source: ImageSource, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads one still picture with its transparency as RGBA; raises MediaError for one that has none."""
    picture, name = _still(source, max_bytes, max_pixels)
    if not picture.has_transparency_data:
        raise MediaError(f"{name} has no transparency (mode {picture.mode}): save it as a PNG with an alpha channel.")
    try:
        return converted(_upright(picture, None), "RGBA")
    except (MediaError, MemoryError):
        raise
    except Exception as error:
        raise MediaError(f"{name} is damaged or cut short ({reason(error)}): export it again as PNG.") from error


def image_size(source: Source, *, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """Width and height of a picture as `load_image` would give them, from its header alone."""
    name = source_name(source, "picture")
    with open_source(source, "picture", max_bytes) as file:
        picture = _open(file, name)
        try:
            width, height = picture.size
            turned = picture.format != "TIFF" and _orientation(picture) in (5, 6, 7, 8)  # Pillow turns a TIFF itself
        except Exception as error:
            raise MediaError(f"{name} is {_sort(picture)} that is damaged ({reason(error)}).") from error
    return (height, width) if turned else (width, height)


def save_image(image: Image.Image, path: PathLike, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Writes the picture in the format of the suffix, whole or not at all; returns the path.

    Raises MediaError when the suffix is unknown or the place cannot be written.
    """
    target = Path(path)
    content = encode_image(image, _format(target), metadata=metadata)
    try:
        atomic_write(target, content, sync=True)
    except OSError as error:
        raise MediaError(_unwritable(target, reason(error))) from error
    return target


def encode_image(
    image: Image.Image, format: str, *, metadata: Mapping[str, Any] | None = None, quality: int | None = None
) -> bytes:
    """The bytes of a PNG, WEBP or JPEG file with the settings inside.

    `quality` 0..100 is for WEBP (None and 100 are lossless) and JPEG (None is 95); a PNG is always lossless.
    """
    text = json.dumps(metadata, ensure_ascii=True, allow_nan=False) if metadata is not None else None
    buffer = io.BytesIO()
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        if text is not None:
            info.add_text(_METADATA_KEY, text)
        image.save(buffer, "PNG", pnginfo=info)
    elif format in ("WEBP", "JPEG"):
        options: dict[str, Any]
        if format == "WEBP":
            options = {"lossless": True} if quality in (None, 100) else {"quality": quality}
        else:
            options = {"quality": 95 if quality is None else max(1, quality), "subsampling": 0}
        if text is not None:
            options["exif"] = _comment_exif(text if len(text) <= _MAX_COMMENT else _shortened(metadata or {}))
        image.convert("RGB").save(buffer, format, **options)
    else:
        raise MediaError(f"The picture format {format!r} cannot be written: it must be PNG, WEBP or JPEG.")
    return buffer.getvalue()


def check_writable(path: PathLike, *, make_folders: bool = False) -> Path:
    """Raises MediaError unless a picture can be written at the path; leaves an existing file as it is.

    `make_folders`: folders on the way may be missing, if they could be made; none is made here.
    """
    target = Path(path)
    _format(target)
    place = Path(os.path.realpath(target))
    if place.is_dir():
        raise MediaError(f"The output {os.fspath(target)!r} is a folder: add a file name such as out.png.")
    folder = place.parent
    while make_folders and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise MediaError(_unwritable(target, f"there is no folder {os.fspath(folder)!r}"))
    if place.exists() and not os.access(place, os.W_OK):
        raise MediaError(_unwritable(target, "the file is write-protected"))
    probe = folder / f".{place.name}.{secrets.token_hex(4)}.part"
    try:
        with open(probe, "xb"):
            pass
        probe.unlink()
    except OSError as error:
        raise MediaError(_unwritable(target, reason(error))) from error
    return target


def read_metadata(path: PathLike) -> dict[str, Any]:
    """The settings that :func:`save_image` put into a file, or an empty dict when there are none."""
    name = f"The picture {os.fspath(path)!r}"
    picture = _open(io.BytesIO(read_source(path, "picture", MAX_BYTES)), name)
    text = picture.info.get(_METADATA_KEY)
    if text is None:
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        text = comment[len(_COMMENT_HEAD) :].decode("ascii", "replace") if comment.startswith(_COMMENT_HEAD) else ""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _sort(picture: Image.Image) -> str:
    """What a picture is, with its article."""
    kind = picture.format or "PIL"
    return f"an {kind} picture" if kind == "AVIF" else f"a {kind} picture"


def _still(source: ImageSource, max_bytes: int, max_pixels: int) -> tuple[Image.Image, str]:
    """An open picture within the limits that does not move, not decoded yet, and what to call it."""
    name = source_name(source, "picture")
    if isinstance(source, Image.Image):
        picture = source
    else:
        picture = _open(io.BytesIO(read_source(source, "picture", max_bytes)), name)
    width, height = picture.size
    if width < 1 or height < 1:
        raise MediaError(f"{name} is empty ({width}x{height} pixels).")
    if width * height > max_pixels:
        limit = f"{max_pixels / 1e6:.0f} million"
        raise MediaError(f"{name} is too large ({width}x{height} pixels): at most {limit} are read, make it smaller.")
    try:
        frames = getattr(picture, "n_frames", 1)
    except Exception as error:
        raise MediaError(f"{name} is {_sort(picture)} that is damaged or cut short ({reason(error)}).") from error
    if frames > 1 and picture.format != "MPO":  # the first picture of an MPO is the photo itself
        several = f"is {_sort(picture)} that is animated or has several pages ({frames})"
        more = "" if picture.format == "TIFF" else ", or send it as a video"
        raise MediaError(f"{name} {several}: save the one you mean as PNG and give that{more}.")
    return picture, name


def _open(file: BinaryIO, name: str) -> Image.Image:
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit follows; a crooked EXIF block is not worth a warning
            return Image.open(file, formats=READABLE)
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} is too large ({reason(error)}): make it smaller.") from error
    except MemoryError:
        raise
    except Exception as error:
        seen = sniff(file)
        if any(seen.endswith(f" {kind} picture") for kind in _KINDS):
            what, then = f"{seen}, but a damaged or unusual one", "save it again as PNG or JPEG"
        else:
            what, then = seen, f"it must be an intact {', '.join(_KINDS[:-1])} or {_KINDS[-1]} file"
        raise MediaError(f"{name} is {what}, not a picture that can be read: {then}.") from error


def _orientation(picture: Image.Image) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return found if isinstance(found, int) else 1


def _upright(picture: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Decoded and turned as its EXIF block says; a large JPEG at no more than twice the size that is wanted."""
    if size is not None and picture.format in ("JPEG", "MPO") and math.prod(picture.size) > EXACT_PIXELS:
        wide, high = reversed(size) if _orientation(picture) in (5, 6, 7, 8) else size
        picture.draft(None, (2 * wide, 2 * high))
    return ImageOps.exif_transpose(picture)


def _format(path: Path) -> str:
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        described = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise MediaError(f"The output {os.fspath(path)!r} has {described}: it must end in {', '.join(SUFFIXES)}.")
    return found


def _comment_exif(text: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _COMMENT_HEAD + text.encode("ascii")
    return exif.tobytes()


def _shortened(metadata: Mapping[str, Any]) -> str:
    """Settings that fit into an EXIF block: long texts are cut and the cut is said."""
    short = {key: value[:2000] if isinstance(value, str) else value for key, value in metadata.items()}
    text = json.dumps({**short, "cut": True}, ensure_ascii=True)
    return text if len(text) <= _MAX_COMMENT else json.dumps({"cut": True})


def _unwritable(target: Path, reason: str) -> str:
    return f"The output {os.fspath(target)!r} cannot be written ({reason}): choose another place with -o."


_ATTEMPTS = 100


def free_names(output: PathLike, count: int = 1, *, overwrite: bool = False) -> list[Path]:
    """The files of `count` pictures; with `overwrite` those that a run into an empty folder would write."""
    target = Path(output)
    if count == 1 and (overwrite or not os.path.lexists(target)):
        return [target]
    first = 1 if overwrite else _highest(target) + 1
    return [target.with_stem(f"{target.stem}-{first + i}") for i in range(count)]


def check_output(output: PathLike, count: int = 1, *, overwrite: bool = False) -> None:
    """Raises MediaError unless the pictures can be written, missing folders included; leaves all as it is."""
    if Path(output).is_dir():
        check_writable(output)
    for name in free_names(output, count, overwrite=overwrite):
        check_writable(name, make_folders=True)


def save_outputs(
    image: Image.Image,
    name: Path,
    base: PathLike,
    *,
    overwrite: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a picture under a name of `free_names(base, ...)`, or the next free one if it was taken meanwhile."""
    check_writable(name, make_folders=True)
    name.parent.mkdir(parents=True, exist_ok=True)
    if overwrite:
        return save_image(image, name, metadata=metadata)
    name = _claim(name, base)
    try:
        return save_image(image, name, metadata=metadata)
    except BaseException:
        name.unlink(missing_ok=True)  # the empty file that held the name
        raise


def save_output(
    image: Image.Image, output: PathLike, *, overwrite: bool = False, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Writes one picture; returns the file, which has a number if `output` is taken."""
    return save_outputs(
        image, free_names(output, overwrite=overwrite)[0], output, overwrite=overwrite, metadata=metadata
    )


def _claim(name: Path, base: PathLike) -> Path:
    for _ in range(_ATTEMPTS):
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return name
        except FileExistsError:
            target = Path(base)
            name = target.with_stem(f"{target.stem}-{_highest(target) + 1}")
        except OSError:
            return name  # save_image says why
    return name


def _highest(target: Path) -> int:
    """The highest number that a sibling of the target has, 0 without one."""
    numbered = re.compile(re.escape(target.stem) + r"-(\d{1,9})" + re.escape(target.suffix))
    try:
        found = [numbered.fullmatch(entry) for entry in os.listdir(target.parent)]
    except OSError:
        return 0
    return max((int(match[1]) for match in found if match), default=0)
