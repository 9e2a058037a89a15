"""Videos in: what a file holds without decoding it, and chosen frames of it, a few at a time.

    facts = probe_video("video.mp4")
    for stack in read_frames("video.mp4", [0, 15, 30, 45]): ...     # uint8 (T, 3, H, W)

Size, length and frame count are checked before a frame is decoded. Rotation marks of phones and pixels that are not
square are honoured. A video of variable rate is read on an even grid of time: frame n is what the screen shows at
second n / fps. FFmpeg is given an open file, its real containers and no protocol, so that a playlist opens nothing.
Needs PyAV (the extra `media`); animated GIF, WebP and PNG are read by Pillow.
"""

from __future__ import annotations

import contextlib
import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import MediaError, MissingExtraError
from inkwash.media import animations
from inkwash.media.kinds import is_animated, sniff
from inkwash.media.sources import Source, open_source, reason, source_name

Frames = NDArray[np.uint8]  # (T, 3, H, W)

MAX_BYTES = 4 * 2**30
MAX_FRAME_PIXELS = 40 * 10**6  # somewhat above 8K
MAX_FRAMES = 1_000_000
EXACT_PIXELS = 12 * 10**6  # larger frames that are wanted smaller are reduced by the decoder's scaler
STACK_BYTES = 64 * 2**20
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,asf,mpeg,mpegts,mpegvideo,ogg,ivf,m4v,h264,hevc,obu,av1,"
    "dv,mxf,nut,yuv4mpegpipe"
)
_SEEK_SECONDS = 10.0  # a gap between two wanted frames above which jumping is cheaper than decoding through
_GRID_FPS, _USUAL_FPS = 120.0, 30.0  # at most and usually, of the even grid for a video of variable rate
_LONGEST_SIDE = 16384  # of frames made wider or higher for pixels that are not square


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a file says about its video: size as it is to be shown, frames, frames per second, seconds.

    `times` are the seconds at which the frames of a video of variable rate appear, from 0 on; `frames` and `fps`
    are then those of an even grid over its length. Empty for a constant rate.
    """

    width: int
    height: int
    frames: int
    fps: float
    seconds: float
    rotation: int = 0  # degrees, counter-clockwise, that the frames are turned by
    times: tuple[float, ...] = ()


def probe_video(source: Source, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_FRAME_PIXELS) -> VideoFacts:
    """Size, frames and rate; nothing is decoded but one frame of a file that does not state its rotation.

    Raises MediaError for anything missing, unreadable, without a video in it, or beyond the limits.
    """
    with open_source(source, "video", max_bytes) as file:
        if is_animated(file):
            return _animation_facts(file, source_name(source, "video"), max_pixels)
        file.seek(0)
        with _opened(file, source_name(source, "video")) as (container, stream):
            return _facts(container, stream, source_name(source, "video"), max_pixels)


def read_frames(
    source: Source,
    indices: Sequence[int],
    *,
    facts: VideoFacts | None = None,
    max_bytes: int = MAX_BYTES,
    wanted: tuple[int, int] | None = None,
) -> Iterator[Frames]:
    """The frames with these ascending numbers (repeats allowed), in stacks of an even count but for the last.

    `wanted` (width, height): what the frames will be resized to; those of more than EXACT_PIXELS come at twice that
    size. Raises MediaError where the video ends or breaks before the last of them.
    """
    facts = probe_video(source, max_bytes=max_bytes) if facts is None else facts
    numbers = list(indices)
    if numbers != sorted(numbers) or (numbers and numbers[0] < 0):
        raise MediaError("Frame numbers must ascend from 0 on.")
    width, height = decoded_size(facts, wanted)
    size = max(2, STACK_BYTES // (3 * width * height) // 2 * 2)
    stack: list[NDArray[np.uint8]] = []
    for frame in _frames(source, numbers, facts, max_bytes, (width, height)):
        stack.append(frame)
        if len(stack) == size:
            yield np.stack(stack)
            stack = []
    if stack:
        yield np.stack(stack)


def decoded_size(facts: VideoFacts, wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height that `read_frames` gives frames in."""
    whole = facts.width, facts.height
    if wanted is None or math.prod(whole) <= EXACT_PIXELS or 2 * wanted[0] >= whole[0] or 2 * wanted[1] >= whole[1]:
        return whole
    return 2 * wanted[0], 2 * wanted[1]


def _frames(
    source: Source, numbers: list[int], facts: VideoFacts, max_bytes: int, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """One picture (3, H, W) for every number."""
    name = source_name(source, "video")
    if facts.times:  # the frame that is shown at the second of the grid
        numbers = [max(0, bisect_right(facts.times, number / facts.fps + 1e-4) - 1) for number in numbers]
    with open_source(source, "video", max_bytes) as file:
        if is_animated(file):
            yield from animations.read_animation(file, numbers, name, size)
            return
        file.seek(0)
        with _opened(file, name) as (container, stream):
            yield from _walk(container, stream, numbers, facts, name, size)


def _walk(
    container: Any, stream: Any, wanted: list[int], facts: VideoFacts, name: str, size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """The frames of these numbers in the order in which they are shown."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
    count = len(facts.times) or facts.frames
    place, at = 0, -1  # the next wanted, and the number of the frame that was decoded last
    sought = -1  # the place that was jumped for, once: the key frame before it may lie far back
    last: NDArray[np.uint8] | None = None
    decoder = _decoded(container, stream, name)
    while place < len(wanted):
        far = _second(wanted[place], facts) - _second(at, facts) > _SEEK_SECONDS
        if far and sought != place and _can_seek(stream):
            sought = place
            start = (stream.start_time or 0) + int(_second(wanted[place], facts) / stream.time_base)
            container.seek(max(0, start - 1), stream=stream)
            decoder, at = _decoded(container, stream, name), -2  # unknown until a frame says its time
        frame = next(decoder, None)
        if frame is None:
            if last is None or wanted[place] < count - 2 or wanted[place] - at > 2:
                raise MediaError(f"{name} is damaged or cut short: frame {wanted[place]} of {count} cannot be decoded.")
            at = wanted[place]  # containers often count a frame or two more than decode
        else:
            at = _number(frame, stream, facts) if at == -2 or facts.times else at + 1
            if at < wanted[place]:
                if wanted[place] - at <= 2:  # perhaps the video's last
                    last = _picture(frame, facts, size, stream.sample_aspect_ratio)
                continue
            last = _picture(frame, facts, size, stream.sample_aspect_ratio)
        assert last is not None
        while place < len(wanted) and wanted[place] <= at:
            yield last
            place += 1


def _facts(container: Any, stream: Any, name: str, max_pixels: int) -> VideoFacts:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width < 1 or height < 1:
        raise MediaError(f"{name} does not say how large its frames are; convert it to MP4.")
    _check_pixels(width, height, name, max_pixels)
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    if not rate or rate <= 0:
        raise MediaError(f"{name} does not state its frame rate; convert it to MP4.")
    stamps, count = _stamps(container, stream, name)
    _check_count(count, name)
    rotation = _rotation(stream)
    width, height = _square(width, height, stream.sample_aspect_ratio)
    _check_pixels(width, height, name, max_pixels)
    if rotation % 180:
        width, height = height, width
    return _timed(stamps, count, float(rate), float(stream.guessed_rate or rate), width, height, rotation)


def _animation_facts(file: Any, name: str, max_pixels: int) -> VideoFacts:
    (width, height), starts = animations.probe_animation(file, name, max_pixels)
    _check_count(len(starts) - 1, name)
    rate = (len(starts) - 1) / starts[-1]
    fastest = 1 / min(end - start for start, end in pairwise(starts))
    return _timed(starts, len(starts) - 1, rate, fastest, width, height, 0)


def _timed(
    stamps: list[float], count: int, rate: float, nominal: float, width: int, height: int, rotation: int
) -> VideoFacts:
    """Facts of frames that appear at `stamps` (from 0 on, their end last); none where the file says no times."""
    if stamps:
        even = (len(stamps) - 2) / stamps[-2] if len(stamps) > 2 and stamps[-2] > 0 else rate
        uneven = max(abs(second - number / even) for number, second in enumerate(stamps[:-1]))
        if uneven > max(0.6 / even, 0.02):
            fps = nominal if 1 <= nominal <= _GRID_FPS else _USUAL_FPS
            frames = max(1, round(stamps[-1] * fps))
            if frames <= MAX_FRAMES:
                return VideoFacts(
                    width=width,
                    height=height,
                    frames=frames,
                    fps=fps,
                    seconds=stamps[-1],
                    rotation=rotation,
                    times=tuple(stamps[:-1]),
                )
        if abs(rate / even - 1) > 0.01:  # the file's own figure is wrong
            rate = even
    return VideoFacts(width=width, height=height, frames=count, fps=rate, seconds=count / rate, rotation=rotation)


def _stamps(container: Any, stream: Any, name: str) -> tuple[list[float], int]:
    """The seconds at which frames are shown, from 0 on in their order, and the end; and their count, of packets."""
    import av

    found: list[tuple[int, int]] = []
    count, timed = 0, True
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                count += 1
                timed = timed and packet.pts is not None and count <= MAX_FRAMES
                if timed:
                    found.append((packet.pts, packet.duration or 0))
        container.seek(0)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{name} is damaged or cut short ({reason(error)}): convert it again.") from None
    if not timed or not found or not stream.time_base:
        return [], count
    found.sort()
    start, tick = found[0][0], float(stream.time_base)
    seconds = [(pts - start) * tick for pts, _ in found]
    usual = (seconds[-1] / (len(seconds) - 1)) if len(seconds) > 1 and seconds[-1] > 0 else 0.0
    last = found[-1][1] * tick or usual
    return ([*seconds, seconds[-1] + last], count) if seconds[-1] + last > 0 else ([], count)


def _square(width: int, height: int, ratio: Fraction | None) -> tuple[int, int]:
    """The size as it is shown: pixels that are not square are made so by stretching the shorter way."""
    if not ratio or not Fraction(1, 10) <= ratio <= 10 or ratio == 1:
        return width, height
    wide, high = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
    return (wide, high) if max(wide, high) <= _LONGEST_SIDE else (width, height)


def _check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise MediaError(
            f"{name} has frames of {width}x{height} pixels: at most {max_pixels / 1e6:.0f} million are read, make "
            "it smaller."
        )


def _check_count(count: int, name: str) -> None:
    if not 1 <= count <= MAX_FRAMES:
        raise MediaError(f"{name} has {count} frames: 1 to {MAX_FRAMES} are read, cut it.")


def _decoded(container: Any, stream: Any, name: str) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(stream)
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(f"{name} is damaged or cut short ({reason(error)}): convert it again.") from None


def _picture(frame: Any, facts: VideoFacts, size: tuple[int, int], ratio: Fraction | None) -> NDArray[np.uint8]:
    """A frame upright (3, H, W) in `size`; the first one of another size than the file stated is an error."""
    turned = facts.rotation % 180
    wide, high = reversed(size) if turned else size
    stated = (facts.height, facts.width) if turned else (facts.width, facts.height)
    if (frame.width, frame.height) == (wide, high):
        pixels = frame.to_ndarray(format="rgb24")
    elif _square(frame.width, frame.height, ratio) == stated:
        pixels = frame.reformat(wide, high, "rgb24", interpolation="AREA" if wide < frame.width else "BICUBIC")
        pixels = pixels.to_ndarray()
    else:
        raise MediaError("The video changes the size of its frames midway; convert it to MP4.")
    if facts.rotation:
        pixels = np.rot90(pixels, facts.rotation // 90)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _second(number: int, facts: VideoFacts) -> float:
    """When a frame is shown; that of no frame is 0."""
    if number < 0:
        return 0.0
    return facts.times[min(number, len(facts.times) - 1)] if facts.times else number / facts.fps


def _number(frame: Any, stream: Any, facts: VideoFacts) -> int:
    """The number of a frame by its time."""
    if frame.pts is None:
        raise MediaError("The video has frames without a time; convert it to MP4.")
    second = float((frame.pts - (stream.start_time or 0)) * stream.time_base)
    if facts.times:
        return max(0, bisect_right(facts.times, second + 1e-4) - 1)
    return round(second * facts.fps)


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


@contextlib.contextmanager
def _opened(file: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """Container of an open file, and its first video."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("Reading videos", extra="media") from error

    try:
        container = av.open(file, mode="r", options={"format_whitelist": CONTAINERS, "protocol_whitelist": "none"})
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{name} is {sniff(file)}, not a video that can be read ({reason(error)}): use an intact MP4, MKV, WebM, "
            "MOV or AVI."
        ) from None
    with container:
        if not container.streams.video:
            raise MediaError(f"{name} is {sniff(file)} that holds no video, only sound or nothing.")
        yield container, container.streams.video[0]
