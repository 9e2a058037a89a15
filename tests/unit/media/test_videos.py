"""Films: facts before decoding, the right frames at the right numbers, and one sentence for everything broken."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.media.kinds import kind_of
from inkwash.media.videos import probe_video, read_frames

av = pytest.importorskip("av")


def write_video(
    path: Path,
    frames: int = 40,
    fps: int = 10,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    times: list[int] | None = None,
    ratio: Fraction | None = None,
    group: int = 5,
    format: str | None = None,
) -> Path:
    """Frame k is of grey 6 * k, so that a decoded frame tells its number; `times` are in units of 1 / fps."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", group
        stream.bit_rate = 4_000_000
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        for number, time in enumerate(range(frames) if times is None else times):
            pixels = np.full((size[1], size[0], 3), 6 * number % 256, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("films") / "video.mp4")


def numbers(path: Path | bytes, wanted: list[int], size: tuple[int, int] = (64, 48)) -> list[int]:
    stacks = list(read_frames(path, wanted))
    assert all(stack.dtype == np.uint8 and stack.shape[1:] == (3, *size[::-1]) for stack in stacks)
    assert all(len(stack) % 2 == 0 for stack in stacks[:-1])
    return [round(float(frame.mean()) / 6) for stack in stacks for frame in stack]


def test_facts(video: Path) -> None:
    facts = probe_video(video)
    assert (facts.width, facts.height, facts.frames, facts.fps, facts.seconds) == (64, 48, 40, 10.0, 4.0)
    assert probe_video(video.read_bytes()) == facts


@pytest.mark.parametrize("wanted", [[0], [39], [0, 5, 10, 15], [3, 3, 4, 4], [7, 8, 9, 30, 38, 39], []])
def test_frames_by_number(video: Path, wanted: list[int]) -> None:
    assert numbers(video, wanted) == wanted


def test_a_jump_arrives_at_the_same_frame(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos._SEEK_SECONDS", 0.5)
    assert numbers(video, [0, 17, 18, 36]) == [0, 17, 18, 36]


def test_a_container_that_states_no_frames_is_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", frames=23)
    assert probe_video(path).frames == 23
    assert numbers(path, [22]) == [22]


def test_stacks_are_bounded(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos.STACK_BYTES", 3 * 64 * 48 * 5)
    assert [len(stack) for stack in read_frames(video, list(range(10)))] == [4, 4, 2]


def test_what_is_no_film_gets_a_sentence(tmp_path: Path, video: Path) -> None:
    text = tmp_path / "video.mp4"
    text.write_text("no film")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:3000])
    for bad in (text, cut, tmp_path / "none.mp4", tmp_path, b"", b"x" * 100):
        with pytest.raises(MediaError) as caught:
            probe_video(bad)
        assert "\n" not in str(caught.value)


def test_a_film_that_breaks_off_is_an_error_not_a_shorter_film(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv")
    whole = probe_video(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="damaged or cut short"):
        list(read_frames(path, [0, 39], facts=whole))


def test_limits_are_checked_before_decoding(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos._rotation", lambda stream: pytest.fail("decoded"))
    with pytest.raises(MediaError, match="64x48 pixels"):
        probe_video(video, max_pixels=1000)
    with pytest.raises(MediaError, match="too large"):
        probe_video(video, max_bytes=100)


def test_a_video_of_variable_rate_is_read_by_the_second(tmp_path: Path) -> None:
    times = [*range(20), 20, 60, 61, 100, 139]  # 2 s at 10 fps, then slides of 4, 0.1, 3.9 and 3.9 s
    path = write_video(tmp_path / "slides.mp4", times=times)
    facts = probe_video(path)
    assert facts.fps == 10 and facts.frames == 140 and facts.seconds == pytest.approx(14.0)
    assert len(facts.times) == 25 and facts.times[20:22] == pytest.approx((2.0, 6.0))
    shown = {0: 0, 15: 15, 20: 20, 45: 20, 59: 20, 60: 21, 61: 22, 99: 22, 100: 23, 138: 23, 139: 24}
    assert numbers(path, list(shown)) == list(shown.values())


def test_a_jump_in_a_video_of_variable_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "slides.mp4", times=[*range(20), *range(20, 200, 10)])
    monkeypatch.setattr("inkwash.media.videos._SEEK_SECONDS", 0.5)
    assert numbers(path, [0, 33, 100, 101, 185]) == [0, 21, 28, 28, 36]


def test_a_jump_to_before_a_distant_key_frame_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "long.mp4", group=100)
    monkeypatch.setattr("inkwash.media.videos._SEEK_SECONDS", 0.5)
    assert numbers(path, [0, 20, 39]) == [0, 20, 39]


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", ratio=Fraction(3, 2))
    facts = probe_video(path)
    assert (facts.width, facts.height) == (96, 48)
    assert numbers(path, [0, 7], (96, 48)) == [0, 7]
    facts = probe_video(write_video(tmp_path / "high.mkv", ratio=Fraction(2, 3)))
    assert (facts.width, facts.height) == (64, 72)


@pytest.mark.parametrize(
    "suffix", [".ts", ".mts", ".3gp", ".ogv", ".webm", ".avi", ".mkv", ".mov", ".mpg", ".flv", ".wmv"]
)
def test_every_container_that_a_suffix_promises(tmp_path: Path, suffix: str) -> None:
    codecs = {".ogv": "libtheora", ".webm": "libvpx", ".mpg": "mpeg2video", ".flv": "flv", ".3gp": "mpeg4"}
    formats = {".mts": "mpegts", ".mpg": "mpeg", ".wmv": "asf"}
    codec = codecs.get(suffix, "mpeg4")
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg writes no {codec}")
    path = write_video(tmp_path / f"film{suffix}", fps=25, codec=codec, format=formats.get(suffix))
    assert kind_of(path) == "video"
    assert probe_video(path).fps == pytest.approx(25, rel=0.01)
    found = numbers(path, [0, 20, 35])
    assert all(abs(a - b) <= 1 for a, b in zip(found, [0, 20, 35], strict=True))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ffconcat version 1.0\nfile {video}\n", "an FFmpeg playlist"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{video}\n#EXT-X-ENDLIST\n", "an M3U playlist"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9999 RTP/AVP 96\n", "an SDP description"),
    ],
)
@pytest.mark.parametrize("given", ["bytes", "path"])
def test_a_playlist_opens_no_file_and_no_socket(
    tmp_path: Path, video: Path, text: str, kind: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video.parent)
    content = text.format(video=video.name).encode()
    path = video.parent / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=f"is {kind}, not a video"):
        probe_video(content if given == "bytes" else path)
    path.unlink()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_video(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (64, 48), (6 * number,) * 3) for number in range(12)]
    shown = [100] * 6 + [1000] * 6
    path = tmp_path / f"moving.{kind.lower()}"
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], duration=shown, **options)
    facts = probe_video(path)
    assert kind_of(path) == "video" and facts.seconds == pytest.approx(6.6, abs=0.01) and len(facts.times) == 12
    wanted = [0, round(0.3 * facts.fps), round(2.0 * facts.fps), facts.frames - 1]
    assert numbers(path, wanted) == [0, 3, 7, 11]
    frames[0].save(path, kind)
    assert kind_of(path) == "image"


def test_a_later_picture_beyond_all_sense_is_too_large_and_not_damaged(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.linear_gradient("L").resize((64, 48)).rotate(turn) for turn in (0, 90)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
    content = bytearray(path.read_bytes())
    second = content.index(b"\x2c\0\0\0\0\x40\0\x30\0", content.index(b"\x2c\0\0\0\0\x40\0\x30\0") + 1)
    content[second + 5 : second + 9] = b"\xff" * 4  # its width and height
    path.write_bytes(content)
    with pytest.raises(MediaError, match="animated GIF that is too large"):
        probe_video(path)


def test_huge_frames_are_reduced_by_the_decoder(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.videos.EXACT_PIXELS", 1000)
    (stack,) = read_frames(video, [0, 7], wanted=(16, 12))
    assert stack.shape == (2, 3, 24, 32) and [round(float(frame.mean()) / 6) for frame in stack] == [0, 7]


def test_a_device_is_no_video() -> None:
    with pytest.raises(MediaError, match="is a device"):
        probe_video("/dev/zero")
