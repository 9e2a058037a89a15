"""Files of strangers behind a live server: whatever they cost, the server answers everybody else meanwhile."""

from __future__ import annotations

import base64
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image

from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.media import process
from inkwash.media.sandbox import resident_bytes
from inkwash.serve.server import mount_chat
from inkwash.serve.service import Service
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.media.test_process import slow_pdf
from tests.unit.media.test_videos import write_video

pytestmark = pytest.mark.skipif(not process.supported(), reason="needs processes that take open files")
HEALTH_S = 0.2


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> GlmVisionPipeline:
    parts = tiny_parts(tmp_path_factory.mktemp("tiny"))
    small = replace(parts.processor.pictures, longest_edge=max(parts.processor.pictures.shortest_edge, 2 * 112 * 112))
    return GlmVisionPipeline(replace(parts, processor=replace(parts.processor, pictures=small)))


@pytest.fixture(scope="module")
def live(pipe: GlmVisionPipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GlmVisionPipeline, "from_pretrained", classmethod(lambda cls, *_, **__: pipe))

        def prepare(app: FastAPI, service: Service) -> None:
            mount_chat(app, service, ChatSettings(model="tiny", max_images=16))

        with running(ServeSettings(state=tmp_path_factory.mktemp("state")), FakeBackend, prepare=prepare) as made:
            yield made


def part(kind: str, content: bytes, type: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"url": f"data:{type};base64,{base64.b64encode(content).decode()}"}, **more}


def body(*parts: dict[str, Any]) -> dict[str, Any]:
    asked = [*parts, {"type": "text", "text": "What?"}]
    return {"messages": [{"role": "user", "content": asked}], "max_tokens": 2, "temperature": 0}


def ask(live: Live, *parts: dict[str, Any]) -> httpx2.Response:
    return live.http.post("/v1/chat/completions", json=body(*parts))


def png(size: tuple[int, int] = (40, 40), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def healthy(live: Live) -> Iterator[list[float]]:
    """Asks for the health all the time; every answer within the limit."""
    took: list[float] = []
    done = threading.Event()

    def watch() -> None:
        with httpx2.Client(base_url=live.url, trust_env=False) as http:
            while not done.is_set():
                began = time.monotonic()
                assert http.get("/health").status_code == 200
                took.append(time.monotonic() - began)
                time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield took
    finally:
        done.set()
        thread.join()
    assert took and max(took) < HEALTH_S, f"{max(took):.2f} s"


def test_a_slow_page_stops_nobody_and_ends_in_a_sentence(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(process.SECONDS, "page", 3.0)
    answers: list[httpx2.Response] = []
    slow = threading.Thread(
        target=lambda: answers.append(ask(live, part("file", slow_pdf(3_000_000), "application/pdf", dpi=20)))
    )
    with healthy(live):
        slow.start()
        live.wait(lambda: bool(live.service.media._busy), 20)
        began = time.monotonic()
        assert ask(live, part("image_url", png(), "image/png")).status_code == 200
        assert time.monotonic() - began < 2.5, "another chat is answered meanwhile"
        slow.join(30)
    (answer,) = answers
    assert answer.status_code == 400 and "takes longer than 3 s to decode" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_takes_its_process_along(live: Live, stream: bool) -> None:
    wanted = {**body(part("file", slow_pdf(3_000_000), "application/pdf", dpi=20)), "stream": stream}
    content = httpx2.Request("POST", f"{live.url}/v1/chat/completions", json=wanted).content
    host, port = live.url.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as link:
        link.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        live.wait(lambda: bool(live.service.media._busy), 20)
        (worker,) = live.service.media._busy
        time.sleep(1.0)  # the page has begun
        assert worker.process.returncode is None
    began = time.monotonic()
    live.wait(lambda: worker.process.returncode == -9, 10)
    assert time.monotonic() - began < 3


def test_playlists_open_nothing(live: Live, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4")
    for text, kind in (
        (f"ffconcat version 1.0\nfile {video}\n", "an FFmpeg playlist"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9999 RTP/AVP 96\n", "an SDP description"),
    ):
        answer = ask(live, part("video_url", text.encode(), "video/mp4"))
        assert answer.status_code == 400 and f"The video is {kind}" in answer.json()["error"]["message"]


def test_large_pictures_cost_the_server_no_memory(live: Live) -> None:
    ask(live, part("image_url", png(), "image/png"))
    before, highest = resident_bytes(), 0
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.is_set():
            highest = max(highest, resident_bytes())
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    pictures = [part("image_url", png((10_000 + n, 10_000), "1"), "image/png") for n in range(2)]
    with healthy(live):
        answer = ask(live, *pictures)
    done.set()
    thread.join()
    assert answer.status_code == 200, answer.text
    assert highest - before < 200 * 2**20, "decoded they are 800 MB"


def test_a_damaged_picture_is_a_400_in_a_stream_too(live: Live) -> None:
    content = png((64, 64))
    wanted = {**body(part("image_url", content[: len(content) - 30], "image/png")), "stream": True}
    answer = live.http.post("/v1/chat/completions", json=wanted)
    assert answer.status_code == 400 and "is a PNG picture that is damaged" in answer.json()["error"]["message"]
    assert live.service.chat is not None and live.service.chat.budget.used == 0


def test_counts_come_before_pixels(live: Live) -> None:
    started = time.monotonic()
    answer = ask(live, *[part("image_url", b"not even a picture", "image/png")] * 17)
    assert answer.status_code == 400 and "17 images" in answer.json()["error"]["message"]
    assert time.monotonic() - started < 2


def test_what_never_fits_into_the_budget_is_413(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.service.chat is not None
    monkeypatch.setattr(live.service.chat.budget, "total", 1000)
    answer = ask(live, part("image_url", png((48, 40)), "image/png"))
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "media_too_large"


def test_a_rate_beyond_sense_is_every_frame(live: Live, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", frames=6).read_bytes()
    with healthy(live):
        answers = [ask(live, part("video_url", video, "video/mp4", fps=fps)) for fps in (1e9, 1e300)]
    assert all(answer.status_code in (200, 400) for answer in answers)


def test_an_edits_pictures_are_decoded_in_the_process(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("load_image", "load_rgba"):
        monkeypatch.setattr(f"inkwash.media.images.{name}", lambda *_, **__: pytest.fail("decoded here"))
    files = {"image": ("a.png", png((128, 128)), "image/png")}
    answer = live.http.post("/v1/images/edits", data={"prompt": "make it blue", "size": "128x128"}, files=files)
    assert answer.status_code == 200, answer.text
    answer = live.http.post("/v1/images/edits", data={"prompt": "x"}, files={"image": ("a.svg", b"<svg/>")})
    assert answer.status_code == 400 and "is an SVG drawing" in answer.json()["error"]["message"]


def test_a_server_that_stops_does_not_wait_for_a_page(
    pipe: GlmVisionPipeline, settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GlmVisionPipeline, "from_pretrained", classmethod(lambda cls, *_, **__: pipe))
    slow = None
    with running(
        settings(), None, prepare=lambda app, service: mount_chat(app, service, ChatSettings(model="tiny"))
    ) as live:

        def wait() -> None:
            with pytest.raises(httpx2.HTTPError):
                ask(live, part("file", slow_pdf(3_000_000), "application/pdf", dpi=20)).raise_for_status()

        slow = threading.Thread(target=wait)
        slow.start()
        live.wait(lambda: bool(live.service.media._busy), 20)
        media = live.service.media
        (worker,) = media._busy
        began = time.monotonic()
    assert time.monotonic() - began < 15, "ten seconds of drain"
    assert worker.process.wait(5) is not None and not media._idle
    slow.join(20)
