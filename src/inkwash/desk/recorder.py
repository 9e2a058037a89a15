"""The screen as a video: grabbed at an even pace, scaled to at most 1280x720, written as H.264 (or MPEG-4) by PyAV.

    recorder = Recorder(screen, box, Path("clip.mp4"))
    recorder.start(); ...; recorder.pause(); recorder.resume(); ...
    clip = recorder.stop()

A grab that comes late is shown until the next one, so the video is as long as what was recorded, pauses left out. It
ends by itself at the limit of seconds or bytes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from inkwash.core import limits
from inkwash.core.errors import InkwashError, MissingExtraError, RequestError
from inkwash.desk.places import ScreenBox
from inkwash.desk.screen import Screen

MAX_WIDTH, MAX_HEIGHT = 1280, 720
_CODECS = (("libx264", {"preset": "veryfast", "crf": "23"}), ("mpeg4", {"qscale": "4"}))
_CRF_LARGE = "28"  # of recordings that fill the largest size
_CHECK_EVERY = 15  # frames between two looks at the file's size


class RecordingFailed(InkwashError):
    """The video could not be written."""


@dataclass(frozen=True, kw_only=True)
class RecordSettings:
    """How a recording is made and when it ends by itself."""

    fps: int = 15
    max_seconds: float = 120.0
    max_bytes: int = 50 * 2**20

    def __post_init__(self) -> None:
        limits.check_whole("fps", self.fps, 1, 60)
        limits.check_real("seconds", self.max_seconds, 0.1, 3600)
        limits.check_whole("bytes", self.max_bytes, 2**16, 2**33)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A finished recording."""

    path: Path
    seconds: float
    frames: int
    width: int
    height: int
    size: int  # bytes
    ended_by: str  # stop, seconds, bytes or disk


class Recorder:
    """Records one box of the screen in a thread of its own."""

    def __init__(
        self,
        screen: Screen,
        box: ScreenBox,
        path: Path,
        settings: RecordSettings | None = None,
        *,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.path, self.settings = path, settings or RecordSettings()
        self._screen, self._box, self._on_end = screen, box, on_end
        self._stop, self._running = threading.Event(), threading.Event()
        self._running.set()
        self._thread = threading.Thread(target=self._record, name="inkwash-recorder", daemon=True)
        self._began = 0.0
        self._clip: Clip | None = None
        self._error: Exception | None = None
        self._frames = 0

    def start(self) -> None:
        """Begin; raises where nothing can be written."""
        _check_library()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def pause(self) -> None:
        """Leave out what is on the screen from now on."""
        self._running.clear()

    def resume(self) -> None:
        """Go on after a pause."""
        self._running.set()

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    @property
    def going_on(self) -> bool:
        """Whether it has not ended yet, by itself or otherwise."""
        return self._thread.is_alive()

    @property
    def seconds(self) -> float:
        """Length of what was recorded so far."""
        return self._frames / self.settings.fps

    def stop(self) -> Clip:
        """End it, and finish the file."""
        self._stop.set()
        return self.wait()

    def wait(self, timeout: float | None = None) -> Clip:
        """The clip, once the recording has ended by itself or was stopped."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError("The recording goes on.")
        if self._error is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            if isinstance(self._error, InkwashError):
                raise self._error
            raise RecordingFailed(f"{self.path} could not be written ({type(self._error).__name__}: {self._error}).")
        assert self._clip is not None
        return self._clip

    def _record(self) -> None:
        try:
            first = self._screen.shoot(self._box).image
            with _Writer(self.path, first.size, self.settings.fps) as writer:
                ended = self._grab(writer)
            self._clip = Clip(
                path=self.path,
                seconds=self.seconds,
                frames=self._frames,
                width=writer.width,
                height=writer.height,
                size=self.path.stat().st_size,
                ended_by=ended,
            )
        except Exception as error:
            self._error = error
        finally:
            if self._on_end is not None:
                self._on_end()

    def _grab(self, writer: _Writer) -> str:
        """Frames at an even pace until it is over; says why it is."""
        most, fps = round(self.settings.max_seconds * self.settings.fps), self.settings.fps
        due = time.monotonic()
        while not self._stop.is_set():
            if self.paused:
                if self._stop.wait(1 / fps):
                    break
                due = time.monotonic()
                continue
            image = self._screen.shoot(self._box).image
            late = int((time.monotonic() - due) * fps)
            for _ in range(min(1 + late, most - self._frames)):  # the picture stands for the ones that were missed
                writer.add(image)
                self._frames += 1
                due += 1 / fps
            if self._frames >= most:
                return "seconds"
            if self._frames % _CHECK_EVERY == 0 and writer.written >= self.settings.max_bytes:
                return "bytes"
            self._stop.wait(max(0.0, due - time.monotonic()))
        return "stop"


class _Writer:
    """An MP4 file with one video."""

    def __init__(self, path: Path, size: tuple[int, int], fps: int) -> None:
        self.path, self._fps, self._count = path, fps, 0
        self.width, self.height = fit(*size)

    def __enter__(self) -> _Writer:
        import av

        self._container = _open(self.path)
        large = self.width * self.height > MAX_WIDTH * MAX_HEIGHT // 2
        for name, options in _CODECS:
            if name not in av.codecs_available:
                continue
            more = {"crf": _CRF_LARGE} if large and name == "libx264" else {}
            self._stream = self._container.add_stream(name, rate=self._fps, options={**options, **more})
            break
        else:
            raise RecordingFailed("This build of PyAV writes neither H.264 nor MPEG-4: install the usual one.")
        self._stream.width, self._stream.height = self.width, self.height
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, self._fps)
        return self

    @property
    def written(self) -> int:
        """Bytes on disk so far."""
        return self.path.stat().st_size

    def add(self, image: Any) -> None:
        """One frame."""
        import av

        frame = av.VideoFrame.from_image(image).reformat(self.width, self.height, "yuv420p", interpolation="AREA")
        frame.pts, self._count = self._count, self._count + 1
        frame.time_base = Fraction(1, self._fps)
        self._container.mux(self._stream.encode(frame))

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()


def _open(path: Path) -> Any:
    import av

    return av.open(str(path), mode="w", format="mp4")


def fit(width: int, height: int) -> tuple[int, int]:
    """Even sides of at most 1280x720 (or 720x1280), of the same shape."""
    if width < 2 or height < 2:
        raise RequestError(f"The region {width}x{height} is too small to record: take at least 2x2.", param="region")
    across, down = (MAX_WIDTH, MAX_HEIGHT) if width >= height else (MAX_HEIGHT, MAX_WIDTH)
    share = min(1.0, across / width, down / height)
    return max(2, round(width * share) // 2 * 2), max(2, round(height * share) // 2 * 2)


def _check_library() -> None:
    try:
        import av  # noqa: F401
    except ImportError as missing:
        raise MissingExtraError("Recording the screen", extra="desk") from missing
