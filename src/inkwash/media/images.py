"""Pictures in and out: one function that reads anything sensible as RGB, one that writes it whole or not at all.

Reading checks the byte and pixel limits before it decodes, honours EXIF orientation and colour profiles, flattens
transparency on white, and turns CMYK, palette and 16-bit pictures into 8-bit RGB. Writing goes through a temporary
file in the same folder and a rename, and keeps the settings of a picture inside its file: a PNG text chunk named
``inkwash``, or the EXIF user comment of WebP and JPEG.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from inkwash.core.errors import MediaError
from inkwash.core.types import PathLike

ImageSource: TypeAlias = PathLike | bytes | Image.Image

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64 * 2**20  # 8192x8192; Pillow's own alarm rings later
READABLE = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
SUFFIXES = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
_METADATA_KEY = "inkwash"
_COMMENT_HEAD = b"ASCII\0\0\0"  # the EXIF standard's name of the character code
_MAX_COMMENT = 60_000  # an EXIF block of a JPEG holds at most 64 KiB
_OPENING = threading.Lock()  # warnings.catch_warnings changes the state of the whole process


def load_image(source: ImageSource, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads one still picture as 8-bit RGB from a path, from bytes or from a PIL image.

    Raises MediaError, with the file and the way out, for anything missing, unreadable, damaged, animated or huge.
    """
    if isinstance(source, Image.Image):
        name = "The picture"
        picture = source
    else:
        name = "The picture" if isinstance(source, bytes) else f"The picture {os.fspath(source)!r}"
        picture = _open(source if isinstance(source, bytes) else _read(Path(source), name, max_bytes), name, max_bytes)
    _check_pixels(picture, name, max_pixels)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # the first picture of an MPO is the photo itself
        raise MediaError(
            f"{name} is animated or has several pages ({frames}): save the one you mean as PNG and give that."
        )
    try:
        return _to_rgb(ImageOps.exif_transpose(picture))
    except MediaError:
        raise
    except Exception as error:  # decoders raise anything on foreign bytes: SyntaxError, struct.error, IndexError ...
        raise MediaError(
            f"{name} is damaged or cut short ({_reason(error)}): export it again as PNG or JPEG."
        ) from error


def load_mask(source: ImageSource, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads a mask as 8-bit grey: white or transparent is the part to change."""
    return load_image(source, max_bytes=max_bytes, max_pixels=max_pixels).convert("L")


def load_rgba(source: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads one still picture with its transparency as RGBA; raises MediaError for one that has none."""
    name = "The picture"
    picture = _open(source, name, max_bytes)
    _check_pixels(picture, name, max_pixels)
    if getattr(picture, "n_frames", 1) > 1:
        raise MediaError(f"{name} is animated or has several pages: save the one you mean as PNG and give that.")
    if not picture.has_transparency_data:
        raise MediaError(f"{name} has no transparency (mode {picture.mode}): save it as a PNG with an alpha channel.")
    try:
        return ImageOps.exif_transpose(picture).convert("RGBA")
    except Exception as error:
        raise MediaError(f"{name} is damaged or cut short ({_reason(error)}): export it again as PNG.") from error


def image_size(path: PathLike) -> tuple[int, int]:
    """Width and height of a picture file as `load_image` would give them, from its header alone."""
    name = f"The picture {os.fspath(path)!r}"
    try:
        with open(path, "rb") as file, _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=READABLE) as picture:
                width, height = picture.size
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except OSError as error:
        if isinstance(error, UnidentifiedImageError):
            raise MediaError(f"{name} is not a picture that can be read.") from error
        if error.errno is None:  # from the decoder, not from the system
            raise MediaError(f"{name} is damaged or cut short ({_reason(error)}).") from error
        raise MediaError(f"{name} cannot be opened ({_reason(error)}): check the path and its permissions.") from error
    except Exception as error:
        raise MediaError(f"{name} is damaged ({_reason(error)}).") from error
    return (height, width) if turned else (width, height)


def save_image(image: Image.Image, path: PathLike, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Writes the picture in the format of the suffix, whole or not at all; returns the path.

    Raises MediaError when the suffix is unknown or the place cannot be written.
    """
    target = Path(path)
    content = encode_image(image, _format(target), metadata=metadata)
    place = Path(os.path.realpath(target))  # a rename must replace the file that a link points to, not the link
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(part, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, place)
        except BaseException:  # Ctrl-C too leaves nothing behind
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MediaError(_unwritable(target, _reason(error))) from error
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
        raise MediaError(_unwritable(target, _reason(error))) from error
    return target


def read_metadata(path: PathLike) -> dict[str, Any]:
    """The settings that :func:`save_image` put into a file, or an empty dict when there are none."""
    name = f"The picture {os.fspath(path)!r}"
    picture = _open(_read(Path(path), name, MAX_BYTES), name, MAX_BYTES)
    text = picture.info.get(_METADATA_KEY)
    if text is None:
        comment = picture.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
        text = comment[len(_COMMENT_HEAD) :].decode("ascii", "replace") if comment.startswith(_COMMENT_HEAD) else ""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise MediaError(f"{name} is a folder: give the path of one picture.")
        if size > max_bytes:
            raise MediaError(_too_many_bytes(name, size, max_bytes))
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise MediaError(f"{name} cannot be opened ({_reason(error)}): check the path and its permissions.") from error


def _open(content: bytes, name: str, max_bytes: int) -> Image.Image:
    if len(content) > max_bytes:
        raise MediaError(_too_many_bytes(name, len(content), max_bytes))
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit follows; a crooked EXIF block is not worth a warning
            return Image.open(io.BytesIO(content), formats=READABLE)
    except Image.DecompressionBombError as error:
        raise MediaError(f"{name} is too large ({_reason(error)}): make it smaller.") from error
    except Exception as error:
        kinds = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
        raise MediaError(f"{name} is not a picture that can be read: it must be an intact {kinds} file.") from error


def _check_pixels(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise MediaError(f"{name} is empty ({width}x{height} pixels).")
    if width * height > max_pixels:
        limit = f"{max_pixels / 1e6:.0f} million"
        raise MediaError(f"{name} is too large ({width}x{height} pixels): at most {limit} are read, make it smaller.")


def _to_rgb(picture: Image.Image) -> Image.Image:
    picture = _from_profile(picture)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = _to_eight_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(ground, picture)
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Greyscale of 16 bits, or floating point within 0..1, to 8 bits; convert() alone would clip at 255."""
    values = np.asarray(picture).astype(np.float64)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise MediaError(
            f"The picture has grey values outside 0..{top:g} (mode {picture.mode}): export it as an 8-bit PNG."
        )
    return Image.fromarray(np.rint(values * (255.0 / top)).astype(np.uint8))


def _from_profile(picture: Image.Image) -> Image.Image:
    """Applies an embedded colour profile (CMYK print profiles, wide-gamut phones); a broken profile is left alone."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and "srgb" in ImageCms.getProfileDescription(source).lower():
            return picture
        converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
    return converted or picture


def _format(path: Path) -> str:
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        said = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise MediaError(f"The output {os.fspath(path)!r} has {said}: it must end in {', '.join(SUFFIXES)}.")
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


def _too_many_bytes(name: str, size: int, limit: int) -> str:
    return f"{name} is too large ({size / 2**20:.1f} MiB): at most {limit / 2**20:.0f} MiB are read, make it smaller."


def _unwritable(target: Path, reason: str) -> str:
    return f"The output {os.fspath(target)!r} cannot be written ({reason}): choose another place with -o."


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
