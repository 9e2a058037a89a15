"""Animated GIF, WebP and PNG as videos: when each picture appears, and chosen ones of them on white."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.media.colors import converted
from inkwash.media.sources import reason

FORMATS = ("GIF", "WEBP", "PNG")
MAX_PICTURES = 20_000
_USUAL_SECONDS = 0.1  # browsers show pictures that state no time for so long


def probe_animation(file: BinaryIO, name: str, max_pixels: int) -> tuple[tuple[int, int], list[float]]:
    """Size, and the second at which each picture appears, with the end as the last one."""
    picture = _open(file, name)
    width, height = picture.size
    if width * height > max_pixels:
        raise MediaError(
            f"{name} has frames of {width}x{height} pixels: at most {max_pixels / 1e6:.0f} million are read, make it "
            "smaller."
        )
    starts = [0.0]
    try:
        count = getattr(picture, "n_frames", 1)
        if count > MAX_PICTURES:
            raise MediaError(f"{name} has {count} frames: at most {MAX_PICTURES} are read, cut it.")
        for number in range(count):
            picture.seek(number)
            if picture.format == "WEBP":
                picture.load()  # its times are known only then
            duration = picture.info.get("duration") or 0
            starts.append(starts[-1] + (duration / 1000 if duration > 10 else _USUAL_SECONDS))
    except MediaError:
        raise
    except Exception as error:  # decoders raise anything on foreign bytes
        raise _damaged(name, picture, error) from None
    return (width, height), starts


def read_animation(
    file: BinaryIO, numbers: Sequence[int], name: str, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of these ascending numbers (3, H, W) on white."""
    picture = _open(file, name)
    at, frame = -1, np.empty((3, 0, 0), np.uint8)
    for number in numbers:
        if number != at:
            try:
                picture.seek(number)
                whole = converted(picture.convert("RGBA"), "RGB")
            except Exception as error:
                raise _damaged(name, picture, error) from None
            whole = whole if whole.size == size else whole.resize(size, Image.Resampling.BICUBIC)
            at, frame = number, np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))
        yield frame


def _open(file: BinaryIO, name: str) -> Image.Image:
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=FORMATS)
    except Exception as error:
        raise MediaError(f"{name} is an animation that is damaged ({reason(error)}): export it again.") from None


def _damaged(name: str, picture: Image.Image, error: Exception) -> MediaError:
    if isinstance(error, Image.DecompressionBombError):
        return MediaError(
            f"{name} is an animated {picture.format} that is too large ({reason(error)}): make it smaller."
        )
    return MediaError(
        f"{name} is an animated {picture.format} that is damaged or cut short ({reason(error)}): export it again."
    )
