"""The worker of the job queue: takes the job whose owner's turn it is, draws it, keeps the answer.

A few jobs are at the engine at a time, so that they share its passes but leave its queue to those who wait for an
answer. When the server stops, jobs that are not finished wait again; the next start draws the same pictures.

Nothing ends the worker but the server: where the job file cannot be written, it says so in the log and at /health,
waits longer each time, and goes on; an answer that could not be kept is kept later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, Field

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine import events
from inkwash.engine.scheduler import EngineClosed, QueueFull
from inkwash.serve.answers import ImagesAnswer
from inkwash.serve.enhance import Enhanced
from inkwash.serve.errors import ErrorBody, described
from inkwash.serve.jobs import StorageFailed, StoredJob
from inkwash.serve.rates import RateLimited
from inkwash.serve.requests import without_stream
from inkwash.serve.runs import ImageRun
from inkwash.serve.schemas import EditBody, GenerationBody
from inkwash.serve.service import END_S, NotReady
from inkwash.serve.uploads import Uploads

if TYPE_CHECKING:
    from inkwash.serve.service import Service

log = logging.getLogger(__name__)
Kept = TypeVar("Kept")

AT_ONCE = 4
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0  # between two tries where the job file fails
_PROGRESS_S = 0.5


class JobProgress(BaseModel):
    """How far a job is: `done` of `total` tokens or steps."""

    stage: str
    done: int
    total: int


class JobAnswer(BaseModel):
    """What GET /v1/jobs/{id} says."""

    id: str
    object: str = "image.job"
    kind: str
    status: str = Field(description="queued, in_progress, completed, failed or cancelled")
    created_at: int
    started_at: int | None = None
    finished_at: int | None = None
    progress: JobProgress | None = None
    result: ImagesAnswer | None = Field(None, description="The same answer as without background.")
    error: ErrorBody | None = None


def job_answer(job: StoredJob) -> dict[str, Any]:
    """A job as JSON, without what it has not yet."""
    progress = None
    if job.progress is not None and job.status == "in_progress":
        progress = dict(zip(("stage", "done", "total"), job.progress, strict=True))
    fields = {
        "id": job.id,
        "object": "image.job",
        "kind": job.kind,
        "status": job.status,
        "created_at": int(job.created),
        "started_at": None if job.started is None else int(job.started),
        "finished_at": None if job.finished is None else int(job.finished),
        "progress": progress,
        "result": job.result,
        "error": job.error,
    }
    return {name: value for name, value in fields.items() if value is not None}


class JobWorker:
    """Draws kept jobs for as long as its task runs."""

    def __init__(self, service: Service) -> None:
        self.service, self.store = service, service.jobs
        self._woken = asyncio.Event()
        self._running: dict[str, ImageRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.trouble: str | None = None  # why jobs stand still, for /health

    def wake(self) -> None:
        """There is a new job."""
        self._woken.set()

    async def cancel(self, job_id: str) -> None:
        """Stop a job wherever it is."""
        if job_id in self._running:
            self._running[job_id].cancel()
        await asyncio.to_thread(self.store.cancel, job_id)

    def adopt(self, run: ImageRun, uploads: Uploads, owner: str, job_id: str) -> None:
        """Go on with a request whose client has left; its pictures are kept like a job's."""
        self.service.spawn(self._adopted(run, uploads, owner, job_id))

    async def _adopted(self, run: ImageRun, uploads: Uploads, owner: str, job_id: str) -> None:
        order = run.order
        fields = order.body.model_dump(exclude_none=True, exclude={"images", "mask", "markup", "stream"})

        def keep() -> str:
            free = job_id if self.store.find(job_id) is None else f"{job_id}-{secrets.token_hex(4)}"
            self.store.add(owner, order.kind, fields, uploads, own_id=free)
            if order.revised_prompt is not None:
                self.store.set_prompt(free, order.revised_prompt, ())
            return free

        kept = await self._until_kept(keep)
        self._running[kept] = run
        await self._end(kept, self._answer_of(kept, run))

    async def work(self) -> None:
        """Take jobs until cancelled, then let the unfinished ones wait again."""
        wait = FIRST_WAIT_S
        try:
            while True:
                self._woken.clear()
                try:
                    if self.service.state == "ready":
                        await self._take_jobs()
                    wait = FIRST_WAIT_S
                    if self.trouble is not None and not self._tasks:
                        self._recovered()
                except Exception as error:
                    self._failed(error)
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, LONGEST_WAIT_S)
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):  # `wait_for` may swallow the cancellation before Python 3.12
                        await self._woken.wait()
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=END_S)

    async def _take_jobs(self) -> None:
        """Begin as many jobs as may be at the engine; the places of their owners are places of their requests, too."""
        busy: set[str] = set()
        while len(self._tasks) < AT_ONCE:
            owner = await asyncio.to_thread(self.store.next_owner, busy)
            if owner is None:
                return
            try:
                leave = self.service.rates.enter(owner)
            except RateLimited:
                busy.add(owner)
                continue
            try:
                taken = await asyncio.to_thread(self.store.take, owner)
            except BaseException:
                leave()
                raise
            if taken is None:
                leave()
                continue
            task = asyncio.create_task(self._draw(*taken))
            self._tasks.add(task)
            task.add_done_callback(partial(self._finished, leave))

    def _finished(self, leave: Callable[[], None], task: asyncio.Task[None]) -> None:
        leave()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
        self.wake()

    def _failed(self, error: BaseException) -> None:
        """Say why jobs stand still, once."""
        message = error.message if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
        if self.trouble != message:
            surprise = None if isinstance(error, StorageFailed) else error
            log.error("jobs stand still, trying again: %s", message, exc_info=surprise)
        self.trouble = message

    def _recovered(self) -> None:
        if self.trouble is not None:
            log.warning("jobs go on")
            self.trouble = None

    async def _until_kept(self, write: Callable[[], Kept]) -> Kept:
        """The outcome of a write to the job file, which is tried until it succeeds."""
        wait = FIRST_WAIT_S
        while True:
            try:
                kept = await asyncio.to_thread(write)
            except StorageFailed as error:
                self._failed(error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
            else:
                self._recovered()
                return kept

    async def _draw(self, job: StoredJob, uploads: Uploads) -> None:
        await self._end(job.id, self._answer(job, uploads))

    async def _end(self, job_id: str, answering: Coroutine[Any, Any, dict[str, Any]]) -> None:
        """Wait for a job's answer and keep whatever comes of it."""
        try:
            try:
                result = await answering
            except (QueueFull, EngineClosed, NotReady):
                await self._until_kept(lambda: self.store.put_back(job_id))
                await asyncio.sleep(1.0)
            except Cancelled:
                await self._until_kept(lambda: self.store.cancel(job_id))
            except Exception as error:
                status, body = described(error)
                if status >= 500:
                    log.error("job %s failed", job_id, exc_info=error)
                self.service.metrics.turned_away(status, body.code)
                failure = body.model_dump()
                await self._until_kept(lambda: self.store.finish(job_id, error=failure))
            else:
                await self._until_kept(lambda: self.store.finish(job_id, result=result))
        except asyncio.CancelledError:
            if job_id in self._running:
                self._running[job_id].cancel()
            with contextlib.suppress(StorageFailed):  # the next start takes it up again all the same
                self.store.put_back(job_id)
            raise
        finally:
            self._running.pop(job_id, None)

    async def _answer(self, job: StoredJob, uploads: Uploads) -> dict[str, Any]:
        body = (EditBody if job.kind == "image_edit" else GenerationBody).model_validate(job.body)
        enhanced = Enhanced(job.prompt, job.warnings[0] if job.warnings else None)
        if job.prompt is None and not job.warnings:
            enhanced = await self.service.rewrite(body)
            if enhanced != Enhanced(None):
                warnings = () if enhanced.warning is None else (enhanced.warning,)
                revised = enhanced.revised
                await self._until_kept(lambda: self.store.set_prompt(job.id, revised, warnings))
        order = without_stream(await self.service.order(body, uploads, enhanced))
        run = ImageRun(self.service.drawing(order), order, self.service.deadline(body))
        run.start()
        self._running[job.id] = run
        found = await asyncio.to_thread(self.store.find, job.id)
        if found is None or found.status == "cancelled":  # cancelled while it was prepared
            run.cancel()
        return await self._answer_of(job.id, run)

    async def _answer_of(self, job_id: str, run: ImageRun) -> dict[str, Any]:
        said_at = 0.0
        async for event in run.events():
            if isinstance(event, events.Progress) and time.monotonic() - said_at > _PROGRESS_S:
                said_at = time.monotonic()
                with contextlib.suppress(StorageFailed):  # said again half a second later
                    await asyncio.to_thread(self.store.set_progress, job_id, event.stage, event.done, event.total)
            elif isinstance(event, events.Failed):
                raise event.error
            elif isinstance(event, events.Finished):
                return await self.service.answer(run.order, event.result, job_id)
        raise Cancelled
