"""Clients that go away: the drawing stops, or is kept; nothing of it harms the next request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import httpx2
import pytest

from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_generations import picture

SLOW = {"prompt": "a", "steps": 200, "seed": 6}


def hang_up(live: Live, *, stream: bool, request_id: str = "mine") -> None:
    """Send a request, wait until it is drawn, close the connection."""
    import json

    body = json.dumps({**SLOW, "stream": stream}).encode()
    port = int(live.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        head = (
            f"POST /v1/images/generations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"x-request-id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        raw.sendall(head.encode() + body)
        live.wait(lambda: backend_of(live).stats().running == 1)
        if stream:
            assert raw.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_stops_the_drawing(settings: Callable[..., ServeSettings], stream: bool) -> None:
    with running(settings(concurrent_requests=1), lambda: FakeBackend(step_s=0.02)) as live:
        hang_up(live, stream=stream)
        live.wait(lambda: backend_of(live).cancelled == 1, 30)
        answer = live.http.post("/v1/images/generations", json={"prompt": "next", "steps": 1})
        assert answer.status_code == 200, "the place was given back and the next picture is drawn"
        assert "inkwash_cancelled_total 1.0" in live.http.get("/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_a_kept_picture_can_be_asked_for(settings: Callable[..., ServeSettings], stream: bool) -> None:
    with running(settings(cancel_on_disconnect=False), lambda: FakeBackend(step_s=0.002)) as live:
        hang_up(live, stream=stream)
        live.wait(lambda: live.http.get("/v1/jobs/job_mine").status_code == 200)
        live.wait(lambda: live.http.get("/v1/jobs/job_mine").json()["status"] == "completed")
        kept = live.http.get("/v1/jobs/job_mine").json()["result"]
        assert kept["used"]["seed"] == 6 and backend_of(live).cancelled == 0
        again = live.http.post("/v1/images/generations", json=SLOW).json()
        assert picture(again["data"][0]).tobytes() == picture(kept["data"][0]).tobytes()


def test_a_client_that_goes_while_waiting_leaves_the_queue(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), FakeBackend) as live:
        backend = backend_of(live)
        backend.gate = threading.Event()
        first = threading.Thread(target=lambda: live.http.post("/v1/images/generations", json={"prompt": "first"}))
        first.start()
        live.wait(lambda: backend.stats().running == 1)
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{live.url}/v1/images/generations", json={"prompt": "gone"}, timeout=0.3, trust_env=False)
        backend.gate.set()
        first.join(60)
        live.wait(lambda: backend.cancelled == 1)
        assert [each.prompt for each in backend.drawn[1:]] == ["first"]


def test_stopping_answers_what_was_accepted(settings: Callable[..., ServeSettings]) -> None:
    answers: list[httpx2.Response] = []
    with running(settings(), FakeBackend) as live:
        backend = backend_of(live)
        backend.gate = threading.Event()

        def ask(stream: bool) -> None:
            url = f"{live.url}/v1/images/generations"
            answers.append(httpx2.post(url, json={"prompt": "a", "stream": stream}, timeout=30, trust_env=False))

        threads = [threading.Thread(target=ask, args=(stream,)) for stream in (False, True, False)]
        for thread in threads:
            thread.start()
        live.wait(lambda: backend.stats().running + backend.stats().queued == 3)
        live.service.drain()
        refused = live.http.post("/v1/images/generations", json={"prompt": "late"})
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "draining"
        live.server.should_exit = True  # from here on connections that wait may be closed
        backend.gate.set()
        for thread in threads:
            thread.join(20)
    assert [each.status_code for each in answers] == [200, 200, 200]
    assert any("image_generation.completed" in each.text for each in answers)


def test_a_real_engine_draws_the_same_after_a_cancellation(nano: Live) -> None:
    body = {"prompt": "a red circle", "steps": 1, "seed": 3, "size": "64x64"}
    before = nano.http.post("/v1/images/generations", json=body).json()
    url = f"{nano.url}/v1/images/generations"
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(url, json={"prompt": "a", "steps": 200}, timeout=0.5, trust_env=False)
    after = nano.http.post("/v1/images/generations", json=body).json()
    assert picture(after["data"][0]).tobytes() == picture(before["data"][0]).tobytes()
    stats = nano.service.stats()
    assert stats is not None and stats.cancelled >= 1
