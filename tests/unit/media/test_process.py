"""The processes that decode: the same pixels as here, and every way to die ends one request with one sentence."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, MediaError, RequestError
from inkwash.media import process
from inkwash.media.process import MediaLimits, MediaProcess
from inkwash.media.reader import InProcess
from inkwash.media.wire import ConnectionBroken, receive, send
from tests.pictures import noise_picture
from tests.unit.media.test_documents import make_pdf, make_slides
from tests.unit.media.test_videos import write_video

pytestmark = pytest.mark.skipif(not process.supported(), reason="needs processes that take open files")


@pytest.fixture(scope="module")
def media() -> Iterator[MediaProcess]:
    with MediaProcess(MediaLimits(memory_bytes=2**30, processes=2)) as made:
        yield made


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


NOISE = png(noise_picture((61, 43), 80))


@lru_cache
def slow_pdf(rectangles: int = 400_000) -> bytes:
    """A page of many clipped, overlapping shapes, small when it is packed."""
    body = zlib.compress(
        b"q 0 0 600 600 re W n 0.5 g 0 0 600 600 re f 0 0 m 600 600 300 100 90 800 c f Q\n" * rectangles
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 600] /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >> stream\n%s\nendstream" % (len(body), body),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(content)
    content += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def test_the_same_as_in_this_process(media: MediaProcess, tmp_path: Path) -> None:
    here, there = InProcess(), media.within()
    video, slides = write_video(tmp_path / "video.mp4", times=[*range(20), 40, 90]), make_slides()
    path = tmp_path / "a.png"
    path.write_bytes(NOISE)
    for source in (NOISE, path):
        assert there.picture_size(source) == here.picture_size(source) == (61, 43)
        assert there.picture(source).tobytes() == here.picture(source).tobytes()
    assert there.picture(NOISE, size=(20, 10)).tobytes() == here.picture(NOISE, size=(20, 10)).tobytes()
    clear = png(Image.new("RGBA", (9, 7), (10, 20, 30, 40)))
    for form in ("rgba", "mask"):
        assert there.picture(clear, form=form).tobytes() == here.picture(clear, form=form).tobytes()  # type: ignore[arg-type]
    facts = there.video(video)
    assert facts == here.video(video) == there.video(video.read_bytes()) and facts.times
    wanted = [0, 5, 30, 80]
    for a, b in zip(there.frames(video, wanted, facts=facts), here.frames(video, wanted, facts=facts), strict=True):
        assert np.array_equal(a, b)
    for content, suffix in ((make_pdf(3), None), (slides, ".pptx")):
        mine, theirs = (reader.document(content, suffix=suffix, dpi=50) for reader in (here, there))
        assert [(p.number, p.width, p.height, p.text) for p in mine] == [
            (p.number, p.width, p.height, p.text) for p in theirs
        ]
        for ours, other in zip(mine, theirs, strict=True):
            assert (ours.load is None) == (other.load is None)
            if ours.load is not None and other.load is not None:
                assert (
                    ours.load().tobytes() == other.load().tobytes()
                    and ours.load((9, 8)).tobytes() == other.load((9, 8)).tobytes()
                )


def test_refusals_keep_their_class_and_sentence(media: MediaProcess, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"<svg/>")
    before = media.started
    with pytest.raises(MediaError, match=r"The picture '.*x.png' is an SVG drawing, not a picture"):
        media.within().picture(path)
    with pytest.raises(RequestError, match="5 pages to read, but at most 4") as caught:
        media.within().document(make_pdf(5), max_pages=4)
    assert caught.value.param == "pages"
    with pytest.raises(MediaError, match="is a device"):
        media.within().picture("/dev/zero")
    with pytest.raises(MediaError, match="too large"):
        media.within().picture(NOISE, max_bytes=10)
    assert media.within().picture_size(NOISE) == (61, 43) and media.started - before <= 1, "nothing died of it"


def test_a_page_that_takes_too_long_ends_with_its_process(media: MediaProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(process.SECONDS, "page", 1.0)
    (page,) = media.within().document(slow_pdf())
    assert page.load is not None
    began = time.monotonic()
    with pytest.raises(MediaError, match="takes longer than 1 s to decode"):
        page.load()
    assert time.monotonic() - began < 5
    assert media.within().picture_size(NOISE) == (61, 43)


def test_a_cancelled_request_ends_its_process(media: MediaProcess) -> None:
    left = threading.Event()
    (page,) = media.within(left.is_set).document(slow_pdf())
    threading.Timer(0.5, left.set).start()
    began, before = time.monotonic(), media.started
    assert page.load is not None
    with pytest.raises(Cancelled):
        page.load()
    assert time.monotonic() - began < 4
    assert media.within().picture_size(NOISE) == (61, 43) and media.started - before <= 1


def test_a_request_has_so_many_seconds_in_all(media: MediaProcess) -> None:
    (page,) = media.within(seconds=0.5).document(slow_pdf())
    assert page.load is not None
    with pytest.raises(MediaError, match="takes longer than"):
        page.load()


def test_memory_is_bounded() -> None:
    side = 9000
    rows = zlib.compress(bytes(side * 4 + 1) * side, 1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    media = MediaProcess(MediaLimits(memory_bytes=2**29))
    with pytest.raises(MediaError, match=r"takes more than 0\.5 GiB to decode"):
        media.within().picture(content, max_pixels=10**9)
    assert media.within().picture_size(NOISE) == (61, 43)
    media.close()


def test_a_death_is_one_sentence_and_the_next_request_is_served(media: MediaProcess) -> None:
    (page,) = media.within().document(slow_pdf())
    assert page.load is not None

    def kill() -> None:
        time.sleep(0.5)
        for worker in list(media._busy):
            os.kill(worker.process.pid, signal.SIGSEGV)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(MediaError, match="The document cannot be read: the process that decoded it has died") as caught:
        page.load()
    thread.join()
    assert "\n" not in caught.value.message
    assert media.within().picture_size(NOISE) == (61, 43)
    for worker in list(media._idle):  # one that dies while nobody asks is replaced without a word
        worker.process.kill()
        worker.process.wait()
    assert media.within().picture_size(NOISE) == (61, 43)


def test_a_page_of_a_document_whose_process_has_gone_opens_it_again(media: MediaProcess) -> None:
    first, second = media.within().document(make_pdf(2), dpi=72)
    assert first.load is not None and second.load is not None and first.load().size == (72, 144)
    for worker in list(media._idle):
        worker.process.kill()
        worker.process.wait()
    assert second.load().size == (72, 144)


def test_requests_at_once_share_the_processes(media: MediaProcess) -> None:
    found: list[tuple[int, int]] = []

    def read() -> None:
        found.append(media.within().picture(NOISE).size)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(61, 43)] * 12 and len(media._idle) <= 2


def test_the_processes_end_with_their_owner() -> None:
    with MediaProcess() as media:
        media.warm()
        (worker,) = media._idle
        assert media.within().picture_size(NOISE) == (61, 43)
    assert worker.process.returncode is not None
    with pytest.raises(MediaError, match="shutting down"):
        media.within().picture_size(NOISE)
    media = MediaProcess()
    media.warm()
    (worker,) = media._idle
    worker.link.close()  # as when the server was killed
    assert worker.process.wait(timeout=20) == 0
    media.close()


def test_frames_that_nobody_asks_for_any_more_leave_no_socket_open(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", frames=2)
    with MediaProcess() as media:
        reader = media.within()
        stacks = reader.frames(video, [0, 1], facts=reader.video(video))
        next(stacks)
        (worker,) = media._busy
    assert worker.link.fileno() == -1 and worker.process.returncode is not None
    with pytest.raises(MediaError, match="has died"):
        next(stacks)


def test_a_process_that_does_not_start_leaves_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    real = socket.socketpair

    def pair() -> tuple[socket.socket, socket.socket]:
        made.extend(real())
        return made[0], made[1]

    def fails(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(socket, "socketpair", pair)
    monkeypatch.setattr(subprocess, "Popen", fails)
    with MediaProcess() as media, pytest.raises(BlockingIOError):
        media.within().picture_size(NOISE)
    assert [link.fileno() for link in made] == [-1, -1]


def test_no_network_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_API_KEYS", "secret")
    script = tmp_path / "inkwash_probe.py"
    script.write_text(
        "import os, socket\n"
        "from inkwash.media import sandbox\n"
        "assert 'INKWASH_API_KEYS' not in os.environ\n"
        "sandbox.forbid_network() or os._exit(9)\n"
        "for family in (socket.AF_INET, socket.AF_INET6):\n"
        "    try:\n        socket.socket(family)\n        os._exit(1)\n    except PermissionError:\n        pass\n"
        "socket.socketpair()\nos._exit(0)\n"
    )
    real = subprocess.Popen

    def started(command: list[str], **options: object) -> object:
        return real([command[0], str(script)], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", started)
    media = MediaProcess()
    media.warm()
    (worker,) = media._idle
    code = worker.process.wait(timeout=30)
    media.close()
    if code == 9:
        pytest.skip("this system has no filter of calls")
    assert code == 0


@pytest.mark.parametrize("lie", ["header", "blob", "text", "list", "end"])
def test_what_the_other_side_must_not_send(lie: str) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        if lie == "header":
            theirs.sendall(struct.pack("<IQ", 2**31, 0))
        elif lie == "blob":
            send(theirs, {"a": 1}, b"x" * 11)
        elif lie == "text":
            theirs.sendall(struct.pack("<IQ", 3, 0) + b"no!")
        elif lie == "list":
            theirs.sendall(struct.pack("<IQ", 2, 0) + b"[]")
        else:
            theirs.sendall(b"\0\0")
            theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionBroken):
            receive(mine, most=10)
