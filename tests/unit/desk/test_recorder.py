"""Recordings: as long as they were made, of the right part, paused, and ended by their limits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkwash.cli.app import run
from inkwash.core.errors import RequestError
from inkwash.desk.places import Monitor, ScreenBox, Window
from inkwash.desk.recorder import Recorder, RecordingFailed, RecordSettings, fit
from inkwash.desk.screen import ScreenError, Shot

av = pytest.importorskip("av")
BOX = ScreenBox(left=0, top=0, width=320, height=180)


class Painted:
    """A screen whose colour says how often it was looked at; `slow` seconds pass at each look."""

    def __init__(self, slow: float = 0.0, noisy: bool = False) -> None:
        self.slow, self.noisy, self.looks, self.gone = slow, noisy, 0, False

    def shoot(self, box: ScreenBox) -> Shot:
        if self.gone:
            raise ScreenError("The screen cannot be read (gone).")
        self.looks += 1
        time.sleep(self.slow)
        if self.noisy:
            pixels = np.random.default_rng(self.looks).integers(0, 256, (box.height, box.width, 3), dtype=np.uint8)
            return Shot(image=Image.fromarray(pixels), box=box, scale=1)
        return Shot(image=Image.new("RGB", (box.width, box.height), (self.looks % 200, 90, 40)), box=box, scale=1)

    def monitors(self) -> list[Monitor]:
        return [Monitor(number=0, box=BOX)]

    def windows(self) -> list[Window]:
        return []

    def close(self) -> None:
        pass


def frames_of(path: Path) -> tuple[int, float, tuple[int, int]]:
    """How many pictures a file holds, its seconds, and their size, by decoding all of it."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        stream: Any = container.streams.video[0]
        return len(frames), float(stream.duration * stream.time_base), (frames[0].width, frames[0].height)


@pytest.mark.slow  # four seconds of recording
def test_three_seconds_are_45_frames_also_where_the_screen_is_slow(tmp_path: Path) -> None:
    for slow in (0.0, 0.15):  # at most 7 grabs a second, shown for two or three frames each
        screen = Painted(slow)
        recorder = Recorder(screen, BOX, tmp_path / f"{slow}.mp4", RecordSettings(max_seconds=3.0 if not slow else 1.0))
        recorder.start()
        clip = recorder.wait(30)
        wanted = 45 if not slow else 15
        assert clip.frames == wanted and clip.ended_by == "seconds"
        count, seconds, size = frames_of(clip.path)
        assert count == wanted and seconds == pytest.approx(clip.seconds, abs=0.1) and size == (320, 180)
        assert clip.size == clip.path.stat().st_size > 0


def test_a_pause_is_left_out(tmp_path: Path) -> None:
    recorder = Recorder(Painted(), BOX, tmp_path / "pause.mp4")
    recorder.start()
    time.sleep(0.6)
    recorder.pause()
    time.sleep(0.2)
    before = recorder.seconds
    time.sleep(0.6)
    assert recorder.paused and recorder.seconds == before
    recorder.resume()
    time.sleep(0.4)
    clip = recorder.stop()
    assert clip.ended_by == "stop" and before < clip.seconds < 1.5 and not recorder.going_on
    assert frames_of(clip.path)[0] == clip.frames


def test_it_ends_at_its_size(tmp_path: Path) -> None:
    recorder = Recorder(Painted(noisy=True), BOX, tmp_path / "large.mp4", RecordSettings(fps=60, max_bytes=2**18))
    recorder.start()
    clip = recorder.wait(60)
    assert clip.ended_by == "bytes" and 2**18 <= clip.size < 2**22 and frames_of(clip.path)[0] == clip.frames


def test_a_screen_that_goes_away_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    screen = Painted()
    recorder = Recorder(screen, BOX, tmp_path / "gone.mp4")
    recorder.start()
    time.sleep(0.3)
    screen.gone = True
    with pytest.raises(ScreenError, match="gone"):
        recorder.wait(10)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    failing = Recorder(Painted(), BOX, tmp_path / "clip.mp4")
    (tmp_path / "clip.mp4").mkdir()
    failing.start()
    with pytest.raises(RecordingFailed, match=r"clip.mp4 could not be written \(\w+"):
        failing.wait(10)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((1920, 1080), (1280, 720)),
        ((3840, 2160), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((333, 111), (332, 110)),
        ((5120, 1440), (1280, 360)),
        ((2, 900), (2, 900)),
    ],
)
def test_sides_are_even_and_keep_their_shape(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(*size) == fitted


def test_nothing_is_too_small_to_record() -> None:
    with pytest.raises(RequestError, match="too small"):
        fit(1, 900)


def test_the_command_records_a_region(display: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "clip.mp4"
    assert run(["record", "--region", "0,0,320x240", "--seconds", "1", "-o", str(file)]) == 0
    assert "1.0 s, 320x240" in capsys.readouterr().out
    assert frames_of(file)[0] == 15
