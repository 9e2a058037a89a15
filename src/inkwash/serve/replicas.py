"""What runs on the cluster's machines: whole engines, planners and decoders, each with its own copy of the weights.

A replica answers with a stream: events while it works, then one result or one error as the last item. Closing the
stream stops the work within one token or one step.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.engine import events
from inkwash.engine.request import DrawRequest
from inkwash.serve.backend import LocalBackend, ModelInfo, load_backend, load_planner

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.output import Plan


class Replica:
    """One engine whose requests come from another process."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend

    async def draw(
        self, request: DrawRequest, plan: Plan | None, deadline_s: float | None, partial_images: int
    ) -> AsyncIterator[Any]:
        """Events, then the result or an error."""
        loop = asyncio.get_running_loop()
        queued: asyncio.Queue[Any] = asyncio.Queue()

        def on_event(event: events.Event) -> None:
            loop.call_soon_threadsafe(queued.put_nowait, event)

        try:
            handle = self.backend.submit(
                request, on_event=on_event, deadline_s=deadline_s, partial_images=partial_images, plan=plan
            )
        except InkwashError as error:
            yield portable(error)
            return
        try:
            while True:
                event = await queued.get()
                if isinstance(event, events.Finished):
                    yield event.result
                    return
                if isinstance(event, events.Failed):
                    yield portable(event.error)
                    return
                if isinstance(event, events.Aborted):
                    yield Cancelled()
                    return
                yield event
        finally:
            if not handle.done():
                self.backend.abort(handle.id)

    async def info(self) -> ModelInfo:
        """What this replica serves."""
        return self.backend.info

    async def pid(self) -> int:
        """The process, for operators and tests."""
        return os.getpid()


class PictureReplica(Replica):
    """Complete pictures; as a decoder it is given a plan with every request."""

    def __init__(self, options: LoadOptions, max_queue: int) -> None:
        super().__init__(load_backend(options, max_queue=max_queue))


class PlannerReplica(Replica):
    """The AR stage alone: a result is its plan. The plans of its requests are drawn together, as in a whole engine."""

    def __init__(self, options: LoadOptions, max_queue: int) -> None:
        super().__init__(load_planner(options, max_queue=max_queue))


def portable(error: InkwashError) -> InkwashError:
    """The same error in a class that survives the way between processes."""
    if isinstance(error, Cancelled):
        return Cancelled()
    if isinstance(error, RequestError):
        return RequestError(error.message, status=error.status, code=error.code, param=error.param)
    return RequestError(error.message, status=500, code="internal_error")
