"""Media of chat messages: every spelling means the same, nothing is read that may not be, nothing decoded too early."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, MediaError, RequestError
from inkwash.engine.see.budget import MediaBudget
from inkwash.engine.see.media import MediaRules, ParsedMedia, frame_numbers, read_media
from inkwash.media.videos import VideoFacts
from inkwash.models.glm_v.processor import VideoSampling
from tests.unit.media.test_documents import make_pdf
from tests.unit.media.test_videos import write_video

RULE = VideoSampling(by_length=False)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "a b.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path


def read(*parts: Any, **rules: Any) -> ParsedMedia:
    return read_media([{"role": "user", "content": list(parts)}], RULE, MediaRules(**rules))


def test_every_spelling_of_a_picture(png: Path) -> None:
    data = f"data:image/png;base64,{base64.b64encode(png.read_bytes()).decode()}"
    spellings: list[dict[str, Any]] = [
        {"type": "image", "image": png},
        {"type": "image", "image": str(png)},
        {"type": "image", "url": png.as_uri()},
        {"type": "image", "image": Image.open(png)},
        {"type": "image", "image": png.read_bytes()},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "input_image", "image_url": data},
    ]
    seen = read("Look:", *spellings)
    assert [part["type"] for part in seen.messages[0]["content"]] == ["text", *["image"] * 7]
    assert {(one.width, one.height, one.load().getpixel((3, 3))) for one in seen.images} == {(40, 30, (255, 0, 0))}
    assert seen.images[0].key == seen.images[1].key == seen.images[2].key
    assert seen.images[4].key == seen.images[5].key == seen.images[6].key


def test_a_picture_is_measured_and_not_decoded(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.images.load_image", lambda *_, **__: pytest.fail("decoded"))
    assert read({"type": "image", "image": png}).images[0].width == 40
    with pytest.raises(MediaError, match="too large"):
        read({"type": "image", "image": png}, max_pixels=100)


def test_files_become_what_they_are(png: Path, tmp_path: Path) -> None:
    video, paper = write_video(tmp_path / "video.mp4"), tmp_path / "paper.pdf"
    paper.write_bytes(make_pdf(3))
    data = f"data:application/pdf;base64,{base64.b64encode(make_pdf(2)).decode()}"
    seen = read(
        {"type": "file", "file": video},
        {"type": "file", "file": png},
        {"type": "document", "document": paper, "pages": "2-3", "dpi": 36},
        {"type": "file", "file": {"file_data": data, "filename": "x.pdf"}},
    )
    assert [part["type"] for part in seen.messages[0]["content"]] == ["video", *["image"] * 5]
    assert [(one.width, one.height) for one in seen.images[1:3]] == [(36, 72), (36, 72)]
    assert len({one.key for one in seen.images}) == 5


def test_a_film_is_sampled_by_the_rule_or_as_asked(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4")  # 4 s at 10 frames per second
    (video,) = read({"type": "video", "video": path}).videos
    assert video.indices == [0, 5, 10, 15, 20, 25, 30, 35] and video.seconds == [0.0, 1.0, 2.0, 3.0]
    (video,) = read({"type": "video", "video": str(path), "fps": 1, "start": 2}).videos
    assert video.indices == [20, 30] and video.seconds == [2.0] and video.load is not None
    assert [stack.shape for stack in video.load()] == [(2, 3, 48, 64)]
    (video,) = read({"type": "video_url", "video_url": {"url": path.as_uri()}}, max_frames=4).videos
    assert video.count == 4
    with pytest.raises(RequestError, match="range"):
        read({"type": "video", "video": path, "start": 9})


def test_long_films_within_a_range() -> None:
    facts = VideoFacts(width=64, height=48, frames=18000, fps=30.0, seconds=600.0)
    whole = frame_numbers(facts, RULE)
    assert len(whole) == 600 and whole[-1] <= 17999
    assert frame_numbers(facts, RULE, start=590, end=592) == [17700, 17715, 17730, 17745]


def test_paths_stay_within_the_allowed_folders(png: Path, tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.png").symlink_to(png)
    for outside in (png.as_uri(), str(png), str(inside / ".." / png.name), str(inside / "link.png")):
        with pytest.raises(RequestError, match="outside of the folders"):
            read({"type": "image", "image": outside}, roots=(inside,))
    assert read({"type": "image", "image": str(png)}, roots=(tmp_path,)).images
    long = tmp_path / ("a" * 99)  # letters that base64 might begin with
    long.write_bytes(png.read_bytes())
    assert read({"type": "image", "image": str(long)}, roots=(tmp_path,)).images
    assert read({"type": "image", "image": str(long)}).images


def test_remote_urls_are_read_by_the_callers_function_only(png: Path) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    with pytest.raises(RequestError, match="Remote URLs are not read"):
        read(part)
    assert read(part, fetch=lambda url: png.read_bytes()).images[0].width == 40


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image"},
        {"type": "image", "image": 7},
        {"type": "image_url", "image_url": {"url": " "}},
        {"type": "file", "file": b"%PDF", "dpi": 0},
        {"type": "image", "image": "file://[::1/a.png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
        {"type": "image", "image": b"no picture"},
        {"type": "image", "image": "none.png"},
        {"type": "video", "video": "none.mp4"},
        {"type": "video", "video": "none.mp4", "fps": "fast"},
        {"type": "sound"},
        {},
        None,
        {"type": "text", "text": 5},
    ],
)
def test_bad_parts_get_one_sentence(part: Any) -> None:
    with pytest.raises(InkwashError) as caught:
        read(part)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pages", [0, False, [], {}])
def test_pages_that_are_no_text_are_not_all_pages(pages: Any) -> None:
    with pytest.raises(RequestError, match="The pages are"):
        read({"type": "file", "file": make_pdf(2), "pages": pages})
    assert len(read({"type": "file", "file": make_pdf(2), "pages": ""}, pages="2").images) == 1


def test_settings_stand_in_the_part_or_beside_its_source(tmp_path: Path) -> None:
    data = f"data:application/pdf;base64,{base64.b64encode(make_pdf(3)).decode()}"
    film = str(write_video(tmp_path / "video.mp4"))
    for part in (
        {"type": "file", "file": {"file_data": data, "filename": "x.pdf", "pages": "2-3", "dpi": 36}},
        {"type": "file", "file": {"file_data": data, "pages": "1"}, "filename": "x.pdf", "pages": "2-3", "dpi": 36},
    ):
        assert [(one.width, one.height) for one in read(part).images] == [(36, 72), (36, 72)]
    for part in (
        {"type": "video_url", "video_url": {"url": film, "fps": 1, "start": 2}},
        {"type": "video_url", "video_url": {"url": film, "start": None}, "fps": 1, "start": 2, "end": None},
        {"type": "file", "file": {"path": film, "fps": 1, "start": 2}},
    ):
        assert read(part).videos[0].indices == [20, 30]


@pytest.mark.parametrize(
    ("kind", "field", "hint"),
    [
        ("image", "min_pixels", "leave it out"),
        ("image", "fps", "leave it out"),
        ("video", "frames", "did you mean max_frames"),
        ("video", "video_start", "did you mean start"),
        ("file", "page", "did you mean pages"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(png: Path, kind: str, field: str, hint: str) -> None:
    for part in ({"type": kind, kind: str(png), field: 5}, {"type": kind, kind: {"path": str(png), field: 5}}):
        with pytest.raises(RequestError, match=f"field '{field}' of a part of type '{kind}' is unknown here: {hint}"):
            read(part)


@pytest.mark.parametrize("messages", ["hi", [], {}, [None], [{"content": "x"}], [{"role": "user", "content": 5}]])
def test_messages_of_another_shape(messages: Any) -> None:
    with pytest.raises(RequestError):
        read_media(messages, RULE, MediaRules())


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(MediaError, match="too large"):
        read({"type": "image", "image": bomb})


def test_counts_are_bounded(png: Path) -> None:
    with pytest.raises(RequestError, match="at most 2"):
        read(*[{"type": "image", "image": png}] * 3, max_images=2)


def test_a_film_may_be_a_list_of_files(png: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "blue").save(tmp_path / "b.png")
    paths = [png, str(tmp_path / "b.png"), png.as_uri()]
    (video,) = read({"type": "video", "video": paths, "fps": 2}).videos
    assert [frame.getpixel((2, 2)) for frame in video.frames] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]  # type: ignore[union-attr]
    assert video.fps == 2 and video.seconds == [0.0, 1.0]
    with pytest.raises(RequestError, match="outside of the folders"):
        read({"type": "video", "video": paths}, roots=(tmp_path / "elsewhere",))
    with pytest.raises(RequestError, match="at most 2048"):
        read({"type": "video", "video": [str(png)] * 2049})


def test_a_video_sent_as_a_file_is_sampled_by_the_checkpoints_own_rule(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4")
    newer = VideoSampling(by_length=True)
    for rule in (RULE, newer):
        found = [
            read_media([{"role": "user", "content": [{"type": kind, kind: path}]}], rule, MediaRules()).videos[0]
            for kind in ("video", "file")
        ]
        assert found[0].indices == found[1].indices
    assert found[0].count == 24, "six frames per second below half a minute"


def test_slides_of_a_video_of_variable_rate_are_seen_at_their_seconds(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slides.mp4", times=[*range(20), *range(20, 100, 10), 100])  # then one a second
    (video,) = read({"type": "video", "video": path}).videos
    assert video.seconds == pytest.approx([float(second) for second in range(10)], abs=0.11) and video.load is not None
    frames = [frame for stack in video.load() for frame in stack]
    shown = [round(float(frame.float().mean()) / 6) for frame in frames[::2]]
    assert shown == [0, 10, *range(20, 28)]


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("fps", [50.0, 1e9, 1e300])
def test_a_rate_beyond_that_of_the_video_lists_its_frames_once(by_length: bool, fps: float) -> None:
    facts = VideoFacts(width=64, height=48, frames=400, fps=10.0, seconds=40.0)
    chosen = frame_numbers(facts, VideoSampling(by_length=by_length), fps=fps)
    assert chosen == sorted(chosen) and len(set(chosen)) <= 400 and len(chosen) <= 401
    if not by_length:
        assert chosen == list(range(400))


def test_an_animated_picture_sent_as_a_file_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (40, 30), (9 * n, 0, 0)) for n in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=500)
    data = f"data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}"
    for part in ({"type": "file", "file": path}, {"type": "file", "file": {"file_data": data}}):
        seen = read(part)
        assert len(seen.videos) == 1 and not seen.images
    with pytest.raises(MediaError, match="send it as a video"):
        read({"type": "image", "image": path}).images[0].load()


def test_parts_are_counted_before_one_is_read(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.media.images.image_size", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(RequestError, match="3 images in the messages, but at most 2"):
        read(*[{"type": "image", "image": png}] * 3, max_images=2)
    with pytest.raises(RequestError, match="9 videos in the messages, but at most 8"):
        read(*[{"type": "video", "video": "none.mp4"}] * 9)


def test_frames_of_a_list_are_measured_before_one_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (9000, 9000)).save(path)
    monkeypatch.setattr("inkwash.media.images.load_image", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(RequestError, match="MiB decoded, but at most 2048 MiB") as caught:
        read({"type": "video", "video": [str(path)] * 8})
    assert caught.value.status == 413


def test_a_budget_is_shared_and_refuses_what_never_fits() -> None:
    budget = MediaBudget(100)
    waited: list[int] = []
    with budget.hold(60):
        with pytest.raises(RequestError) as caught, budget.hold(101):
            pass
        assert caught.value.status == 413

        def wait() -> None:
            waited.append(budget.used)
            raise Cancelled

        with pytest.raises(Cancelled), budget.hold(50, wait):
            pass
        with budget.hold(40):
            assert budget.used == 100
    assert waited == [60] and budget.used == 0
