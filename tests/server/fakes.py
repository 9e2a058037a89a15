"""A backend without a model: instant, slow or failing on demand, for tests of everything around the engine.

It keeps the engine's promises that matter here: a bounded queue, events in order from its own thread, cancellation
between two steps, deadlines, and a picture that depends on prompt and seed only.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.engine import events
from inkwash.engine.defaults import ModelDefaults
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.output import Plan
from inkwash.engine.reference_cache import CacheStats
from inkwash.engine.request import DrawRequest, TokenCounts
from inkwash.engine.scheduler import DeadlinePassed, EngineStats, QueueFull
from inkwash.serve.backend import ModelInfo, OnEvent


@dataclass(eq=False)
class Work:
    """One request in the fake's queue."""

    handle: RequestHandle
    request: DrawRequest
    on_event: OnEvent | None
    plan: Plan | None
    partial_images: int
    deadline_s: float | None
    begun: float = field(default_factory=time.monotonic)
    cancel: threading.Event = field(default_factory=threading.Event)


class FakeBackend:
    """One worker thread; `step_s` seconds for every denoising step."""

    def __init__(self, *, step_s: float = 0.0, max_queue: int = 8) -> None:
        self.info = ModelInfo(name="nano", natural_size=(256, 256), defaults=ModelDefaults(steps=20))
        self.step_s, self.max_queue = step_s, max_queue
        self.drawn: list[DrawRequest] = []
        self.cancelled = 0
        self.failed = 0
        self.rejected = 0
        self.gate: threading.Event | None = None  # where set, pictures wait for it
        self._works: dict[str, Work] = {}
        self._queue: queue.Queue[Work | None] = queue.Queue()
        self._running: Work | None = None
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle:
        """Queue a request."""
        if self._queue.qsize() >= self.max_queue:
            self.rejected += 1
            raise QueueFull("The queue is full.", retry_after=3.2)
        work = Work(RequestHandle(), request, on_event, plan, partial_images, deadline_s)
        self._works[work.handle.id] = work
        self._tell(work, events.Queued(position=self._queue.qsize(), eta_s=1.0))
        self._queue.put(work)
        return work.handle

    def abort(self, request_id: str) -> bool:
        """Stop a request."""
        work = self._works.get(request_id)
        if work is None:
            return False
        work.cancel.set()
        return True

    def stats(self) -> EngineStats:
        """Counters."""
        values: dict[str, Any] = dict.fromkeys(EngineStats.__dataclass_fields__, 0)
        values |= {
            "queued": self._queue.qsize(),
            "running": int(self._running is not None),
            "finished": len(self.drawn),
            "cancelled": self.cancelled,
            "failed": self.failed,
            "rejected": self.rejected,
            "references": CacheStats(hits=1, misses=2, entries=1, bytes=99),
        }
        return EngineStats(**values)

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        """Stop the thread."""
        if not drain:
            for work in self._works.values():
                work.cancel.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _loop(self) -> None:
        while (work := self._queue.get()) is not None:
            self._running = work
            outcome: GenerationResult | InkwashError
            try:
                outcome = self._draw(work)
            except InkwashError as error:
                outcome = error
            self._running = None
            del self._works[work.handle.id]
            last: events.Event
            if isinstance(outcome, GenerationResult):
                self.drawn.append(work.request)
                last = events.Finished(result=outcome)
            elif isinstance(outcome, Cancelled):
                self.cancelled += 1
                last = events.Aborted(reason=outcome.message)
            else:
                self.failed += 1
                last = events.Failed(error=outcome)
            for callback in work.handle.end(outcome):
                callback(work.handle)
            self._tell(work, last)

    def _draw(self, work: Work) -> GenerationResult:
        request = work.request
        if "out of memory" in request.prompt:
            raise RequestError("Out of memory.", status=500, code="out_of_memory")
        width, height = request.width or 256, request.height or 256
        for step in range(request.num_inference_steps):
            while self.gate is not None and not self.gate.wait(0.01):
                self._check(work)
            self._check(work)
            time.sleep(self.step_s)
            self._tell(work, events.Progress(stage="denoise", done=step + 1, total=request.num_inference_steps))
            if step < work.partial_images:
                self._tell(work, events.Partial(index=0, image=Image.new("RGB", (64, 64), "grey"), kind="preview"))
        assert request.seed is not None
        pictures = [fake_picture(request, request.seed + k, (width, height)) for k in range(request.num_images)]
        counts = TokenCounts(text=len(request.prompt), image=64 * len(request.images), drawn=80)  # made up
        for index, picture in enumerate(pictures):
            self._tell(work, events.PictureDone(index=index, image=picture, seed=request.seed + index, tokens=counts))
        tokens = torch.arange(height // 16 * (width // 16)).repeat(request.num_images, 1) % 50
        return GenerationResult(
            images=pictures,
            seeds=[request.seed + k for k in range(request.num_images)],
            plan=work.plan or Plan(tokens),
            tokens=counts,
            timings={"queued": 0.0, "prior": 0.1, "denoise": 0.2, "total": 0.3},
        )

    def _check(self, work: Work) -> None:
        if work.cancel.is_set():
            raise Cancelled
        if work.deadline_s is not None and time.monotonic() - work.begun > work.deadline_s:
            raise DeadlinePassed(work.deadline_s)

    def _tell(self, work: Work, event: events.Event) -> None:
        if work.on_event is not None:
            work.on_event(event)


def fake_picture(request: DrawRequest, seed: int, size: tuple[int, int]) -> Image.Image:
    """Noise that only prompt, steps and seed decide; inside a mask where there is one."""
    key = hashlib.sha256(f"{request.prompt}|{seed}|{request.num_inference_steps}".encode()).digest()
    pixels = np.random.default_rng(int.from_bytes(key[:8], "little")).integers(0, 255, (size[1], size[0], 3))
    picture = Image.fromarray(pixels.astype(np.uint8))
    if request.mask is not None:
        picture = Image.composite(picture, request.images[0], request.mask)
    return picture
