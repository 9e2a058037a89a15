"""The server's state: a model that loads, proves itself with a picture, serves, drains and stops.

Everything that routes share hangs here; there are no globals, so a test may run several servers in one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from inkwash.core.errors import InkwashError, RequestError, WeightsError
from inkwash.engine.request import CancelToken, DrawRequest
from inkwash.media.process import MediaProcess
from inkwash.media.sandbox import give_back_memory
from inkwash.serve.answers import make_answer
from inkwash.serve.backend import LocalBackend
from inkwash.serve.enhance import Enhanced, enhance
from inkwash.serve.handles import PlanSigner
from inkwash.serve.jobs import JobStore
from inkwash.serve.metrics import Metrics
from inkwash.serve.models import chosen, joined_stats
from inkwash.serve.rates import Rates
from inkwash.serve.requests import PreparedRequest, prepare_request
from inkwash.serve.schemas import EditBody, ImageBody
from inkwash.serve.settings import ServeSettings
from inkwash.serve.state import StateFolder
from inkwash.serve.uploads import Uploads
from inkwash.serve.verified import OpenReader, VerifyingBackend, WordReader

if TYPE_CHECKING:
    from inkwash.engine.handle import GenerationResult
    from inkwash.engine.scheduler import EngineStats
    from inkwash.media.reader import MediaReader
    from inkwash.serve.backend import Backend
    from inkwash.serve.chat import Chat
    from inkwash.serve.runs import ImageRun

log = logging.getLogger(__name__)

Result = TypeVar("Result")
State = Literal["loading", "testing", "ready", "draining", "failed"]
SELF_TEST_SIDE = 256
SELF_TEST_STEPS = 4
END_S = 1.0  # for each part of a stop to end in, after the drain
DECODE_S = 120.0  # that the pictures of one edit may take


class JobRunner(Protocol):
    """What draws the jobs (`worker.JobWorker`), as the routes use it."""

    trouble: str | None

    def wake(self) -> None: ...

    async def cancel(self, job_id: str) -> None: ...

    def adopt(self, run: ImageRun, uploads: Uploads, owner: str, job_id: str) -> None: ...

    async def work(self) -> None: ...


class NotReady(RequestError):
    """The server cannot draw now; the answer says when to come back."""

    def __init__(self, state: State, retry_after: float) -> None:
        words = {"failed": "could not start", "draining": "is shutting down"}.get(state, "is starting")
        super().__init__(f"The server {words} ({state}): send the request again later.", status=503, code=state)
        self.retry_after = retry_after


class Service:
    """Made before the event loop; `start` runs inside it."""

    def __init__(
        self,
        settings: ServeSettings,
        load: Callable[[], Backend],
        *,
        also: Sequence[Callable[[], Backend]] = (),
        open_reader: OpenReader | None = None,
    ) -> None:
        """`also`: further models that draw. `open_reader`: opens what reads words in pictures, for `verify`."""
        self.settings = settings
        self._loads = (load, *also)
        self.backends: tuple[Backend, ...] = ()  # what draws; the first where a request names none
        self.state: State = "loading"
        self.failure: Exception | None = None
        self.started_s = time.monotonic()
        self.start_s: float | None = None  # seconds from start to ready
        self.drain_until = float("inf")
        self.self_test: dict[str, float] = {}
        self.folder = StateFolder(settings.folder)
        self.media = MediaProcess()  # decodes what clients send
        self.words = WordReader(open_reader)
        self.signer = PlanSigner(self.folder.secret(), settings.plan_ttl_s)
        self.jobs = JobStore(
            settings.folder,
            max_jobs=settings.max_jobs,
            ttl_s=settings.job_ttl_s,
            owners=len(settings.api_keys),
        )
        self.rates = Rates(settings.requests_per_minute, settings.concurrent_requests)
        self.metrics = Metrics(self.stats, lambda: self.state == "ready")
        self.seeing: str | None = None  # the model behind /v1/chat/completions
        self.chat: Chat | None = None  # that model, for the page
        self.on_ready: Callable[[], None] | None = None
        self.on_failure: Callable[[Exception], None] | None = None
        self._worker: JobRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def backend(self) -> Backend | None:
        """What draws where a request names no model."""
        return self.backends[0] if self.backends else None

    @backend.setter
    def backend(self, backend: Backend) -> None:
        self.backends = (backend, *self.backends[1:])

    @property
    def worker(self) -> JobRunner:
        """Who draws the jobs; there from the application's start on."""
        assert self._worker is not None, "the application has not started"
        return self._worker

    @worker.setter
    def worker(self, worker: JobRunner) -> None:
        self._worker = worker

    def stats(self) -> EngineStats | None:
        """The engine's figures, once there is one."""
        return joined_stats(self.backends) if self.backends else None

    def ready(self) -> Backend:
        """The backend; raises NotReady (503) before the self-test and while draining."""
        if self.state != "ready" or self.backend is None:
            raise NotReady(self.state, self._ready_in_s())
        return self.backend

    def drawing(self, order: PreparedRequest) -> Backend:
        """What draws an order: the backend, or one over it that reads the words back; raises NotReady (503)."""
        self.ready()
        backend = chosen(self.backends, order.body.model)
        return backend if order.verify is None else VerifyingBackend(backend, order, self.words)

    def restarting_s(self) -> float | None:
        """Seconds until a lost process of a model on several devices is likely to be back; None where all are there."""
        groups = [each.ranks() for each in self.backends if isinstance(each, LocalBackend)]
        if self.chat is not None and self.chat.pipe.shared is not None:
            groups.append(self.chat.pipe.shared.group)
        return max((each.back_in_s() for each in groups if each is not None and not each.up), default=None)

    def accepts(self) -> None:
        """Raise NotReady (503) where nothing new is taken any more."""
        if self.state == "draining":
            raise NotReady(self.state, self._ready_in_s())

    def wait_s(self) -> float:
        """Seconds until the engine is through with what it has, by its own estimate."""
        stats = self.stats()
        return max(1.0, 0.0 if stats is None else stats.estimated_wait_s)

    def _ready_in_s(self) -> float:
        """When to come back: a start is likely to take as long again as it has taken, a restart as long as the last."""
        elapsed = time.monotonic() - self.started_s
        if self.state == "draining":
            left = max(0.0, self.drain_until - time.monotonic())
            return left + (self.start_s or elapsed)
        return min(max(2.0, elapsed), 300.0)

    def stopping(self) -> NotReady:
        """What an answer becomes that the end of the drain cuts off."""
        return NotReady("draining", self._ready_in_s())

    async def start(self) -> None:
        """Load the model and draw the self-test picture, off the event loop."""
        self.media.warm()
        try:
            for load in self._loads:
                self.backends = (*self.backends, await _in_daemon(load))
            if self.state == "loading":
                self.state = "testing"
                await _in_daemon(self._draw_test)
            if self.state == "testing":
                self.state, self.start_s = "ready", time.monotonic() - self.started_s
                if self.on_ready is not None:
                    self.on_ready()
        except Exception as error:
            self.state, self.failure = "failed", error
            log.debug("start failed", exc_info=error)
            if self.on_failure is not None:
                self.on_failure(error)

    def _draw_test(self) -> None:
        """A real picture of every model."""
        begun = time.perf_counter()
        tokens = [_tested(backend) for backend in self.backends]
        self.self_test = {"seconds": round(time.perf_counter() - begun, 3), "different_tokens": float(min(tokens))}

    def drain(self) -> None:
        """Take nothing new; what was accepted is finished, within the time for it."""
        if self.state != "draining":
            self.state, self.drain_until = "draining", time.monotonic() + self.settings.drain_s

    async def stop(self) -> None:
        """After the last answer: wait for detached work, stop the engine, close the job file, let go of the folder.

        One part that fails to close keeps none of the others from it; what it failed with is raised at the end.
        """
        self.drain()
        async with contextlib.AsyncExitStack() as closing:  # the last one first
            closing.callback(self.folder.release)
            closing.callback(self.jobs.close)
            closing.callback(self.words.close)
            if self.chat is not None:
                closing.push_async_callback(asyncio.to_thread, self.chat.pipe.close)
            for backend in self.backends:
                closing.push_async_callback(asyncio.to_thread, backend.close, drain=False, timeout_s=END_S)
            closing.push_async_callback(self._end_tasks)
            closing.push_async_callback(asyncio.to_thread, self.media.close)

    async def _end_tasks(self) -> None:
        """Wait for detached work until the drain is over, then cancel it."""
        if self._tasks:
            await asyncio.wait(self._tasks.copy(), timeout=max(0.0, self.drain_until - time.monotonic()))
        left = self._tasks.copy()
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=END_S)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that outlives its request; `stop` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def rewrite(self, body: ImageBody) -> Enhanced:
        """The prompt through the enhancement endpoint, where it is wanted and there is one."""
        settings = self.settings.enhance
        wanted = body.enhance_prompt if body.enhance_prompt is not None else bool(settings and settings.always)
        if not wanted or body.plan is not None:
            warning = "enhance_prompt: has no effect on a given plan." if wanted else None
            return Enhanced(None, warning)
        if settings is None:
            return Enhanced(None, "enhance_prompt: this server has no enhancement endpoint.")
        enhanced = await enhance(body.prompt, settings, edit=isinstance(body, EditBody))
        if enhanced.warning is not None:
            log.warning("%s", enhanced.warning)
            return Enhanced(None, f"{enhanced.warning} The original prompt was drawn.")
        return enhanced

    async def order(self, body: ImageBody, uploads: Uploads, enhanced: Enhanced | None = None) -> PreparedRequest:
        """Check and decode a request off the event loop; decoding ends with the task that waits for it."""
        cancel = CancelToken()
        reader = self.media.within(cancel.is_cancelled, min(DECODE_S, self.deadline(body) or DECODE_S))
        try:
            return await asyncio.to_thread(self.prepare, body, uploads, enhanced, reader)
        finally:
            cancel.cancel()

    def prepare(
        self,
        body: ImageBody,
        uploads: Uploads,
        enhanced: Enhanced | None = None,
        reader: MediaReader | None = None,
    ) -> PreparedRequest:
        """The prepared request of a body and its pictures, for the API and the page alike."""
        assert self.backends, "a request is prepared after the server was ready"
        if body.verify:
            self.words.check()
        earlier = () if enhanced is None or enhanced.warning is None else (enhanced.warning,)
        return prepare_request(
            body,
            uploads,
            info=chosen(self.backends, body.model).info,
            settings=self.settings,
            signer=self.signer,
            reader=reader or self.reader(),
            prompt=None if enhanced is None else enhanced.revised,
            earlier=earlier,
        )

    def reader(self) -> MediaReader:
        """What decodes the files of one handler of the page."""
        return self.media.within(lambda: False, DECODE_S)

    async def answer(self, order: PreparedRequest, result: GenerationResult, answer_id: str) -> dict[str, Any]:
        """The JSON answer for a result, encoded off the event loop."""
        backend = chosen(self.backends, order.body.model)

        def build() -> dict[str, Any]:
            return make_answer(order, result, info=backend.info, signer=self.signer, answer_id=answer_id)

        made = await asyncio.to_thread(build)
        await asyncio.to_thread(give_back_memory)  # else requests of ever new shapes leave ever more of it behind
        self.metrics.drawn(result.timings, len(result.images))
        return made

    def deadline(self, body: ImageBody) -> float | None:
        """The shorter of the client's and the server's deadline."""
        limits = [each for each in (body.deadline_s, self.settings.deadline_s) if each is not None]
        return min(limits) if limits else None


def _tested(backend: Backend) -> int:
    """How many different tokens a real picture through both stages takes; raises if it cannot be one."""
    width, height = backend.info.natural_size
    request = DrawRequest(
        prompt='A poster that says "OK"',
        width=min(width, SELF_TEST_SIDE),
        height=min(height, SELF_TEST_SIDE),
        num_inference_steps=SELF_TEST_STEPS,
        seed=0,
    )
    result = backend.submit(request).result(timeout=1800)
    lowest, highest = result.images[0].convert("L").getextrema()
    tokens = len(result.plan.prior_token_ids.unique())
    if lowest == highest or tokens < 2:
        raise WeightsError(
            f"The self-test picture of {backend.info.name} is empty ({tokens} different tokens, brightness "
            f"{lowest} to {highest}): the checkpoint or the number type is damaged."
        )
    return tokens


async def _in_daemon(work: Callable[[], Result]) -> Result:
    """Long work in a thread that no shutdown waits for: loading may take minutes, and Ctrl-C must not."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def body() -> None:
        try:
            result = work()
        except Exception as error:
            _tell(future.set_exception, error)
        else:
            _tell(future.set_result, result)

    def _tell(setter: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if future.done() else setter(value))

    threading.Thread(target=body, name="inkwash-start", daemon=True).start()
    return await future


def sentence(error: Exception) -> str:
    """One line for an operator."""
    if isinstance(error, InkwashError):
        return error.message
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
