"""One order at the engine, seen from the event loop: its events as they come, its result, and a way to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fastapi import Request

from inkwash.core.errors import Cancelled
from inkwash.engine import events
from inkwash.engine.events import Event

if TYPE_CHECKING:
    from inkwash.engine.handle import GenerationResult, RequestHandle
    from inkwash.serve.backend import Backend
    from inkwash.serve.requests import PreparedRequest


class ImageRun:
    """Made inside the event loop; `start` may raise QueueFull."""

    def __init__(self, backend: Backend, order: PreparedRequest, deadline_s: float | None) -> None:
        self.backend, self.order, self.deadline_s = backend, order, deadline_s
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._handle: RequestHandle | None = None
        self.ended = False
        self.eta_s: float | None = None  # the engine's estimate when the request came

    def start(self) -> None:
        """Submit to the engine."""
        self._handle = self.backend.submit(
            self.order.request,
            on_event=self._put,
            deadline_s=self.deadline_s,
            partial_images=self.order.partial_images,
            plan=self.order.plan,
        )

    def _put(self, event: Event) -> None:
        if isinstance(event, events.Queued):
            self.eta_s = event.eta_s
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self) -> AsyncIterator[Event]:
        """Every event up to the last one."""
        while not self.ended:
            event = await self._events.get()
            self.ended = isinstance(event, events.END_EVENTS)
            yield event

    async def result(self) -> GenerationResult:
        """The pictures; raises what the request failed with."""
        async for event in self.events():
            if isinstance(event, events.Finished):
                return event.result
            if isinstance(event, events.Failed):
                raise event.error
        raise Cancelled("The request was cancelled.")

    def cancel(self) -> None:
        """Stop within one token or one step; nothing happens after the end."""
        if self._handle is not None and not self.ended:
            self.backend.abort(self._handle.id)


async def disconnected(request: Request) -> None:
    """Returns when the client has gone; to be used after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
