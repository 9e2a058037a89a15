"""What runs on the cluster's machines: whole engines, planners and decoders, each with its own copy of the weights.

A replica answers with a stream: events while it works, then one result or one error as the last item. Closing the
stream stops the work within one token or one step.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.engine import events
from inkwash.engine.request import CancelToken, GenerationRequest, Progress
from inkwash.serve.backend import LocalBackend, ModelInfo, TokenCounts, load_backend

if TYPE_CHECKING:
    from inkwash.engine.plan import Plan


class Painter:
    """A whole engine; as a decoder it is given a plan with every request."""

    def __init__(self, model: str, device: str | None, dtype: str | None, max_queue: int) -> None:
        self.backend: LocalBackend = load_backend(model, device=device, dtype=dtype, max_queue=max_queue)

    async def draw(
        self, request: GenerationRequest, plan: Plan | None, deadline_s: float | None, partial_images: int
    ) -> AsyncIterator[Any]:
        """Events, then the result or an error."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Any] = asyncio.Queue()

        def on_event(event: events.Event) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, event)

        try:
            ticket = self.backend.submit(
                request, on_event=on_event, deadline_s=deadline_s, partial_images=partial_images, plan=plan
            )
        except InkwashError as error:
            yield portable(error)
            return
        try:
            while True:
                event = await heard.get()
                if isinstance(event, events.Finished):
                    yield event.result
                    return
                if isinstance(event, events.Failed):
                    yield portable(event.error)
                    return
                if isinstance(event, events.Cancelled):
                    yield Cancelled()
                    return
                yield event
        finally:
            if not ticket.done():
                self.backend.abort(ticket.id)

    async def info(self) -> ModelInfo:
        """What this replica serves."""
        return self.backend.info

    async def count_tokens(self, request: GenerationRequest) -> TokenCounts:
        """Tokens of a request."""
        return await asyncio.to_thread(self.backend.count_tokens, request)

    async def pid(self) -> int:
        """The process, for operators and tests."""
        return os.getpid()


class Planner:
    """The AR stage alone; plans of one replica are sampled one after another."""

    def __init__(self, model: str, device: str | None, dtype: str | None, max_queue: int) -> None:
        from inkwash.core.device import pick_device, pick_dtype, set_threads
        from inkwash.engine.pipeline import GlmImagePipeline

        set_threads()
        place = pick_device(device)
        self.pipe = GlmImagePipeline.from_pretrained(model, torch_dtype=pick_dtype(dtype, place), device_map="cpu")
        self.pipe.parts.ar.to(place)
        for other in (self.pipe.parts.decoder, self.pipe.parts.vae, self.pipe.parts.glyph):
            other.to("meta")  # only their configurations are asked here; the weights would take the other half
        self._one = ThreadPoolExecutor(1, thread_name_prefix="inkwash-planner")

    async def draw(self, request: GenerationRequest) -> AsyncIterator[Any]:
        """Progress, then (plan, seconds by stage) or an error."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Any] = asyncio.Queue()
        cancel = CancelToken()

        def tell(said: Any) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, said)

        def progress(state: Progress) -> None:
            tell(events.Progress(stage=state.stage, done=state.done, total=state.total))

        def work() -> None:
            try:
                tell(sample_plan(self.pipe, request, progress, cancel))
            except InkwashError as error:
                tell(portable(error))
            except Exception as error:
                tell(RequestError(f"Planning failed: {type(error).__name__}.", status=500, code="internal_error"))

        self._one.submit(work)
        try:
            while True:
                said = await heard.get()
                yield said
                if not isinstance(said, events.Progress):
                    return
        finally:
            cancel.cancel()

    async def pid(self) -> int:
        """The process, for operators and tests."""
        return os.getpid()


def sample_plan(
    pipe: Any, request: GenerationRequest, progress: Callable[[Progress], None], cancel: CancelToken
) -> tuple[Plan, dict[str, float]]:
    """The plan that a whole engine would sample for this request, and the seconds it took."""
    from inkwash.engine import seeds
    from inkwash.engine.plan import Plan

    begun = time.monotonic()
    height, width = request.height, request.width
    if height is None or width is None:
        height, width = pipe.stages.natural_size([request.images])
    assert request.seed is not None, "the front draws seeds"
    count = 1 if request.layout == "same" else request.num_images
    generators = seeds.per_picture(seeds.make_generator(request.seed), count)
    tokens, image_ids, grids = pipe.generate_prior_tokens(
        [request.prompt] * count,
        height,
        width,
        image=[list(request.images)] * count,
        device="cpu",
        generator=generators,
        temperature=request.temperature,
        top_p=request.top_p,
        progress=progress,
        cancel=cancel,
    )
    own_ids = None if image_ids is None else [each.cpu() for each in image_ids[:1]]
    own_grids = None if grids is None else [each.cpu() for each in grids[:1]]
    return Plan(tokens.cpu(), own_ids, own_grids), {"prior": time.monotonic() - begun}


def portable(error: InkwashError) -> InkwashError:
    """The same error in a class that survives the way between processes."""
    if isinstance(error, Cancelled):
        return Cancelled()
    if isinstance(error, RequestError):
        return RequestError(error.message, status=error.status, code=error.code, param=error.param)
    return RequestError(error.message, status=500, code="internal_error")
