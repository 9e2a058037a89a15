"""`--ray`: the same server in front of replicas, deployments of Ray Serve on one machine or on a cluster.

The front (this process) keeps everything that must be one: the queue's bound, keys, limits, jobs, handles. Two shapes
stand behind it. Replicas of the whole draw complete pictures. Planners (AR generator) and decoders (diffusion decoder
and VAE) scale separately: a planner returns prior tokens, and only those travel, with the request, to a decoder.

A replica that dies is started again by Ray Serve, and what it was drawing is drawn again elsewhere. Every request has
its seed, so the picture is the same, and what the client has heard already is not said twice.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import Cancelled, InkwashError, MissingExtraError, RequestError
from inkwash.engine import events
from inkwash.engine.events import Event
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.reference_cache import CacheStats
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import DeadlinePassed, EngineClosed, EngineStats, QueueFull
from inkwash.serve.backend import ModelInfo, OnEvent
from inkwash.serve.deduplicate import EventDeduplicator
from inkwash.serve.pools import ONGOING, Pool, ReplicaLost, ReplicaStream, delete, start_pools
from inkwash.serve.ray_session import RaySession

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.output import Plan
    from inkwash.serve.settings import ClusterSettings, ServeSettings

log = logging.getLogger(__name__)

ATTEMPTS = 6


def load_cluster(settings: ServeSettings, cluster: ClusterSettings, options: LoadOptions) -> RayBackend:
    """Join or start Ray, and start the replicas; `options` say how each of them loads the checkpoint."""
    try:
        import ray.serve  # noqa: F401
    except ModuleNotFoundError as missing:
        raise MissingExtraError("inkwash serve --ray", extra="cluster") from missing
    home = RaySession(cluster)
    pools = start_pools(settings, cluster, options)

    def leave() -> None:
        try:
            if home.shared:
                delete(settings, pools)
        finally:
            home.leave()

    return RayBackend(pools, cluster, max_queue=settings.max_queue, leave=leave)


class RayBackend:
    """The engine's interface over pools of replicas, named "whole", or "planner" and "decoder"."""

    def __init__(
        self, pools: dict[str, Pool], cluster: ClusterSettings, *, max_queue: int, leave: Callable[[], None]
    ) -> None:
        self.pools, self.cluster, self._leave = pools, cluster, leave
        self.capacity = max_queue + cluster.actors * ONGOING
        self._lock = threading.Lock()
        self._closing = False
        self._works: dict[str, _Work] = {}
        self._counts = dict.fromkeys(("finished", "cancelled", "failed", "rejected", "pictures", "tokens", "steps"), 0)
        self._mean_s = 5.0
        self.info: ModelInfo = self._call("info")

    def submit(
        self,
        request: DrawRequest,
        *,
        on_event: OnEvent | None = None,
        deadline_s: float | None = None,
        partial_images: int = 0,
        plan: Plan | None = None,
    ) -> RequestHandle:
        """Hand a request to a replica; raises QueueFull when as many are under way as the cluster may hold."""
        with self._lock:
            if self._closing:
                raise EngineClosed
            if len(self._works) >= self.capacity:
                self._counts["rejected"] += 1
                wait = self._wait_s(len(self._works) - self.capacity + 1)
                raise QueueFull(
                    f"{len(self._works)} requests are under way, as many as the cluster holds: try again in "
                    f"{wait:.0f} s.",
                    retry_after=wait,
                )
            position = max(0, len(self._works) - self.cluster.actors)
            work = _Work(RequestHandle(), request, EventDeduplicator(on_event), deadline_s, partial_images, plan)
            self._works[work.handle.id] = work
            eta = self._wait_s(len(self._works))
        work.publish(events.Queued(position=position, eta_s=eta))
        threading.Thread(target=self._run, args=(work,), name="inkwash-ray", daemon=True).start()
        return work.handle

    def abort(self, request_id: str) -> bool:
        """Stop a request."""
        work = self._works.get(request_id)
        if work is None:
            return False
        work.stop()
        return True

    def stats(self) -> EngineStats:
        """What the front has seen."""
        with self._lock:
            running = min(len(self._works), self.cluster.actors)
            return EngineStats(
                queued=len(self._works) - running,
                running=running,
                tokens_per_s=0.0,
                step_s=0.0,
                estimated_wait_s=self._wait_s(len(self._works)),
                references=CacheStats(hits=0, misses=0, entries=0, bytes=0),
                **self._counts,
            )

    def close(self, *, drain: bool = True, timeout_s: float | None = None) -> None:
        """Stop requests and replicas; a cluster that we joined goes on without them."""
        self._closing = True
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while drain and self._works and (end is None or time.monotonic() < end):
            time.sleep(0.05)
        with contextlib.ExitStack() as closing:  # the last one first
            closing.callback(self._leave)
            for work in list(self._works.values()):
                closing.callback(work.stop)

    def _wait_s(self, requests: int) -> float:
        return max(1.0, self._mean_s * requests / max(1, self.cluster.actors))

    def _call(self, method: str, *arguments: Any) -> Any:
        """A short question to any replica, asked again elsewhere if that one dies."""
        pool = self.pools["decoder" if self.cluster.split else "whole"]
        for attempt in range(ATTEMPTS):
            try:
                return pool.ask(method, *arguments)
            except ReplicaLost as error:
                _before_another_attempt(method, attempt, error)
        raise RequestError("No replica answered.", status=503, code="no_replica")

    def _run(self, work: _Work) -> None:
        begun = time.monotonic()
        outcome: GenerationResult | InkwashError
        try:
            outcome = self._draw(work)
        except InkwashError as error:
            outcome = Cancelled() if work.stopped.is_set() else error
        except Exception as error:
            log.exception("request %s failed", work.handle.id)
            message = f"The request failed: {type(error).__name__}."
            outcome = Cancelled() if work.stopped.is_set() else RequestError(message, status=500, code="internal_error")
        kind, last = _ending(outcome)
        with self._lock:
            del self._works[work.handle.id]
            self._counts[kind] += 1
            if isinstance(outcome, GenerationResult):
                self._counts["pictures"] += len(outcome.images)
                self._mean_s = 0.8 * self._mean_s + 0.2 * (time.monotonic() - begun)
        callbacks = work.handle.end(outcome)
        work.publish(last)
        for callback in callbacks:
            callback(work.handle)

    def _draw(self, work: _Work) -> GenerationResult:
        """Both stages, each repeated elsewhere when its replica dies."""
        if not self.cluster.split:
            return self._stage(work, "whole", work.plan)
        if work.plan is not None:
            return self._stage(work, "decoder", work.plan)
        planned = self._stage(work, "planner", None)
        result = self._stage(work, "decoder", planned.plan)
        return replace(result, timings={**result.timings, "prior": planned.timings["prior"]})

    def _stage(self, work: _Work, name: str, plan: Plan | None) -> GenerationResult:
        """One stage at a replica of a pool, repeated elsewhere when that one dies."""
        for attempt in range(ATTEMPTS):
            work.check()
            try:
                return self._follow(work, self.pools[name], plan)
            except ReplicaLost as error:
                work.check()
                _before_another_attempt(name, attempt, error)
                work.publish.again()
        raise RequestError("Replicas died again and again while drawing this request.", status=500, code="no_replica")

    def _follow(self, work: _Work, pool: Pool, plan: Plan | None) -> GenerationResult:
        """Hand on what a replica says, up to its result."""

        def arguments() -> tuple[Any, ...]:  # when there is room: until then the deadline comes nearer
            return work.request, plan, work.left_s(), work.partial_images

        with pool.stream("draw", arguments, work.check) as stream:
            work.stream = stream
            try:
                for event in stream:
                    work.check()
                    if isinstance(event, InkwashError):
                        raise event
                    if isinstance(event, GenerationResult):
                        return event
                    work.publish(event)
            finally:
                work.stream = None
        raise RequestError("A replica ended without a result.", status=500, code="internal_error")


class _Work:
    """One request at the cluster."""

    def __init__(
        self,
        handle: RequestHandle,
        request: DrawRequest,
        publish: EventDeduplicator,
        deadline_s: float | None,
        partial_images: int,
        plan: Plan | None,
    ) -> None:
        self.handle, self.request, self.publish, self.deadline_s = handle, request, publish, deadline_s
        self.partial_images, self.plan = partial_images, plan
        self.begun = time.monotonic()
        self.stopped = threading.Event()
        self.stream: ReplicaStream | None = None

    def left_s(self) -> float | None:
        """Seconds until the deadline."""
        return None if self.deadline_s is None else max(0.001, self.begun + self.deadline_s - time.monotonic())

    def check(self) -> None:
        """Raise if the request is to end here."""
        if self.stopped.is_set():
            raise Cancelled
        if self.deadline_s is not None and time.monotonic() > self.begun + self.deadline_s:
            raise DeadlinePassed(self.deadline_s)

    def stop(self) -> None:
        """Cancel here and at the replica."""
        self.stopped.set()
        stream = self.stream
        if stream is not None:
            stream.cancel()


def _ending(outcome: GenerationResult | InkwashError) -> tuple[str, Event]:
    if isinstance(outcome, GenerationResult):
        return "finished", events.Finished(result=outcome)
    if isinstance(outcome, Cancelled):
        return "cancelled", events.Aborted(reason=outcome.message)
    return "failed", events.Failed(error=outcome)


def _before_another_attempt(what: str, attempt: int, error: Exception) -> None:
    log.warning("a replica was lost during %s (%s); trying again", what, error)
    time.sleep(min(5.0, 0.2 * 2**attempt))
