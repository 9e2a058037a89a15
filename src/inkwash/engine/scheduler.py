"""The engine: a bounded queue of requests over one pipeline, drawn by threads of its own.

    engine = Engine(GlmImagePipeline.from_pretrained("nano"))
    ticket = engine.submit(GenerationRequest(prompt="two red circles", num_inference_steps=8), on_event=print)
    picture = ticket.result().images[0]

Any thread may submit, abort and ask for figures. A picture is the same alone and in company (docs/engine.md).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from inkwash.core import limits
from inkwash.core import log as logs
from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.engine import events, seeds
from inkwash.engine.events import Event
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.plan import Plan
from inkwash.engine.request import CancelToken, GenerationRequest, Progress
from inkwash.engine.ticket import GenerationResult, Ticket

log = logs.get(__name__)

MAX_PARTIALS = 3
OnEvent = Callable[[Event], None]


class QueueFull(RequestError):
    """The queue holds as many requests as it may; `retry_after` is an estimate in seconds of when it has room."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, status=429, code="queue_full")
        self.retry_after = retry_after


class EngineClosed(RequestError):
    """The engine is shutting down and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("The engine is shutting down: send the request again later.", status=503, code="closing")


class DeadlinePassed(RequestError):
    """The request was not finished within its deadline."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(
            f"The request was not finished within its deadline of {deadline_s:g} s: allow more time, or ask for fewer "
            "steps or a smaller picture.",
            status=504,
            code="deadline_exceeded",
            param="deadline_s",
        )


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """Counters since the start, what is under way, and the speeds that estimates are made from."""

    queued: int
    running: int
    finished: int
    cancelled: int
    failed: int
    rejected: int
    pictures: int
    tokens: int
    tokens_per_s: float
    steps: int
    step_s: float
    estimated_wait_s: float


@dataclass(eq=False)
class _Job:
    ticket: Ticket
    request: GenerationRequest
    on_event: OnEvent | None
    plan: Plan | None
    partial_images: int
    deadline: float | None
    deadline_s: float | None
    cancel: CancelToken = field(default_factory=CancelToken)
    submitted: float = field(default_factory=time.monotonic)


class Engine:
    """Draws requests; see the module."""

    def __init__(self, pipe: GlmImagePipeline, *, max_queue: int = 64) -> None:
        limits.check_whole("max_queue", max_queue, 1, 1_000_000)
        self.pipe, self.max_queue = pipe, max_queue
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._running: _Job | None = None
        self._closing = False
        self._counts = dict.fromkeys(("finished", "cancelled", "failed", "rejected", "pictures"), 0)
        self._mean_s = 2.0
        self._thread = threading.Thread(target=self._work, name="inkwash-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        request: GenerationRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> Ticket:
        """Queue a request. Raises QueueFull (429, with `retry_after`), EngineClosed (503) or RequestError (400).

        on_event: called with each event, from a thread of the engine. deadline_s: seconds from now within which it
        must be finished. partial_images: 0 to 3 unfinished looks at each picture. plan: an earlier result's, to redraw
        it without the AR stage.
        """
        limits.check_whole("partial_images", partial_images, 0, MAX_PARTIALS)
        if deadline_s is not None:
            limits.check_real("deadline_s", deadline_s, 0.001, 1e7)
        now = time.monotonic()
        with self._changed:
            if self._closing:
                raise EngineClosed
            if len(self._queue) >= self.max_queue:
                self._counts["rejected"] += 1
                wait = self._mean_s
                raise QueueFull(
                    f"{len(self._queue)} requests are waiting, as many as the queue holds: try again in {wait:.0f} s.",
                    retry_after=wait,
                )
            job = _Job(
                Ticket(), request, on_event, plan, partial_images, now + deadline_s if deadline_s else None, deadline_s
            )
            self._queue.append(job)
            position = len(self._queue) - 1 + (self._running is not None)
            self._tell(job, events.Queued(position=position, eta_s=(position + 1) * self._mean_s))
            self._changed.notify_all()
        return job.ticket

    def abort(self, ticket_id: str) -> bool:
        """Stop a request within one token or one step; False if it is unknown or has ended."""
        with self._changed:
            for job in (*self._queue, *([self._running] if self._running else [])):
                if job.ticket.id == ticket_id:
                    job.cancel.cancel()
                    return True
        return False

    def stats(self) -> EngineStats:
        """What is under way and what was done."""
        with self._changed:
            return EngineStats(
                queued=len(self._queue),
                running=int(self._running is not None),
                tokens=0,
                tokens_per_s=0.0,
                steps=0,
                step_s=0.0,
                estimated_wait_s=self._mean_s * (len(self._queue) + (self._running is not None)),
                **self._counts,
            )

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        """Take no more requests; finish those accepted, or abort them, and those too that are left at the timeout."""
        with self._changed:
            self._closing = True
            if not drain:
                for job in (*self._queue, *([self._running] if self._running else [])):
                    job.cancel.cancel()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.close(drain=False)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                job = self._running = self._queue.popleft()
            started = time.monotonic()
            outcome = self._draw(job)
            with self._changed:
                self._running = None
                self._mean_s = 0.8 * self._mean_s + 0.2 * (time.monotonic() - started)
            self._end(job, outcome)

    def _draw(self, job: _Job) -> GenerationResult | InkwashError:
        request = job.request

        def progress(state: Progress) -> None:
            if job.deadline is not None and time.monotonic() > job.deadline:
                assert job.deadline_s is not None
                raise DeadlinePassed(job.deadline_s)
            self._tell(job, events.Progress(stage=state.stage, done=state.done, total=state.total))

        try:
            output = self.pipe(
                prompt=request.prompt,
                image=list(request.images) or None,
                mask=request.mask,
                height=request.height,
                width=request.width,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                negative_prompt=request.negative_prompt,
                num_images_per_prompt=request.num_images,
                layout=request.layout,
                temperature=request.temperature,
                top_p=request.top_p,
                generator=None if request.seed is None else seeds.make_generator(request.seed),
                plan=job.plan,
                progress=progress,
                cancel=job.cancel,
            )
        except InkwashError as error:
            return error
        except Exception as error:  # one request's failure is never another's
            log.exception("request %s failed", job.ticket.id)
            return RequestError(f"The request failed: {type(error).__name__}.", status=500, code="internal_error")
        assert not isinstance(output, tuple)
        timings = {**output.timings, "queued": max(0.0, time.monotonic() - job.submitted - output.timings["total"])}
        return GenerationResult(images=output.images, seeds=output.seeds, plan=output.plan, timings=timings)

    def _end(self, job: _Job, outcome: GenerationResult | InkwashError) -> None:
        last: Event
        if isinstance(outcome, GenerationResult):
            kind, last = "finished", events.Finished(result=outcome)
            for index, (image, seed) in enumerate(zip(outcome.images, outcome.seeds, strict=True)):
                self._tell(job, events.PictureDone(index=index, image=image, seed=seed))
        elif isinstance(outcome, Cancelled):
            kind, last = "cancelled", events.Cancelled(reason=outcome.message)
        else:
            kind, last = "failed", events.Failed(error=outcome)
        with self._changed:
            self._counts[kind] += 1
            if isinstance(outcome, GenerationResult):
                self._counts["pictures"] += len(outcome.images)
        callbacks = job.ticket.end(outcome)
        self._tell(job, last)
        for callback in callbacks:
            callback(job.ticket)

    def _tell(self, job: _Job, event: Event) -> None:
        if job.on_event is None:
            return
        try:
            job.on_event(event)
        except Exception:
            log.exception("the event callback of request %s failed", job.ticket.id)
