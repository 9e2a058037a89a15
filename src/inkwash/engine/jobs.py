"""One submitted request while the engine works on it: its pictures, its events and its end.

Everything that is told to the caller goes through `OrderedCallbacks`: events come one at a time, nothing follows the
last one, and no lock is held while a callback runs. The job's own lock is held for moments only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.core.seeds import following_seed
from inkwash.engine import events
from inkwash.engine.callbacks import OrderedCallbacks
from inkwash.engine.estimate import RequestWork
from inkwash.engine.events import Event
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.output import GlmImagePipelineOutput, Plan, join_pictures
from inkwash.engine.prepared import Prepared
from inkwash.engine.request import CancelToken, DrawRequest, TokenCounts

log = logging.getLogger(__name__)

OnEvent = Callable[[Event], None]


class DeadlinePassed(RequestError):
    """The request was not finished within its deadline: its own limit, so no failure of a server."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(
            f"The request was not finished within its deadline of {deadline_s:g} s: allow more time, or ask for fewer "
            "steps or a smaller picture.",
            status=408,
            code="deadline_exceeded",
            param="deadline_s",
        )


@dataclass(eq=False)
class Job:
    """State of one request; the engine's threads share it."""

    request: DrawRequest  # with its seed filled in
    work: RequestWork
    on_event: OnEvent | None
    plan: Plan | None
    partial_images: int
    deadline_s: float | None
    handle: RequestHandle = field(default_factory=RequestHandle)
    cancel: CancelToken = field(default_factory=CancelToken)
    submitted: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    callbacks: OrderedCallbacks = field(default_factory=OrderedCallbacks)
    ended: bool = False
    started: float | None = None
    planned: float | None = None
    plans: dict[int, Plan] = field(default_factory=dict)
    outputs: dict[int, GlmImagePipelineOutput] = field(default_factory=dict)
    prepared: Prepared | None = None  # from its admission on
    drawn_tokens: int = 0
    denoised: dict[int, int] = field(default_factory=dict)

    @property
    def deadline(self) -> float | None:
        """On the clock of `time.monotonic`."""
        return None if self.deadline_s is None else self.submitted + self.deadline_s

    @property
    def seed(self) -> int:
        assert self.request.seed is not None
        return self.request.seed

    @property
    def tokens(self) -> TokenCounts:
        """What a picture of an admitted request costs."""
        assert self.prepared is not None, "the request was admitted"
        return self.prepared.tokens

    def picture_request(self, index: int) -> DrawRequest:
        """The request for picture `index` alone, which draws the same picture."""
        return replace(self.request, num_images=1, layout="new", seed=following_seed(self.seed, index))

    def open(self, first: Event) -> None:
        """Tell the first event, before any that came in the meantime."""
        self.callbacks.open(partial(self._call, first))
        if self.ended:  # else more is coming, and this thread need not wait for callbacks that are slow
            self.callbacks.flush()

    def tell(self, event: Event) -> None:
        """Hand an event to the caller unless the request has ended; a callback that fails is logged."""
        with self.lock:
            self._post(event)
        self.callbacks.flush()

    def _post(self, event: Event) -> None:
        if not self.ended:
            self.callbacks.put(partial(self._call, event))

    def begin(self) -> None:
        """The first work on it."""
        if self.started is None:
            self.started = time.monotonic()

    def count_tokens(self, tokens: int) -> None:
        """More tokens of one of its plans; the work was already counted."""
        self.drawn_tokens += tokens
        total = self.work.sequences * self.work.tokens
        self.tell(events.Progress(stage="prior", done=self.drawn_tokens, total=total))

    def count_step(self, index: int, done: int, total: int) -> None:
        """Picture `index` has done so many of its steps."""
        with self.lock:
            self.denoised[index] = done
            done = sum(self.denoised.values())
            self._post(events.Progress(stage="denoise", done=done, total=total * self.request.num_images))
        self.callbacks.flush()

    def add_picture(self, index: int, output: GlmImagePipelineOutput) -> bool:
        """Announce a finished picture; whether it was the last."""
        with self.lock:
            self.outputs[index] = output
            self._post(
                events.PictureDone(index=index, image=output.images[0], seed=output.seeds[0], tokens=self.tokens)
            )
            last = len(self.outputs) == self.request.num_images
        self.callbacks.flush()
        return last

    def add_plan(self, index: int, plan: Plan) -> bool:
        """Keep a picture's plan; whether it was the last."""
        self.plans[index] = plan
        return len(self.plans) == self.request.num_images

    def plans_result(self) -> GenerationResult:
        """The plans of all pictures, and no pictures."""
        assert self.started is not None, "a plan was drawn"
        now, numbers = time.monotonic(), range(self.request.num_images)
        return GenerationResult(
            images=[],
            seeds=[following_seed(self.seed, index) for index in numbers],
            plan=join_pictures([self.plans[index] for index in numbers]),
            tokens=self.tokens,
            timings={
                "queued": self.started - self.submitted,
                "prior": now - self.started,
                "total": now - self.submitted,
            },
        )

    def result(self) -> GenerationResult:
        """The finished pictures in order."""
        outputs = [self.outputs[index] for index in range(self.request.num_images)]
        images: list[Image.Image] = [output.images[0] for output in outputs]
        began = self.submitted if self.started is None else self.started
        timings = {
            "queued": began - self.submitted,
            "prior": 0.0 if self.planned is None else self.planned - began,
            "denoise": sum(output.timings["denoise"] for output in outputs),
            "decode": sum(output.timings["decode"] for output in outputs),
            "total": time.monotonic() - self.submitted,
        }
        plan = join_pictures([output.plan for output in outputs])
        return GenerationResult(
            images=images,
            seeds=[output.seeds[0] for output in outputs],
            plan=plan,
            tokens=self.tokens,
            timings=timings,
        )

    def end(self, outcome: GenerationResult | InkwashError) -> bool:
        """Decide how it ends and tell it; False if that was decided before.

        The last event comes before the ticket is settled, and both at once, unless a callback of this request is
        running: they follow it then.
        """
        with self.lock:
            if self.ended:
                return False
            self.ended = True
            self.cancel.cancel()  # stops what other threads still do for it
            self.callbacks.put(partial(self._settle, outcome))
        self.callbacks.flush()
        return True

    def _settle(self, outcome: GenerationResult | InkwashError) -> None:
        self._call(last_event(outcome))
        for callback in self.handle.end(outcome):
            try:
                callback(self.handle)
            except Exception:
                log.exception("a done callback of request %s failed", self.handle.id)

    def _call(self, event: Event) -> None:
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except Exception:
            log.exception("the event callback of request %s failed", self.handle.id)


def last_event(outcome: GenerationResult | InkwashError) -> Event:
    """How an outcome is told."""
    if isinstance(outcome, GenerationResult):
        return events.Finished(result=outcome)
    if isinstance(outcome, Cancelled):
        return events.Aborted(reason=outcome.message)
    return events.Failed(error=outcome)


def as_outcome(error: BaseException, handle: RequestHandle) -> InkwashError:
    """Any exception of one request as the error its caller gets; the traceback of a surprise goes to the log."""
    if isinstance(error, InkwashError):
        return error
    if is_out_of_memory(error):
        log.warning("request %s ran out of memory: %s", handle.id, error)
        return RequestError(
            "The request needs more memory than is free: ask for a smaller picture or fewer references, or try later.",
            status=503,
            code="out_of_memory",
        )
    log.error("request %s failed", handle.id, exc_info=error)
    return RequestError(f"The request failed inside the engine ({type(error).__name__}).", status=500, code="internal")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, on the host or on the device."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("DefaultCPUAllocator: not enough memory", "can't allocate memory")
    )
