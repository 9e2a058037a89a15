"""Clients that send their body byte by byte, or take their answer so: others are served, they are let go in time."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from fastapi import FastAPI
from starlette.responses import Response, StreamingResponse

from inkwash.serve.server import mount_chat
from inkwash.serve.service import Service
from inkwash.serve.settings import MEBI, ChatSettings, ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.test_chat_limits import HELLO, Held

CLIENTS = 50
JSON = ("application/json", b'{"prompt": "a", "mess')
FORM = (
    "multipart/form-data; boundary=B",
    b'--B\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nxyz',
)
BODIES = {
    "/v1/chat/completions": JSON,
    "/v1/responses": JSON,
    "/v1/images/generations": JSON,
    "/v1/images/edits": FORM,
    "/v1/images/edits?": JSON,
}


def connect(live: Live, head: str, *, buffer: int | None = None) -> socket.socket:
    raw = socket.socket()
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.connect(("127.0.0.1", live.port))
    raw.sendall(f"{head} HTTP/1.1\r\nHost: localhost\r\n".encode())
    return raw


def connections(live: Live) -> int:
    return len(live.server.server_state.connections)


@contextmanager
def dripping(clients: list[socket.socket]) -> Iterator[dict[socket.socket, bytes]]:
    """One byte ten times a second from every client, for as long as its connection is open; what they got."""
    got = dict.fromkeys(clients, b"")
    left, ended = set(clients), threading.Event()

    def drip() -> None:
        while left and not ended.wait(0.1):
            for raw in select.select(list(left), [], [], 0)[0]:
                piece = b""
                with suppress(ConnectionError):
                    piece = raw.recv(4096)
                got[raw] += piece
                if not piece:
                    left.discard(raw)
            for raw in left:
                with suppress(ConnectionError):
                    raw.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield got
    finally:
        ended.set()
        thread.join()
        for raw in clients:
            raw.close()


@contextmanager
def serving_all(settings: ServeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A server that draws and answers, the latter with 499: that a question had its turn is all it says."""
    from inkwash.engine.see.pipeline import GlmVisionPipeline

    held = Held()
    held.gate.set()
    monkeypatch.setattr(GlmVisionPipeline, "from_pretrained", lambda *_, **__: held)
    chat = ChatSettings(model="eyes", max_num_seqs=1)
    with running(settings, FakeBackend, prepare=lambda app, service: mount_chat(app, service, chat)) as live:
        yield live


def begun_bodies(live: Live, count: int) -> list[tuple[str, socket.socket]]:
    """Clients that have sent the beginning of a body to each path in turn."""
    clients = []
    for number in range(count):
        path, (kind, start) = list(BODIES.items())[number % len(BODIES)]
        raw = connect(live, f"POST {path}")
        raw.sendall(f"Content-Type: {kind}\r\nContent-Length: 5000\r\n\r\n".encode() + start)
        clients.append((path, raw))
    return clients


def test_bodies_that_drip_hold_nobody_up(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = settings(body_timeout_s=60.0, max_queue=2, concurrent_requests=3)
    with serving_all(limits, monkeypatch) as live:
        clients = [raw for _, raw in begun_bodies(live, CLIENTS)]
        with dripping(clients):
            live.wait(lambda: connections(live) >= CLIENTS)
            for _ in range(3):
                assert live.http.get("/health").status_code == 200
                assert live.http.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200
                assert live.http.post("/v1/chat/completions", json=HELLO).status_code == 499
            assert connections(live) > CLIENTS
        live.wait(lambda: connections(live) <= 1)


def test_a_body_that_drips_ends_in_time(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 408; what still comes after that is read for a while, so that the answer is not lost, and then no more."""
    with serving_all(settings(body_timeout_s=0.5, header_timeout_s=0.5), monkeypatch) as live:
        clients = begun_bodies(live, len(BODIES))
        with dripping([raw for _, raw in clients]) as got:
            live.wait(lambda: all(got.values()))
            live.wait(lambda: connections(live) == 0)
        for path, raw in clients:
            assert got[raw].startswith(b"HTTP/1.1 408 ") and b'"body_timeout"' in got[raw], (path, got[raw])


def test_a_body_may_take_its_time_while_it_comes_fast_enough(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(body_timeout_s=0.5), FakeBackend) as live:
        body = b'{"prompt": "a"}' + b" " * 12_000
        with connect(live, "POST /v1/images/generations") as raw, raw.makefile("rb") as answer:
            raw.sendall(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            begun = time.monotonic()
            for start in range(0, len(body), 1000):
                time.sleep(0.1)
                raw.sendall(body[start : start + 1000])
            assert time.monotonic() - begun > 2 * 0.5 and answer.readline().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/whole", "/pieces"])
def test_answers_that_nobody_reads_are_given_up(settings: Callable[..., ServeSettings], path: str) -> None:
    ended: list[str] = []

    def prepare(app: FastAPI, service: Service) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 2**16
                    await asyncio.sleep(0)
            finally:
                ended.append("pieces")

        app.add_api_route("/whole", lambda: Response(b"x" * 16 * MEBI))
        app.add_api_route("/pieces", lambda: StreamingResponse(pieces()))

    with running(settings(send_timeout_s=1.0), FakeBackend, prepare=prepare) as live:
        clients = []
        for _ in range(5):
            clients.append(connect(live, f"GET {path}", buffer=4096))
            clients[-1].sendall(b"\r\n")
        begun = time.monotonic()
        live.wait(lambda: connections(live) >= 5)
        while connections(live) > 1 and time.monotonic() < begun + 60:
            assert live.http.get("/health").status_code == 200
            for raw in clients:
                with suppress(ConnectionError):
                    raw.recv(1)
            time.sleep(0.05)
        assert connections(live) <= 1 and time.monotonic() - begun >= 1.0
        for raw in clients:
            raw.close()
        live.wait(lambda: len(ended) == (5 if path == "/pieces" else 0))


def test_an_answer_may_be_read_slowly_enough(settings: Callable[..., ServeSettings]) -> None:
    def prepare(app: FastAPI, service: Service) -> None:
        app.add_api_route("/whole", lambda: Response(b"x" * 16 * MEBI))

    with (
        running(settings(send_timeout_s=0.3), FakeBackend, prepare=prepare) as live,
        connect(live, "GET /whole", buffer=4096) as raw,
    ):
        raw.sendall(b"Connection: close\r\n\r\n")
        begun, size = time.monotonic(), 0
        while piece := raw.recv(2**20):
            size += len(piece)
            time.sleep(0.03 if time.monotonic() < begun + 1.0 else 0.0)
        assert size > 16 * MEBI and time.monotonic() - begun > 3 * 0.3
