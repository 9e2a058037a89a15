"""The events of a stream in the OpenAI images format, with progress events as an extension.

A stream of n pictures has a `completed` event for each as soon as it is drawn; the last one also carries the timings
and, for n > 1, all plan handles. An error after the first byte is an `error` event, since the status is already sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from PIL import Image
from sse_starlette import ServerSentEvent

from inkwash.core.errors import Cancelled
from inkwash.core.types import Size
from inkwash.engine import events
from inkwash.engine.handle import GenerationResult
from inkwash.serve.answers import encode, final_size, handle, rounded, usage, used, verification
from inkwash.serve.errors import described
from inkwash.serve.event_stream import json_event
from inkwash.serve.requests import PreparedRequest
from inkwash.serve.verified import AttemptProgress, VerifiedPicture, wrong_words

if TYPE_CHECKING:
    from inkwash.engine.request import TokenCounts
    from inkwash.serve.backend import Backend
    from inkwash.serve.runs import ImageRun
    from inkwash.serve.service import Service

log = logging.getLogger(__name__)


class ImageStream:
    """The events of one order."""

    def __init__(
        self, service: Service, backend: Backend, order: PreparedRequest, run: ImageRun, answer_id: str
    ) -> None:
        self.service, self.backend, self.order, self.run, self.id = service, backend, order, run, answer_id
        self._partials = 0
        self._waiting: events.PictureDone | None = None  # the newest picture; held until we know if it is the last
        self.log_fields: dict[str, Any] = {}

    async def sent(self) -> AsyncIterator[ServerSentEvent]:
        """Every event up to the last one."""
        try:
            async for event in self.run.events():
                for block in await self._blocks(event):
                    yield packed(block)
        except Exception as error:
            log.error("stream failed", exc_info=error)
            yield self.failed(error)

    async def _blocks(self, event: events.Event) -> list[dict[str, Any]]:
        match event:
            case events.Queued() if self.order.body.progress:
                return [self._event("queued", position=event.position, eta_s=round(event.eta_s, 3), id=self.id)]
            case events.Progress() if self.order.body.progress:
                return [self._event("progress", **_progress(event))]
            case events.Partial():
                return [await asyncio.to_thread(self._partial, event)]
            case events.PictureDone():
                held, self._waiting = self._waiting, event
                return [] if held is None else [await asyncio.to_thread(self._completed, held, None)]
            case events.Finished():
                return [await asyncio.to_thread(self._last, event.result)]
            case events.Failed():
                return [self._error(event.error)]
            case events.Aborted():
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
        event_fields = self._event(
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
            event_fields["revised_prompt"] = order.revised_prompt
        if result is not None:
            event_fields["timings"] = rounded(result.timings)
            plans = [handle(order, result, index, self.service.signer) for index in range(len(result.images))]
            event_fields["plan"] = plans[event.index]
            if len(plans) > 1:
                event_fields["plans"] = plans
        return event_fields

    def _last(self, result: GenerationResult) -> dict[str, Any]:
        self.service.metrics.drawn(result.timings, len(result.images))
        self.log_fields["timings"] = rounded(result.timings)
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
        return self.order.final_size or Size(*image.size)

    def _picture(self, content: str) -> dict[str, Any]:
        return {
            "b64_json": content,
            "background": "opaque",
            "output_format": self.order.format,
            "quality": self.order.quality.name,
        }

    def _event(self, name: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"{self.order.kind}.{name}", "created_at": int(time.time()), **fields}

    def failed(self, error: Exception) -> ServerSentEvent:
        """The last event of a stream that fails."""
        return packed(self._error(error))

    def _error(self, error: Exception) -> dict[str, Any]:
        status, body = described(error)
        self.log_fields["status"] = status
        self.service.metrics.turned_away(status, body.code)
        return {"type": "error", "error": body.model_dump()}


def _progress(event: events.Progress) -> dict[str, Any]:
    """Where a drawing stands; of several attempts also which one, and what was read in the one before."""
    fields = vars(event)
    return fields if not isinstance(event, AttemptProgress) else {**fields, "read": event.read and list(event.read)}


def packed(block: dict[str, Any]) -> ServerSentEvent:
    """One event, named by its type."""
    return json_event(block, name=block["type"])
