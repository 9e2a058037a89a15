"""Which frames of a video are looked at, by the rules of the released processors, and the seconds they stand for.

The 4.1 and 4.5 generation looks at a fixed number of frames per second up to a longest duration, and spreads the same
number of frames over longer videos. The 4.6 generation looks faster at short videos and slower at long ones. Both
return ascending frame numbers, an even count of them, because two frames share a patch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inkwash.core.errors import ConfigError, RequestError

USUAL_FPS = 24.0  # of a list of frames that says nothing else
_RATES = ((30, 3.0), (300, 1.0), (math.inf, 0.5))  # 4.6: seconds up to which so many pairs per second are looked at
_MOST_FRAMES = 640
_LONGEST = 2400  # seconds
_FASTEST = 1e6  # frames per second; whoever asks for more gets every frame all the same


@dataclass(frozen=True, kw_only=True)
class VideoStats:
    """What a decoder knows before it decodes: the number of frames, their rate, and the duration if it is stated."""

    frames: int
    fps: float
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.frames < 1 or not 0 < self.fps < math.inf:
            raise RequestError(
                f"A video of {self.frames} frames at {self.fps} frames per second cannot be sampled; give one that has "
                "frames and a rate above zero.",
                param="video",
            )

    @property
    def seconds(self) -> float:
        return self.duration or round((self.frames - 1) / self.fps) + 1


def sample_by_rate(
    video: VideoStats, *, fps: float = 2.0, max_duration: float = 300, max_frames: int | None = None
) -> list[int]:
    """Frame numbers by the rule of GLM-4.1V and GLM-4.5V; `fps` frames per second of video."""
    _check(fps, max_frames)
    last = video.frames - 1
    fps = min(fps, _FASTEST)
    if video.seconds <= max_duration and fps > video.fps:  # every frame up to the last one that is asked for
        wanted = max(int(video.seconds * fps), 1) - 1
        chosen = list(range(min(last, math.ceil(wanted * video.fps / fps)) + 1))
    elif video.seconds <= max_duration:
        count = max(int(video.seconds * fps), 1)
        chosen = [min(last, math.ceil(number * video.fps / fps)) for number in range(count)]
    else:
        count = min(int(max_duration * fps), max(video.frames, 1))
        seconds = np.linspace(0, video.seconds, count)
        chosen = [min(last, math.ceil(second * video.fps)) for second in seconds]
        if count >= video.frames:
            chosen = list(range(video.frames))
    return _even(chosen, max_frames)


def sample_by_length(video: VideoStats, *, fps: float | None = None, max_frames: int | None = None) -> list[int]:
    """Frame numbers by the rule of GLM-4.6V; `fps` replaces the rate that the length of the video asks for."""
    _check(fps, max_frames)
    seconds = min(video.seconds, _LONGEST)
    fps = None if fps is None else min(fps, _FASTEST)
    rate = next(rate for limit, rate in _RATES if seconds <= limit) if fps is None else fps / 2
    wanted = min(int(seconds * rate * 2), _MOST_FRAMES)
    if video.frames < wanted:
        chosen = _spread(0, video.frames - 1, wanted)
    else:
        chosen = _walk(video, 1 / (2 * rate))
    if len(chosen) < wanted:
        ends = (chosen[0], chosen[-1]) if chosen else (0, video.frames - 1)
        chosen = _spread(*ends, wanted)
    elif len(chosen) > wanted:
        chosen = _spread(0, video.frames - 1, wanted)
    return _even(chosen or [0], max_frames)


def timestamps(indices: Sequence[int], fps: float) -> list[float]:
    """The second at which each pair of frames begins."""
    return [index / fps for index in indices[::2]]


def _walk(video: VideoStats, step: float) -> list[int]:
    """The first frame at or after every step, up to the last whole second."""
    chosen: list[int] = []
    due, frame_seconds, end = 0.0, 1 / video.fps, int(video.seconds)
    for number in range(video.frames):
        if number * frame_seconds >= due:
            due += step  # added up, not multiplied: the released rule decides ties by these roundings
            chosen.append(number)
            if due >= end:
                break
    return chosen


def _spread(first: int, last: int, count: int) -> list[int]:
    spread: list[int] = np.linspace(first, last, count, dtype=int).tolist()
    return spread


def _even(chosen: Sequence[int], max_frames: int | None) -> list[int]:
    frames = list(dict.fromkeys(chosen))
    if max_frames is not None and len(frames) > max_frames:
        frames = [frames[place] for place in _spread(0, len(frames) - 1, max_frames)]
    return frames + frames[-1:] * (len(frames) % 2)


def _check(fps: float | None, max_frames: int | None) -> None:
    if fps is not None and not 0 < fps < math.inf:
        raise ConfigError(f"fps must be a number above zero, got {fps!r}.")
    if max_frames is not None and max_frames < 1:
        raise ConfigError(f"max_frames must be at least 1, got {max_frames!r}.")
