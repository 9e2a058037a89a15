"""The event stream that routes share: framing, keep-alives, the client that goes, the server that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import ServerSentEvent

from inkwash.core.errors import RequestError
from inkwash.serve.event_stream import SseResponse, json_event, text_event


class Wire:
    """An ASGI connection on paper: what was sent, and when the client goes."""

    def __init__(self, *, stopping: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()
        self.ends: list[bool] = []
        self.closed = False
        self.scope: dict[str, Any] = {"type": "http", "method": "POST", "state": {}}
        if stopping:
            self.scope["state"]["stopping"] = lambda: RequestError("The server ends.", status=503)

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def events(self, wait_s: float) -> AsyncIterator[ServerSentEvent]:
        try:
            yield json_event({"a": "é\n"})
            await asyncio.sleep(wait_s)
            yield json_event({"b": 1}, name="end")
            yield text_event("[DONE]")
        finally:
            self.closed = True

    def response(self, wait_s: float, keep_alive_s: float = 15) -> SseResponse:
        return SseResponse(
            self.events(wait_s),
            on_end=self.ends.append,
            last_events=lambda error: [json_event({"error": str(error)}), text_event("[DONE]")],
            keep_alive_s=keep_alive_s,
        )

    def run(self, response: SseResponse) -> asyncio.Task[None]:
        return asyncio.create_task(response(self.scope, self.receive, self.send))  # type: ignore[arg-type]


def test_events_are_framed_and_the_end_is_told() -> None:
    async def go() -> Wire:
        wire = Wire()
        await wire.run(wire.response(0))
        return wire

    wire = asyncio.run(go())
    assert wire.text == 'data: {"a": "é\\n"}\n\nevent: end\ndata: {"b": 1}\n\ndata: [DONE]\n\n'
    assert wire.ends == [True] and wire.sent[-1]["more_body"] is False
    headers = dict(wire.sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream") and headers[b"cache-control"] == b"no-cache"


def test_silence_is_broken_by_comments() -> None:
    async def go() -> Wire:
        wire = Wire()
        await wire.run(wire.response(0.5, keep_alive_s=0.05))
        return wire

    wire = asyncio.run(go())
    assert wire.text.count(": keep-alive\n\n") >= 3 and wire.text.endswith("data: [DONE]\n\n")


def test_a_client_that_goes_ends_the_stream_at_once() -> None:
    async def go() -> Wire:
        wire = Wire()
        running = wire.run(wire.response(60))
        await asyncio.sleep(0.05)
        wire.gone.set()
        await asyncio.wait_for(running, 2)
        return wire

    wire = asyncio.run(go())
    assert wire.ends == [False] and wire.closed and "[DONE]" not in wire.text


def test_the_end_of_the_server_is_the_last_event() -> None:
    async def go(stopping: bool) -> tuple[Wire, bool]:
        wire = Wire(stopping=stopping)
        running = wire.run(wire.response(60))
        await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running}, timeout=2)
        return wire, running.cancelled()

    wire, cancelled = asyncio.run(go(True))
    assert not cancelled and wire.ends == [False] and wire.closed
    assert wire.text.endswith('data: {"error": "The server ends."}\n\ndata: [DONE]\n\n')
    wire, cancelled = asyncio.run(go(False))
    assert cancelled and wire.ends == [False] and "error" not in wire.text
