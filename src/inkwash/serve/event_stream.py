"""One stream of server-sent events for every route: framing, keep-alives and disconnects are sse-starlette's.

    return SseResponse(events(), on_end=ended, last_events=lambda error: [json_event({"error": ...})])

Each event is a `ServerSentEvent`. How a stream ends is ours: a server that drains lets it go on, and where the drain is
over its last event says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

KEEP_ALIVE_S = 15.0
LINE = "\n"


def json_event(content: dict[str, Any], *, name: str | None = None) -> ServerSentEvent:
    """An event whose data is a JSON object on one line."""
    return ServerSentEvent(json.dumps(content, ensure_ascii=False), event=name, sep=LINE)


def text_event(data: str) -> ServerSentEvent:
    """An event whose data is a word, such as the [DONE] at the end."""
    return ServerSentEvent(data, sep=LINE)


class SseResponse(EventSourceResponse):
    """A stream that calls `on_end` once, with whether all of it was sent."""

    def __init__(
        self,
        events: AsyncIterator[ServerSentEvent],
        *,
        on_end: Callable[[bool], None],
        last_events: Callable[[Exception], Sequence[ServerSentEvent]],
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """`last_events`: what is sent when the server's end cuts the stream off."""
        super().__init__(
            events,
            headers={"Cache-Control": "no-cache"},
            ping=keep_alive_s,
            ping_message_factory=lambda: ServerSentEvent(comment="keep-alive", sep=LINE),
            sep=LINE,
        )
        self._on_end, self._last_events = on_end, last_events
        self._whole = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except OSError:  # the connection broke while we sent
            pass
        except asyncio.CancelledError:
            stopping = scope.get("state", {}).get("stopping")
            if stopping is None:
                raise
            content = b"".join(event.encode() for event in self._last_events(stopping()))
            with contextlib.suppress(OSError, RuntimeError):  # the client has gone, or everything was said
                await send({"type": "http.response.body", "body": content, "more_body": False})
        finally:
            self._on_end(self._whole)

    async def _stream_response(self, send: Send) -> None:
        await super()._stream_response(send)
        self._whole = True

    async def _listen_for_exit_signal_with_grace(self) -> None:
        """Never: the library would cut streams off at the first signal, before the server's drain."""
        await anyio.sleep_forever()
