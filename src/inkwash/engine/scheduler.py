"""The engine: a bounded queue of requests over one pipeline, drawn by threads of its own.

    engine = Engine(GlmImagePipeline.from_pretrained("nano"))
    ticket = engine.submit(DrawRequest(prompt="two red circles", num_inference_steps=8), on_event=print)
    picture = ticket.result().images[0]

Any thread may submit, abort and ask for figures. Plans of all requests are drawn together (`planner.py`), pictures one
by one by decode workers beside it; a picture is the same alone and in company. How it works, with figures:
docs/engine.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.core.seeds import draw_seed
from inkwash.engine import events
from inkwash.engine.adapter_switch import AdapterSwitch
from inkwash.engine.estimate import Speeds, work_of
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.jobs import DeadlinePassed, Job, OnEvent, as_outcome
from inkwash.engine.output import Plan
from inkwash.engine.pictures import PictureDrawer
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.planner import Hooks, Planner, RequestSequence
from inkwash.engine.reference_cache import CacheStats, ReferenceCache
from inkwash.engine.request import DrawRequest

__all__ = ["DeadlinePassed", "Engine", "EngineClosed", "EngineStats", "QueueFull"]

log = logging.getLogger(__name__)

MAX_PARTIALS = 3
# Plans drawn together while decode workers are idle: on a CPU a row of eight is no cheaper than one of four.
FEW_ROWS = 4
MAX_DECODE_WORKERS = 4  # by default, on a CPU: more workers of fewer threads each would make a lone request wait longer
REFERENCE_BYTES = 2**28
END_S = 1.0  # for threads whose requests were aborted, where there is a limit
Task = Callable[[], None]
StepFn = Callable[[], bool]


class QueueFull(RequestError):
    """The queue holds as many requests as it may; `retry_after` is an estimate in seconds of when it has room."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message, status=429, code="queue_full")
        self.retry_after = retry_after


class EngineClosed(RequestError):
    """The engine is shutting down and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("The engine is shutting down: send the request again later.", status=503, code="closing")


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """What is under way, counters since the start, and the speeds that estimates are made from."""

    queued: int
    running: int
    finished: int
    cancelled: int
    failed: int
    rejected: int
    pictures: int
    tokens: int
    tokens_per_s: float  # of all sequences together, while they are drawn
    steps: int
    step_s: float  # of one picture by one decode worker
    estimated_wait_s: float  # of a request that came now
    references: CacheStats


class Engine:
    """Draws the requests of many callers over one pipeline, from any thread; close it when it is done with."""

    def __init__(
        self,
        pipe: GlmImagePipeline,
        *,
        max_queue: int = 64,
        slots: int = 8,
        decode_workers: int | None = None,
        reference_cache_bytes: int = REFERENCE_BYTES,
        plans_only: bool = False,
    ) -> None:
        """max_queue: requests that may wait. slots: plans drawn together. decode_workers: pictures drawn together.
        plans_only: a result is its plan, without pictures; they are drawn elsewhere (`submit(..., plan=...)`).

        On a CPU a decode worker computes with an equal share of torch's threads, and None makes one worker of each
        thread, up to four; with one, a lone picture has all threads to itself. On an accelerator None is one worker,
        beside which the plans of later pictures are drawn on a stream of their own.
        """
        limits.check_whole("max_queue", max_queue, 1, 1_000_000)
        limits.check_whole("slots", slots, 1, 1024)
        on_cpu = pipe.device.type == "cpu"
        self._threads_before = torch.get_num_threads()
        self.decode_workers = decode_workers or (min(self._threads_before, MAX_DECODE_WORKERS) if on_cpu else 1)
        limits.check_whole("decode_workers", self.decode_workers, 1, 1024)
        self.pipe, self.max_queue, self.slots, self.plans_only = pipe, max_queue, slots, plans_only
        self._references = ReferenceCache(reference_cache_bytes)
        pipe.stages = replace(pipe.stages, references=self._references)
        self._threads = max(1, self._threads_before // self.decode_workers) if on_cpu else None
        self._stream = torch.cuda.Stream(pipe.device) if pipe.device.type == "cuda" else None
        self._speeds = Speeds()
        hooks = Hooks(planned=self._planned, previewed=self._previewed, failed=self._end)
        self._planner = Planner(pipe, slots, self._speeds, hooks)
        self._drawer = PictureDrawer(pipe, self._speeds, self._references)
        self._adapters = AdapterSwitch(pipe)
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._previews: deque[tuple[Job, Task]] = deque()  # previews, which are quick and overdue at once
        self._pictures: deque[tuple[Job, Task]] = deque()
        self._planning, self._drawing, self._closing = False, 0, False
        self._background: deque[StepFn] = deque()  # other work that waits for a thread
        self._in_background, self._extra = False, False
        self._counts = dict.fromkeys(("finished", "cancelled", "failed", "rejected", "pictures"), 0)
        workers = self.decode_workers if on_cpu else self.decode_workers + 1
        self._workers = [
            threading.Thread(target=self._work, name=f"inkwash-engine-{number}", daemon=True)
            for number in range(workers)
        ]
        self._clock = threading.Thread(target=self._watch_deadlines, name="inkwash-deadlines", daemon=True)
        for thread in (*self._workers, self._clock):
            thread.start()

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle:
        """Queue a request. Raises QueueFull (429, with `retry_after`), EngineClosed (503) or RequestError (400).

        on_event: called with each event, from threads of the engine; it may submit and abort.
        deadline_s: seconds from now within which it must be finished.
        partial_images: 0 to 3 unfinished looks at each picture.
        plan: an earlier result's, to redraw it without the AR stage.
        """
        limits.check_whole("partial_images", partial_images, 0, MAX_PARTIALS)
        if deadline_s is not None:
            limits.check_real("deadline_s", deadline_s, 0.001, 1e7)
        request = replace(request, seed=draw_seed() if request.seed is None else request.seed)
        self._adapters.check(request)
        work = work_of(self.pipe.stages, request, planned=plan is not None)
        job = Job(request, work, on_event, plan, partial_images, deadline_s)
        with self._changed:
            if self._closing:
                raise EngineClosed
            if len(self._queue) >= self.max_queue:
                self._counts["rejected"] += 1
                raise self._queue_full()
            position, wait = len(self._jobs), self._waiting_s()
            self._jobs[job.handle.id] = job
            self._queue.append(job)
            self._changed.notify_all()
        job.open(events.Queued(position=position, eta_s=wait + self._own_s(job)))
        return job.handle

    def run_in_background(self, step: StepFn) -> None:
        """Call a step of other work, such as answers of a vision model, until it returns False.

        They come before everything else, in one thread at a time: one more than decode workers, which plans meanwhile.
        """
        with self._changed:
            if self._closing:
                raise EngineClosed
            self._background.append(step)
            if not self._extra:
                self._extra = True
                self._workers.append(threading.Thread(target=self._work, name="inkwash-engine-lent", daemon=True))
                self._workers[-1].start()
            self._changed.notify_all()

    def abort(self, request_id: str) -> bool:
        """Stop a request within one token or one step; False if it is unknown or has ended."""
        with self._changed:
            job = self._jobs.get(request_id)
        return job is not None and self._end(job, Cancelled("The request was cancelled."))

    def stats(self) -> EngineStats:
        """What is under way and what was done."""
        speeds = self._speeds
        with self._changed:
            return EngineStats(
                queued=len(self._queue),
                running=len(self._jobs) - len(self._queue),
                tokens=speeds.tokens,
                tokens_per_s=1 / speeds.token_s if speeds.tokens else 0.0,
                steps=speeds.steps,
                step_s=speeds.step_s,
                estimated_wait_s=self._waiting_s(),
                references=self._references.stats(),
                **self._counts,
            )

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        """Take no more requests; finish those accepted, or abort them, and those too that are left at the timeout.

        With a timeout it returns even where a thread does not: what it does ends with the process.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if not drain:
            self._abort_all()
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._workers:
            thread.join(None if limit is None else max(0.0, limit - time.monotonic()))
        if any(thread.is_alive() for thread in self._workers):
            self._abort_all()
            limit = None if timeout_s is None else time.monotonic() + END_S
            for thread in self._workers:
                thread.join(None if limit is None else max(0.0, limit - time.monotonic()))
        self._clock.join(None if timeout_s is None else END_S)
        if stuck := [thread.name for thread in (*self._workers, self._clock) if thread.is_alive()]:
            log.warning("the engine was closed while %s did not end", ", ".join(stuck))
        if self._threads is not None:
            torch.set_num_threads(self._threads_before)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(drain=False)

    # ---- threads

    def _work(self) -> None:
        """A worker: whatever is most pressing, until the engine is closed and nothing is left."""
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        while True:
            with self._changed:
                while (task := self._next()) is None:
                    if self._closing and not self._jobs and not self._background:
                        self._changed.notify_all()
                        return
                    self._changed.wait()
            task()

    def _next(self) -> Task | None:
        """The next task, under the lock: background steps, previews, then plans, then pictures."""
        if self._background and not self._in_background:
            self._in_background = True
            return self._run_background
        if self._drawing < self.decode_workers:
            for _, preview in self._take(self._previews):
                return self._on_decode_worker(preview)
        if not self._planning and (self._planner.busy or self._admissible()):
            self._planning = True
            return self._plan
        if self._drawing < self.decode_workers:
            for _, picture in self._take(self._pictures):
                return self._on_decode_worker(picture)
        return None

    def _run_background(self) -> None:
        """Steps of all the work in the background, in turn."""
        while True:
            with self._changed:
                if not self._background:
                    self._in_background = False
                    return
                step = self._background[0]
            if not step():
                with self._changed:
                    self._background.remove(step)
            elif len(self._background) > 1:
                with self._changed:
                    self._background.rotate(-1)

    def _take(self, waiting: deque[tuple[Job, Task]]) -> Iterator[tuple[Job, Task]]:
        """The first entry whose request has not ended."""
        while waiting:
            job, task = waiting.popleft()
            if not job.ended:
                yield job, task

    def _on_decode_worker(self, task: Task) -> Task:
        self._drawing += 1

        def run() -> None:
            try:
                task()
            finally:
                with self._changed:
                    self._drawing -= 1
                    self._changed.notify_all()

        return run

    def _plan(self) -> None:
        """Draw plans until there is nothing left to plan."""
        with self._own_stream():
            while True:
                with self._changed:
                    job = self._queue.popleft() if self._admissible() else None
                    if job is None and not self._planner.busy:
                        self._planning = False
                        return
                    limit = self._rows_to_advance()
                try:
                    if job is not None:
                        self._admit(job)
                    else:
                        self._planner.step(limit)
                except Exception:  # a fault of the planner itself: no request may wait for ever
                    log.exception("the planner failed")
                    self._reset_planner()

    def _rows_to_advance(self) -> int | None:
        """How many sequences to advance: all, or on a CPU with idle decode workers only the oldest few.

        Computing time there grows with the rows, so the first plans are finished sooner and no worker waits for all.
        """
        idle = self.decode_workers - 1 - self._drawing
        if self._threads is None or self._pictures or idle <= 0:
            return None
        return max(idle, FEW_ROWS)

    def _admissible(self) -> bool:
        """Whether the oldest waiting request may start: slots are free, and not too many plans wait to be decoded."""
        ahead = len(self._pictures) < self.slots + 2 * self.decode_workers
        return bool(self._queue) and self._planner.has_free_slot and ahead and self._weights_fit(self._queue[0])

    def _weights_fit(self, job: Job) -> bool:
        """Whether the adapters that act are a request's, or may be changed because nothing else is under way."""
        if self._adapters.acts_for(job.request):
            return True
        return not (self._drawing or self._planner.busy) and len(self._jobs) == len(self._queue)

    def _admit(self, job: Job) -> None:
        """Let a request's adapters act, then read its prompt."""
        try:
            self._adapters.apply(job.request)
        except Exception as error:
            self._end(job, as_outcome(error, job.handle))
            return
        self._planner.admit(job)

    def _reset_planner(self) -> None:
        with self._changed:
            jobs = [job for job in self._jobs.values() if job not in self._queue and job.planned is None]
        self._planner = Planner(self.pipe, self.slots, self._speeds, self._planner.hooks)
        for job in jobs:
            self._end(job, RequestError("The request failed inside the engine.", status=500, code="internal"))

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            yield

    def _watch_deadlines(self) -> None:
        while True:
            with self._changed:
                if self._closing and not self._jobs:
                    return
                now = time.monotonic()
                limits = [(job.deadline, job) for job in self._jobs.values() if job.deadline is not None]
                late = [job for deadline, job in limits if deadline <= now]
                if not late:
                    nearest = min((deadline for deadline, _ in limits), default=None)
                    self._changed.wait(None if nearest is None else nearest - now)
            for job in late:
                assert job.deadline_s is not None
                self._end(job, DeadlinePassed(job.deadline_s))

    # ---- one request

    def _planned(self, job: Job, index: int, plan: Plan) -> None:
        """A picture's plan is there: the picture may be drawn."""
        if self.plans_only:
            if job.add_plan(index, plan):
                self._end(job, job.plans_result())
            return
        with self._changed:
            self._pictures.append((job, partial(self._draw, job, index, plan)))
            self._changed.notify_all()

    def _previewed(self, sequence: RequestSequence, tokens: Tensor) -> None:
        if sequence.job.partial_images and not self.plans_only:
            for index in sequence.pictures:
                preview = partial(self._drawer.preview, sequence, index, tokens)
                with self._changed:
                    self._previews.append((sequence.job, preview))
                    self._changed.notify_all()

    def _draw(self, job: Job, index: int, plan: Plan) -> None:
        """One picture of a request; with the last one it ends."""
        try:
            output = self._drawer.draw(job, index, plan)
        except Exception as error:
            if not job.ended:
                self._end(job, as_outcome(error, job.handle))
            return
        with self._changed:
            self._counts["pictures"] += 1
        if job.add_picture(index, output) and not job.ended:
            self._end(job, job.result())

    def _end(self, job: Job, outcome: GenerationResult | InkwashError) -> bool:
        """The end of a request, whoever brings it about; False if it had ended already."""
        if not job.end(outcome):
            return False
        kind = "finished" if isinstance(outcome, GenerationResult) else "failed"
        kind = "cancelled" if isinstance(outcome, Cancelled) else kind
        with self._changed:
            self._counts[kind] += 1
            self._jobs.pop(job.handle.id, None)
            if job in self._queue:
                self._queue.remove(job)
            self._changed.notify_all()
        return True

    def _abort_all(self) -> None:
        with self._changed:
            jobs = list(self._jobs.values())
        for job in jobs:
            self._end(job, Cancelled("The engine was shut down before the request was finished."))

    # ---- estimates, under the lock

    def _left_s(self, job: Job) -> float:
        """Seconds that one decode worker needs for the rest of a request."""
        tokens = max(0, job.work.sequences * job.work.tokens - job.drawn_tokens)
        done = sum(list(job.denoised.values())) / max(1, job.work.steps)
        return self._speeds.seconds(job.work, tokens=tokens, pictures=max(0.0, job.work.pictures - done))

    def _waiting_s(self) -> float:
        """Seconds until all accepted work is done."""
        return sum(self._left_s(job) for job in self._jobs.values()) / self.decode_workers

    def _own_s(self, job: Job) -> float:
        """Seconds of a request once it is alone: its plans, then its pictures, as many at once as decode workers."""
        rounds = -(-job.work.pictures // self.decode_workers)
        return self._speeds.seconds(job.work, tokens=job.work.sequences * job.work.tokens, pictures=rounds)

    def _queue_full(self) -> QueueFull:
        """Room comes when the first running request ends, and it has a decode worker to itself at best."""
        running = [self._left_s(job) for job in self._jobs.values() if job not in self._queue]
        wait = max(1.0, min(running, default=0.0))
        return QueueFull(
            f"{len(self._queue)} requests are waiting, as many as the queue holds: try again in {wait:.0f} s.",
            retry_after=wait,
        )
