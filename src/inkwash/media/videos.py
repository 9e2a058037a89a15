"""Films in: what a file holds without decoding it, and chosen frames of it, a few at a time.

    facts = probe_video("film.mp4")
    for stack in read_frames("film.mp4", [0, 15, 30, 45]): ...     # uint8 (T, 3, H, W)

Size, length and frame count are checked before a frame is decoded. Rotation marks of phones are honoured. Needs PyAV
(the extra `media`).
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import MediaError, MissingExtraError
from inkwash.core.types import PathLike

Frames = NDArray[np.uint8]  # (T, 3, H, W)

MAX_BYTES = 4 * 2**30
MAX_FRAME_PIXELS = 40 * 10**6  # somewhat above 8K
MAX_FRAMES = 1_000_000
STACK_BYTES = 64 * 2**20
_SEEK_SECONDS = 10.0  # a gap between two wanted frames above which jumping is cheaper than decoding through


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a file says about its film: size as it is to be shown, frames, frames per second, seconds."""

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    rotation: int = 0  # degrees, counter-clockwise, that the frames are turned by


def probe_video(
    source: PathLike | bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_FRAME_PIXELS
) -> VideoFacts:
    """Size, frames and rate; nothing is decoded but one frame of a file that does not state its rotation.

    Raises MediaError for anything missing, unreadable, without a film in it, or beyond the limits.
    """
    with _opened(source, max_bytes) as (container, stream, name):
        width, height = stream.codec_context.width, stream.codec_context.height
        if width < 1 or height < 1:
            raise MediaError(f"{name} does not say how large its frames are; convert it to MP4.")
        if width * height > max_pixels:
            raise MediaError(
                f"{name} has frames of {width}x{height} pixels: at most {max_pixels / 1e6:.0f} million are read, make "
                "it smaller."
            )
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        if not rate or rate <= 0:
            raise MediaError(f"{name} does not state its frame rate; convert it to MP4.")
        frames = stream.frames or _count_packets(container, stream, name)
        if not 1 <= frames <= MAX_FRAMES:
            raise MediaError(f"{name} has {frames} frames: 1 to {MAX_FRAMES} are read, cut it.")
        rotation = _rotation(stream)
        if rotation % 180:
            width, height = height, width
        seconds = frames / float(rate)
    return VideoFacts(width=width, height=height, frames=frames, fps=float(rate), seconds=seconds, rotation=rotation)


def read_frames(
    source: PathLike | bytes, indices: Sequence[int], *, facts: VideoFacts | None = None, max_bytes: int = MAX_BYTES
) -> Iterator[Frames]:
    """The frames with these ascending numbers (repeats allowed), in stacks of an even count but for the last.

    Raises MediaError where the film ends or breaks before the last of them.
    """
    facts = probe_video(source, max_bytes=max_bytes) if facts is None else facts
    size = max(2, STACK_BYTES // (3 * facts.width * facts.height) // 2 * 2)
    stack: list[NDArray[np.uint8]] = []
    for frame in _walk(source, indices, facts, max_bytes):
        stack.append(frame)
        if len(stack) == size:
            yield np.stack(stack)
            stack = []
    if stack:
        yield np.stack(stack)


def _walk(
    source: PathLike | bytes, indices: Sequence[int], facts: VideoFacts, max_bytes: int
) -> Iterator[NDArray[np.uint8]]:
    """One picture (3, H, W) for every index."""
    wanted = list(indices)
    if wanted != sorted(wanted) or (wanted and wanted[0] < 0):
        raise MediaError("Frame numbers must ascend from 0 on.")
    with _opened(source, max_bytes) as (container, stream, name):
        stream.thread_type = "AUTO"
        place, at = 0, -1  # the next wanted, and the number of the frame that was decoded last
        last: NDArray[np.uint8] | None = None
        decoder = _decoded(container, stream, name)
        while place < len(wanted):
            if wanted[place] - at > _SEEK_SECONDS * facts.fps and _can_seek(stream):
                start = (stream.start_time or 0) + int((wanted[place] / facts.fps) / stream.time_base)
                container.seek(max(0, start - 1), stream=stream)
                decoder, at = _decoded(container, stream, name), -2  # unknown until a frame says its time
            frame = next(decoder, None)
            if frame is None:
                if last is not None and wanted[place] >= facts.frames - 2 and wanted[place] - at <= 2:
                    at = wanted[place]  # containers often count a frame or two more than decode
                else:
                    raise MediaError(
                        f"{name} is damaged or cut short: frame {wanted[place]} of {facts.frames} cannot be decoded."
                    )
            else:
                at = at + 1 if at > -2 else _number(frame, stream, facts)
                if at < wanted[place]:
                    if wanted[place] - at <= 2:  # perhaps the film's last
                        last = _picture(frame, facts)
                    continue
                last = _picture(frame, facts)
            assert last is not None
            while place < len(wanted) and wanted[place] <= at:
                yield last
                place += 1


def _decoded(container: Any, stream: Any, name: str) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(stream)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{name} is damaged or cut short ({_reason(error)}): convert it again.") from None


def _picture(frame: Any, facts: VideoFacts) -> NDArray[np.uint8]:
    pixels = frame.to_ndarray(format="rgb24")
    if facts.rotation:
        pixels = np.rot90(pixels, facts.rotation // 90)
    if pixels.shape[:2] != (facts.height, facts.width):
        raise MediaError("The video changes the size of its frames midway; convert it to MP4.")
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _number(frame: Any, stream: Any, facts: VideoFacts) -> int:
    """The number of a frame by its time, after a jump."""
    ticks = frame.pts - (stream.start_time or 0)
    return round(float(ticks * stream.time_base) * facts.fps)


def _can_seek(stream: Any) -> bool:
    return stream.time_base is not None and stream.time_base > Fraction(0)


def _rotation(stream: Any) -> int:
    """Degrees, counter-clockwise, that a phone asks its frames to be turned by."""
    import av

    try:
        first = next(stream.container.decode(stream), None)
    except (av.error.FFmpegError, OSError, ValueError):
        return 0  # reading the frames will say what is wrong
    turned = round(getattr(first, "rotation", 0) or 0)
    return turned % 360 if turned % 90 == 0 else 0


def _count_packets(container: Any, stream: Any, name: str) -> int:
    """Frames of a file that does not state them: its packets, which is cheap."""
    import av

    try:
        count = sum(1 for packet in container.demux(stream) if packet.size)
        container.seek(0)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{name} is damaged or cut short ({_reason(error)}): convert it again.") from None
    return count


@contextlib.contextmanager
def _opened(source: PathLike | bytes, max_bytes: int) -> Iterator[tuple[Any, Any, str]]:
    """Container, its first film and what to call it in messages."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("Reading videos", extra="media") from error

    name = "The video" if isinstance(source, bytes) else f"The video {os.fspath(source)!r}"
    size = len(source) if isinstance(source, bytes) else _file_size(Path(source), name)
    if size > max_bytes:
        raise MediaError(f"{name} is too large ({size / 2**20:.0f} MiB): at most {max_bytes / 2**20:.0f} MiB are read.")
    try:
        container = av.open(io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source), mode="r")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{name} is not a video that can be read ({_reason(error)}): use an intact MP4, MKV, WebM, MOV or AVI."
        ) from None
    with container:
        if not container.streams.video:
            raise MediaError(f"{name} holds no film, only sound or nothing.")
        yield container, container.streams.video[0], name


def _file_size(path: Path, name: str) -> int:
    try:
        if path.is_dir():
            raise MediaError(f"{name} is a folder: give the path of one video.")
        return path.stat().st_size
    except (OSError, ValueError) as error:
        raise MediaError(f"{name} cannot be opened ({_reason(error)}): check the path and its permissions.") from None


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
