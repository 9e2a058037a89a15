"""The worker of the job queue: takes the oldest waiting job, draws it, keeps the answer.

A few jobs are at the engine at a time, so that they share its passes but leave its queue to those who wait for an
answer. When the server stops, jobs that are not finished wait again; the next start draws the same pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from inkwash.core import log as logs
from inkwash.core.errors import Cancelled
from inkwash.engine import events
from inkwash.engine.scheduler import EngineClosed, QueueFull
from inkwash.serve.answers import ImagesAnswer
from inkwash.serve.enhance import Enhanced
from inkwash.serve.errors import ErrorBody, described
from inkwash.serve.jobs import Job
from inkwash.serve.orders import without_stream
from inkwash.serve.runs import Run
from inkwash.serve.schemas import EditBody, GenerationBody
from inkwash.serve.service import NotReady
from inkwash.serve.uploads import Uploads

if TYPE_CHECKING:
    from inkwash.serve.service import Service

log = logs.get(__name__)

AT_ONCE = 4
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


def job_answer(job: Job) -> dict[str, Any]:
    """A job as JSON, without what it has not yet."""
    progress = None
    if job.progress is not None and job.status == "in_progress":
        progress = dict(zip(("stage", "done", "total"), job.progress, strict=True))
    said = {
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
    return {name: value for name, value in said.items() if value is not None}


class JobWorker:
    """Draws kept jobs for as long as its task runs."""

    def __init__(self, service: Service) -> None:
        self.service, self.store = service, service.jobs
        self._woken = asyncio.Event()
        self._running: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is a new job."""
        self._woken.set()

    def cancel(self, job_id: str) -> None:
        """Stop a job wherever it is."""
        self.store.cancel(job_id)
        if job_id in self._running:
            self._running[job_id].cancel()

    def adopt(self, run: Run, uploads: Uploads, owner: str, job_id: str) -> None:
        """Go on with a request whose client has left; its pictures are kept like a job's."""
        if self.store.find(job_id) is not None:
            job_id = f"{job_id}-{secrets.token_hex(4)}"
        order = run.order
        fields = order.body.model_dump(exclude_none=True, exclude={"images", "mask", "markup", "stream"})
        self.store.add(owner, order.kind, fields, uploads, own_id=job_id)
        if order.revised_prompt is not None:
            self.store.set_prompt(job_id, order.revised_prompt, ())
        self._running[job_id] = run
        self.service.spawn(self._end(job_id, self._answer_of(job_id, run)))

    async def work(self) -> None:
        """Take jobs until cancelled, then let the unfinished ones wait again."""
        try:
            while True:
                self._woken.clear()
                if self.service.state == "ready":
                    while len(self._tasks) < AT_ONCE and (taken := self.store.take()) is not None:
                        task = asyncio.create_task(self._draw(*taken))
                        self._tasks.add(task)
                        task.add_done_callback(self._finished)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), 1.0)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.wake()

    async def _draw(self, job: Job, uploads: Uploads) -> None:
        await self._end(job.id, self._answer(job, uploads))

    async def _end(self, job_id: str, answering: Coroutine[Any, Any, dict[str, Any]]) -> None:
        """Wait for a job's answer and keep whatever comes of it."""
        try:
            result = await answering
        except asyncio.CancelledError:
            if job_id in self._running:
                self._running[job_id].cancel()
            self.store.put_back(job_id)
            raise
        except (QueueFull, EngineClosed, NotReady):
            self.store.put_back(job_id)
            await asyncio.sleep(1.0)
        except Cancelled:
            self.store.cancel(job_id)
        except Exception as error:
            status, body = described(error)
            if status >= 500:
                log.error("job %s failed", job_id, exc_info=error)
            self.service.metrics.turned_away(status, body.code)
            self.store.finish(job_id, error=body.model_dump())
        else:
            self.store.finish(job_id, result=result)
        finally:
            self._running.pop(job_id, None)

    async def _answer(self, job: Job, uploads: Uploads) -> dict[str, Any]:
        body = (EditBody if job.kind == "image_edit" else GenerationBody).model_validate(job.body)
        enhanced = Enhanced(job.prompt, job.said[0] if job.said else None)
        if job.prompt is None and not job.said:
            enhanced = await self.service.rewrite(body)
            if enhanced != Enhanced(None):
                said = () if enhanced.warning is None else (enhanced.warning,)
                self.store.set_prompt(job.id, enhanced.revised, said)
        order = without_stream(await self.service.order(body, uploads, enhanced))
        run = Run(self.service.ready(), order, self.service.deadline(body))
        run.start()
        self._running[job.id] = run
        found = self.store.find(job.id)
        if found is None or found.status == "cancelled":  # cancelled while it was prepared
            run.cancel()
        return await self._answer_of(job.id, run)

    async def _answer_of(self, job_id: str, run: Run) -> dict[str, Any]:
        said_at = 0.0
        async for event in run.events():
            if isinstance(event, events.Progress) and time.monotonic() - said_at > _PROGRESS_S:
                said_at = time.monotonic()
                self.store.set_progress(job_id, event.stage, event.done, event.total)
            elif isinstance(event, events.Failed):
                raise event.error
            elif isinstance(event, events.Finished):
                return await self.service.answer(run.order, event.result, job_id)
        raise Cancelled
