"""Server-sent events in the OpenAI images format, with progress events as an extension.

A stream of n pictures has a `completed` event for each as soon as it is drawn; the last one also carries the timings
and, for n > 1, all plan handles. An error after the first byte is an `error` event, since the status is already sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from PIL import Image
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from inkwash.core import log as logs
from inkwash.core.errors import Cancelled
from inkwash.core.types import Size
from inkwash.engine import events
from inkwash.engine.ticket import GenerationResult
from inkwash.serve.answers import encode, final_size, handle, rounded, usage, used, verification
from inkwash.serve.errors import described
from inkwash.serve.orders import Order
from inkwash.serve.verified import VerifiedPicture, wrong_words

if TYPE_CHECKING:
    from inkwash.engine.request import TokenCounts
    from inkwash.serve.backend import Backend
    from inkwash.serve.runs import Run
    from inkwash.serve.service import Service

log = logs.get(__name__)

KEEP_ALIVE_S = 15.0
END_S = 1.0  # for a stream that was stopped to end in
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """A streaming answer that hears the client go at once, not only when it has something to send.

    Where the server's end cuts it off, its last event says so; `packed_error` makes that event.
    """

    def __init__(
        self,
        content: AsyncIterator[str],
        *,
        on_end: Callable[[bool], None],
        packed_error: Callable[[Exception], str] | None = None,
    ) -> None:
        super().__init__(content, media_type="text/event-stream", headers=HEADERS)
        self._on_end, self._packed_error = on_end, packed_error or _plain_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send_all(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        whole = False
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            whole = sending.done() and not sending.cancelled() and sending.exception() is None
        except asyncio.CancelledError:
            stopping = scope.get("state", {}).get("stopping")
            if stopping is None:
                raise
            await self._say_last(send, sending, stopping())
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving}, timeout=END_S)
            self._on_end(whole)

    async def _say_last(self, send: Send, sending: asyncio.Future[None], error: Exception) -> None:
        """The event that ends a stream from outside, once nothing else is being written."""
        sending.cancel()
        await asyncio.wait({sending}, timeout=END_S)
        content = self._packed_error(error).encode()
        with contextlib.suppress(OSError, RuntimeError):  # the client has gone, or everything was said
            await send({"type": "http.response.body", "body": content, "more_body": False})

    async def _send_all(self, send: Send) -> None:
        try:
            await self.stream_response(send)
        except OSError:  # the connection broke while we sent
            return


class Stream:
    """The events of one order as text."""

    def __init__(self, service: Service, backend: Backend, order: Order, run: Run, answer_id: str) -> None:
        self.service, self.backend, self.order, self.run, self.id = service, backend, order, run, answer_id
        self._partials = 0
        self._waiting: events.PictureDone | None = None  # the newest picture; held until we know if it is the last
        self.said: dict[str, Any] = {}

    async def text(self) -> AsyncIterator[str]:
        """Every event, with comments between them while nothing happens."""
        source = self.run.events().__aiter__()
        pending: asyncio.Task[events.Event] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(_next(source))
                done, _ = await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
                if not done:
                    yield ": keep-alive\n\n"
                    continue
                event, pending = pending.result(), None
                for said in await self._said(event):
                    yield packed(said)
                if isinstance(event, events.END_EVENTS):
                    return
        except Exception as error:
            log.error("stream failed", exc_info=error)
            yield packed(self._error(error))
        finally:
            if pending is not None:
                pending.cancel()

    async def _said(self, event: events.Event) -> list[dict[str, Any]]:
        match event:
            case events.Queued() if self.order.body.progress:
                return [self._event("queued", position=event.position, eta_s=round(event.eta_s, 3), id=self.id)]
            case events.Progress() if self.order.body.progress:
                return [self._event("progress", stage=event.stage, done=event.done, total=event.total)]
            case events.Partial():
                return [await asyncio.to_thread(self._partial, event)]
            case events.PictureDone():
                held, self._waiting = self._waiting, event
                return [] if held is None else [await asyncio.to_thread(self._completed, held, None)]
            case events.Finished():
                return [await asyncio.to_thread(self._last, event.result)]
            case events.Failed():
                return [self._error(event.error)]
            case events.Cancelled():
                return [self._error(Cancelled())]
            case _:
                return []

    def _partial(self, event: events.Partial) -> dict[str, Any]:
        number, self._partials = self._partials, self._partials + 1
        info = self.backend.info
        return self._event(
            "partial_image",
            **self._picture(encode(self.order, event.image, info, index=event.index, seed=None, final=False)),
            size=str(self._shown_size(event.image)),
            partial_image_index=number,
            image_index=event.index,
            kind=event.kind,
        )

    def _completed(self, event: events.PictureDone, result: GenerationResult | None) -> dict[str, Any]:
        order, info = self.order, self.backend.info
        found = event.verified if isinstance(event, VerifiedPicture) else None
        content = encode(order, event.image, info, index=event.index, seed=event.seed, final=True, verified=found)
        wrong = None if found is None else wrong_words(found, event.index, order.request.num_images)
        said = self._event(
            "completed",
            **self._picture(content),
            size=str(final_size(order, event.image)),
            image_index=event.index,
            seed=event.seed,
            id=self.id,
            usage=self._usage(event.tokens, result).model_dump(),
            used=used(order, Size(*event.image.size), info).model_dump(),
            warnings=[*order.warnings, *([] if wrong is None else [wrong])],
            **verification(found),
        )
        if order.revised_prompt is not None:
            said["revised_prompt"] = order.revised_prompt
        if result is not None:
            said["timings"] = rounded(result.timings)
            plans = [handle(order, result, index, self.service.signer) for index in range(len(result.images))]
            said["plan"] = plans[event.index]
            if len(plans) > 1:
                said["plans"] = plans
        return said

    def _last(self, result: GenerationResult) -> dict[str, Any]:
        self.service.metrics.drawn(result.timings, len(result.images))
        self.said["timings"] = rounded(result.timings)
        held = self._waiting
        if held is None:
            last = len(result.images) - 1
            held = events.PictureDone(
                index=last, image=result.images[last], seed=result.seeds[last], tokens=result.tokens
            )
        return self._completed(held, result)

    def _usage(self, counts: TokenCounts, result: GenerationResult | None) -> Any:
        """The last event has the usage of the whole request; earlier ones have none of their own."""
        made = usage(self.order, counts, result)
        return (
            made
            if result is not None
            else made.model_copy(update={"output_tokens": 0, "total_tokens": made.input_tokens})
        )

    def _shown_size(self, image: Image.Image) -> Size:
        return self.order.asked or Size(*image.size)

    def _picture(self, content: str) -> dict[str, Any]:
        return {
            "b64_json": content,
            "background": "opaque",
            "output_format": self.order.format,
            "quality": self.order.quality.name,
        }

    def _event(self, name: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"{self.order.kind}.{name}", "created_at": int(time.time()), **fields}

    def packed_error(self, error: Exception) -> str:
        """The last event of a stream that fails."""
        return packed(self._error(error))

    def _error(self, error: Exception) -> dict[str, Any]:
        status, body = described(error)
        self.said["status"] = status
        self.service.metrics.turned_away(status, body.code)
        return {"type": "error", "error": body.model_dump()}


async def _next(source: AsyncIterator[events.Event]) -> events.Event:
    return await source.__anext__()


def _plain_error(error: Exception) -> str:
    """The error of a chat stream, which has no types of events."""
    return f"data: {json.dumps({'error': described(error)[1].model_dump()}, ensure_ascii=False)}\n\ndata: [DONE]\n\n"


def packed(said: dict[str, Any]) -> str:
    """One event in the wire format."""
    return f"event: {said['type']}\ndata: {json.dumps(said, ensure_ascii=False)}\n\n"
