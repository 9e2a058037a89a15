"""Films: facts before decoding, the right frames at the right numbers, and one sentence for everything broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from inkwash.core.errors import MediaError
from inkwash.media.videos import probe_video, read_frames

av = pytest.importorskip("av")


def write_film(
    path: Path, frames: int = 40, fps: int = 10, size: tuple[int, int] = (64, 48), codec: str = "mpeg4"
) -> Path:
    """Frame k is of grey 6 * k, so that a decoded frame tells its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 5
        stream.bit_rate = 4_000_000
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 6 * number % 256, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4")


def numbers(path: Path | bytes, wanted: list[int]) -> list[int]:
    stacks = list(read_frames(path, wanted))
    assert all(stack.dtype == np.uint8 and stack.shape[1:] == (3, 48, 64) for stack in stacks)
    assert all(len(stack) % 2 == 0 for stack in stacks[:-1])
    return [round(float(frame.mean()) / 6) for stack in stacks for frame in stack]


def test_facts(film: Path) -> None:
    facts = probe_video(film)
    assert (facts.width, facts.height, facts.frames, facts.fps, facts.seconds) == (64, 48, 40, 10.0, 4.0)
    assert probe_video(film.read_bytes()) == facts


@pytest.mark.parametrize("wanted", [[0], [39], [0, 5, 10, 15], [3, 3, 4, 4], [7, 8, 9, 30, 38, 39], []])
def test_frames_by_number(film: Path, wanted: list[int]) -> None:
    assert numbers(film, wanted) == wanted


def test_a_jump_arrives_at_the_same_frame(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos._SEEK_SECONDS", 0.5)
    assert numbers(film, [0, 17, 18, 36]) == [0, 17, 18, 36]


def test_a_container_that_states_no_frames_is_counted(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", frames=23)
    assert probe_video(path).frames == 23
    assert numbers(path, [22]) == [22]


def test_stacks_are_bounded(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos.STACK_BYTES", 3 * 64 * 48 * 5)
    assert [len(stack) for stack in read_frames(film, list(range(10)))] == [4, 4, 2]


def test_what_is_no_film_gets_a_sentence(tmp_path: Path, film: Path) -> None:
    text = tmp_path / "film.mp4"
    text.write_text("no film")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film.read_bytes()[:3000])
    for bad in (text, cut, tmp_path / "none.mp4", tmp_path, b"", b"x" * 100):
        with pytest.raises(MediaError) as caught:
            probe_video(bad)
        assert "\n" not in str(caught.value)


def test_a_film_that_breaks_off_is_an_error_not_a_shorter_film(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv")
    whole = probe_video(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="damaged or cut short"):
        list(read_frames(path, [0, 39], facts=whole))


def test_limits_are_checked_before_decoding(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos._rotation", lambda stream: pytest.fail("decoded"))
    with pytest.raises(MediaError, match="64x48 pixels"):
        probe_video(film, max_pixels=1000)
    with pytest.raises(MediaError, match="too large"):
        probe_video(film, max_bytes=100)
