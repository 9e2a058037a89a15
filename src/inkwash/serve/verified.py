"""Drawing whose words are read back, as the backend of one order: every attempt waits in the queue as a request does.

    run = Run(VerifyingBackend(backend, order, words), order, deadline_s)

To its caller it is one request: one ticket, the progress of all attempts, a `PictureDone` for each picture that is
kept, one end. A thread of its own draws the attempts of `engine.verify` one after another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, MissingExtraError, RequestError
from inkwash.core.limits import MAX_SEED
from inkwash.engine import events
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.output import join_pictures
from inkwash.engine.scheduler import DeadlinePassed, QueueFull
from inkwash.engine.verify import MAX_ATTEMPTS, Attempt, Reading, Verified, WantedTexts, best_attempt, edit_targets
from inkwash.engine.verify import check_verifiable as texts_of

if TYPE_CHECKING:
    from inkwash.engine.output import Plan
    from inkwash.engine.request import DrawRequest, TokenCounts
    from inkwash.engine.scheduler import EngineStats
    from inkwash.engine.verify import ReadPicture
    from inkwash.serve.backend import Backend, ModelInfo, OnEvent
    from inkwash.serve.requests import PreparedRequest

log = logging.getLogger(__name__)
LONGEST_WAIT_S = 1.0  # for room in a full queue, between two attempts

OpenReader = Callable[[], "ReadPicture"]  # MissingExtraError where there is nothing to read with


class WordReader:
    """What reads pictures for a server: opened when it is first needed, in one thread, which keeps its networks."""

    def __init__(self, open_reader: OpenReader | None) -> None:
        self._open = open_reader
        self._read: ReadPicture | None = None
        self._opening = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="inkwash-words")

    def warm(self) -> None:
        """Open the reader now and read an empty picture, so that the first drawing does not wait for it."""

        def open_it() -> None:
            with contextlib.suppress(InkwashError):  # told when somebody asks for `verify`
                self.check()
                assert self._read is not None
                self._read(Image.new("RGB", (64, 64), "white"))

        self._pool.submit(open_it)

    @property
    def possible(self) -> bool:
        """Whether this server was given a reader at all."""
        return self._open is not None

    def check(self) -> None:
        """Raise RequestError (400) where this server cannot read words."""
        try:
            if self._open is None:
                raise MissingExtraError("Reading text", extra="ocr")
            with self._opening:
                self._read = self._read or self._open()
        except MissingExtraError:
            raise RequestError(
                "verify: this server has nothing to read words with (its extra 'ocr' is not installed): leave verify "
                "out.",
                code="unsupported_parameter",
                param="verify",
            ) from None

    def __call__(self, image: Image.Image) -> Reading:
        """The lines of a picture."""
        self.check()
        assert self._read is not None
        return self._pool.submit(self._read, image).result()

    def close(self) -> None:
        """Start no further reading."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, kw_only=True)
class VerifiedResult(GenerationResult):
    """The kept pictures with what was read in each, and how many plans were sampled for them."""

    verified: tuple[Verified, ...]
    plans: int


@dataclass(frozen=True, kw_only=True)
class VerifiedPicture(events.PictureDone):
    """A picture that is kept."""

    verified: Verified


@dataclass(frozen=True, kw_only=True)
class AttemptProgress(events.Progress):
    """How far one attempt is; `read` are the lines of the attempt before it, None for the first."""

    attempt: int  # from 1
    attempts: int  # at most
    read: tuple[str, ...] | None


def wrong_words(verified: Verified, index: int, count: int) -> str | None:
    """The warning about a picture whose words stayed wrong."""
    if verified.right:
        return None
    wanted = ", ".join(f'"{text}"' for text in verified.wanted) or "the removed text to be gone"
    read = " / ".join(verified.best.lines) or "nothing"
    which = f"picture {index + 1}" if count > 1 else "the picture"
    attempts = f"{verified.attempts} attempt{'s' if verified.attempts != 1 else ''}"
    return (
        f"verify: the words of {which} are still wrong after {attempts} (asked for {wanted}, read {read}), so the best "
        "attempt is returned: allow more with tries, or take another seed."
    )


class VerifyingBackend:
    """A backend for one order with `verify`; everything but drawing is the wrapped one's."""

    def __init__(self, inner: Backend, order: PreparedRequest, read: ReadPicture) -> None:
        assert order.verify is not None, "an order that is not verified needs no such backend"
        self.inner, self.order, self.read, self.verify = inner, order, read, order.verify
        self._drawings: dict[str, _Drawing] = {}

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle:
        """Queue the first attempt, and the others as they are needed; QueueFull where there is no room for the first.

        With a given plan every attempt has that plan and another noise.
        """
        drawing = _Drawing(self, request, on_event or (lambda event: None), deadline_s, partial_images, plan)
        drawing.start()
        self._drawings[drawing.handle.id] = drawing
        return drawing.handle

    def abort(self, request_id: str) -> bool:
        """Stop the attempt at hand, and draw no other."""
        drawing = self._drawings.get(request_id)
        return drawing is not None and drawing.cancel()

    def stats(self) -> EngineStats:
        return self.inner.stats()

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        self.inner.close(drain=drain, timeout_s=timeout_s)


@dataclass(frozen=True)
class _Drawn:
    image: Image.Image
    plan: Plan
    tokens: TokenCounts


@dataclass
class _Drawing:
    """One request of a verifying backend, drawn in a thread."""

    backend: VerifyingBackend
    request: DrawRequest
    on_event: OnEvent
    deadline_s: float | None
    partial_images: int
    plan: Plan | None  # given; else that of the attempt before
    handle: RequestHandle = field(default_factory=RequestHandle)
    begun: float = field(default_factory=time.monotonic)
    timings: dict[str, float] = field(default_factory=dict)
    plans: int = 0
    attempt: RequestHandle | None = None
    number: int = 0  # of the attempt at hand
    read: tuple[str, ...] | None = None  # in the attempt before it
    cancelled: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.shared_plan = self.plan
        assert self.request.seed is not None, "an order has a seed"
        self.attempt = self._submit(0, self.request.seed, self.shared_plan, self._left())
        threading.Thread(target=self._work, name="inkwash-verify", daemon=True).start()

    def cancel(self) -> bool:
        if self.handle.done():
            return False
        self.cancelled.set()
        if (attempt := self.attempt) is not None:
            self.backend.inner.abort(attempt.id)
        return True

    def _work(self) -> None:
        outcome: GenerationResult | InkwashError
        last: events.Event
        try:
            outcome = self._draw_all()
            last = events.Finished(result=outcome)
        except Cancelled as error:
            outcome, last = error, events.Aborted(reason=error.message)
        except DeadlinePassed as error:
            outcome = error if self.deadline_s is None else DeadlinePassed(self.deadline_s)
            last = events.Failed(error=outcome)
        except InkwashError as error:
            outcome, last = error, events.Failed(error=error)
        except Exception as error:
            log.error("reading words failed", exc_info=error)
            outcome = InkwashError("The words of the picture could not be read.")
            last = events.Failed(error=outcome)
        callbacks = self.handle.end(outcome)
        self.on_event(last)
        for callback in callbacks:
            callback(self.handle)

    def _draw_all(self) -> VerifiedResult:
        count, first = self.request.num_images, self.request.seed
        assert first is not None
        target = self._target()
        seeds = [(first + index) % (MAX_SEED + 1) for index in range(count)]
        kept = [self._picture(index, seed, target) for index, seed in enumerate(seeds)]
        return VerifiedResult(
            images=[each.image.image for each in kept],
            seeds=list(seeds),
            plan=join_pictures([each.image.plan for each in kept]),
            tokens=kept[0].image.tokens,
            timings=dict(self.timings),
            verified=tuple(kept),
            plans=self.plans,
        )

    def _target(self) -> WantedTexts:
        """What the pictures must show; an edit is told from the words of the picture before it."""
        if not self.request.images:
            return WantedTexts(texts=texts_of(self.request.prompt))
        canvas = self.backend.order.canvas
        before = self.request.images[0] if canvas is None else canvas.original
        return edit_targets(self.request.prompt, self._read(before))

    def _picture(self, index: int, seed: int, target: WantedTexts) -> Verified:
        verify = self.backend.verify
        if self.shared_plan is not None:
            verify = replace(verify, noises_per_plan=MAX_ATTEMPTS)

        self.read = None

        def read(drawn: _Drawn) -> Reading:
            reading = self._read(self.backend.order.finish(drawn.image))
            self.read = reading.lines
            return reading

        verified = best_attempt(target, seed, partial(self._draw, index), read, verify)
        kept = verified.image
        self.on_event(VerifiedPicture(index=index, image=kept.image, seed=seed, tokens=kept.tokens, verified=verified))
        return verified

    def _read(self, image: Image.Image) -> Reading:
        begun = time.monotonic()
        reading = self.backend.read(image)
        self._took({"verify": time.monotonic() - begun})
        return reading

    def _took(self, timings: Mapping[str, float]) -> None:
        """Seconds of each stage, of all attempts together."""
        for stage, seconds in timings.items():
            self.timings[stage] = self.timings.get(stage, 0.0) + seconds

    def _draw(self, index: int, attempt: Attempt) -> _Drawn:
        self.number = attempt.number
        plan = self.plan if attempt.noise else self.shared_plan
        if index or attempt.number:  # the very first was queued when the request came
            self.attempt = self._queued(index, attempt.noise_seed, plan)
        assert self.attempt is not None
        result = self.attempt.result()
        self._took(result.timings)
        self.plans += plan is None
        self.plan = result.plan
        return _Drawn(result.images[0], result.plan, result.tokens)

    def _queued(self, index: int, seed: int, plan: Plan | None) -> RequestHandle:
        """A further attempt; waits where the queue is full."""
        while True:
            try:
                handle = self._submit(index, seed, plan, self._left())
            except QueueFull as full:
                self.cancelled.wait(min(full.retry_after, LONGEST_WAIT_S))
            else:
                self.attempt = handle
                if self.cancelled.is_set():
                    self.backend.inner.abort(handle.id)
                return handle

    def _submit(self, index: int, seed: int, plan: Plan | None, deadline_s: float | None) -> RequestHandle:
        return self.backend.inner.submit(
            replace(self.request, num_images=1, seed=seed),
            on_event=partial(self._on_event, index),
            deadline_s=deadline_s,
            partial_images=self.partial_images,
            plan=plan,
        )

    def _left(self) -> float | None:
        """Seconds until the deadline of the whole; raises when it has passed, or when nobody waits any more."""
        if self.cancelled.is_set():
            raise Cancelled("The request was cancelled.")
        if self.deadline_s is None:
            return None
        left = self.begun + self.deadline_s - time.monotonic()
        if left <= 0:
            raise DeadlinePassed(self.deadline_s)
        return left

    def _on_event(self, index: int, event: events.Event) -> None:
        """What the caller hears of an attempt."""
        if isinstance(event, events.Partial):
            self.on_event(replace(event, index=index))
        elif isinstance(event, events.Progress):
            most = self.backend.verify.most
            self.on_event(AttemptProgress(**vars(event), attempt=self.number + 1, attempts=most, read=self.read))
        elif isinstance(event, events.Queued) and self.attempt is None:
            self.on_event(event)
