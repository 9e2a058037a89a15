"""Live servers for tests: the real application on a real port of this machine, around a fake or the shipped model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from inkwash.engine.open import LoadOptions
from inkwash.serve.app import make_app
from inkwash.serve.backend import Backend, load_backend
from inkwash.serve.listen import bind
from inkwash.serve.protocol import http_options
from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings
from inkwash.serve.vision_only import VisionOnlyService
from tests.server.fakes import FakeBackend


@dataclass
class Live:
    """A running server and the clients that speak to it."""

    url: str
    service: Service
    http: httpx2.Client
    openai: openai.OpenAI
    server: uvicorn.Server

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so; fails after a while."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)


@contextmanager
def running(
    settings: ServeSettings,
    load: Callable[[], Backend] | None,
    *,
    also: Sequence[Callable[[], Backend]] = (),
    ready: bool = True,
    drain_s: int = 10,
    prepare: Callable[[FastAPI, Service], None] | None = None,
) -> Iterator[Live]:
    """Run the application in a thread until the block ends; the end is a graceful stop. `prepare` may add to it.

    also: what loads further models that draw.
    """
    service = VisionOnlyService(settings) if load is None else Service(settings, load, also=also)
    app = make_app(service)
    if prepare is not None:
        prepare(app, service)
    bound = bind("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=drain_s,
        **http_options(settings.header_timeout_s, settings.send_timeout_s),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    http = httpx2.Client(base_url=url, timeout=60, trust_env=False)
    client = openai.OpenAI(
        base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=60, http_client=httpx2.Client(trust_env=False)
    )
    live = Live(url, service, http, client, server)
    try:
        live.wait(lambda: server.started, 30)
        if ready:
            live.wait(lambda: service.state != "loading" and service.state != "testing", 120)
            assert service.failure is None, service.failure
        yield live
    finally:
        server.should_exit = True
        thread.join(30)
        http.close()
        client.close()
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., ServeSettings]:
    """Settings whose state lies in the test's own folder."""

    def make(**changes: Any) -> ServeSettings:
        return ServeSettings(**{"state": tmp_path / "state", **changes})

    return make


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server around the instant fake, shared by all tests that need nothing of their own."""
    with running(ServeSettings(state=tmp_path_factory.mktemp("fake")), FakeBackend) as live:
        yield live


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server around the shipped model."""
    settings = ServeSettings(state=tmp_path_factory.mktemp("nano"))
    load = lambda: load_backend(LoadOptions(model="nano", device="cpu"), max_queue=16)  # noqa: E731
    with running(settings, load) as live:
        yield live


def backend_of(live: Live) -> FakeBackend:
    """The fake behind a server."""
    assert isinstance(live.service.backend, FakeBackend)
    return live.service.backend
