"""Deployments of Ray Serve: who draws next, what comes back, and what it means when a replica is gone.

Ray Serve places the replicas where there is room, sends each request to one of the less busy, starts a replica again
when it dies or stops answering, and streams what it yields. Requests that find all replicas full wait here, in the
order of their coming, so that a replica that comes back finds work and short questions never queue behind drawings.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import Cancelled, InkwashError

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.serve.settings import ClusterSettings, ServeSettings

ONGOING = 8  # requests of one replica; its engine shares passes among them
ASK_S = 900.0  # for an answer when the replicas are being started again, which loads the model first
STARTS = 2  # of a replica whose start fails, before the deployment is given up
HEALTH_S = 2.0
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception|Exit): (.+)$", re.MULTILINE)  # the last line of a traceback
_CHECK_S = 0.2


class ReplicaStartFailed(InkwashError):
    """A replica's own start failed; another attempt would fail as well."""


class ReplicaLost(InkwashError):
    """A replica died, or could not be reached, while it worked for us."""


class FairSemaphore:
    """So many at once, in the order of their coming."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._line: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, check: Callable[[], None]) -> Iterator[None]:
        """Wait for a place and keep it for the block; `check` is called meanwhile and may raise to give up."""
        me = object()
        with self._changed:
            self._line.append(me)
            try:
                while self._line[0] is not me or not self._free:
                    self._changed.wait(_CHECK_S)
                    check()
                self._free -= 1
            finally:
                self._line.remove(me)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()


class ReplicaStream:
    """What a replica yields; values, not references."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        with _losses():
            yield from self._generator
        self._ended = True

    def cancel(self) -> None:
        """Close it at the replica; nothing happens after its end."""
        if not self._ended:
            self._generator.cancel()


class Pool:
    """One deployment: replicas of one kind behind a handle of Ray Serve."""

    def __init__(self, name: str, handle: Any, replicas: int) -> None:
        self.name, self._handle = name, handle
        self._slots = FairSemaphore(replicas * ONGOING)

    def ask(self, method: str, *arguments: Any) -> Any:
        """One answer from any replica."""
        with _losses():
            return self._handle.options(method_name=method).remote(*arguments).result(timeout_s=ASK_S)

    @contextmanager
    def stream(
        self, method: str, arguments: Callable[[], tuple[Any, ...]], check: Callable[[], None]
    ) -> Iterator[ReplicaStream]:
        """A stream from a replica with room; it is closed with the block. `check` may end the wait for room."""
        with self._slots.acquire(check):
            with _losses():
                generator = self._handle.options(method_name=method, stream=True).remote(*arguments())
            stream = ReplicaStream(generator)
            try:
                yield stream
            finally:
                stream.cancel()


@contextmanager
def _losses() -> Iterator[None]:
    """Ray's many words for a lost replica become one."""
    from ray.exceptions import ObjectLostError, RayActorError, TaskCancelledError, WorkerCrashedError
    from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError, RequestCancelledError

    try:
        yield
    except DeploymentUnavailableError as error:
        raise ReplicaStartFailed(f"The replicas cannot be started: {_sentence(error)}") from None
    except (RequestCancelledError, TaskCancelledError):
        raise Cancelled from None
    except (RayActorError, WorkerCrashedError, ObjectLostError, ReplicaUnavailableError) as error:
        raise ReplicaLost(type(error).__name__) from None


def start_pools(settings: ServeSettings, cluster: ClusterSettings, options: LoadOptions) -> dict[str, Pool]:
    """Start every replica in the cluster that was joined; they load at the same time, and all are there at the end."""
    import ray
    from ray import serve

    from inkwash.serve.replicas import PictureReplica, PlannerReplica

    devices = options.tensor_parallel_size  # of one machine: Ray gives an actor all of its own there
    gpus = devices if ray.cluster_resources().get("GPU") and options.device != "cpu" else 0
    kinds: dict[str, tuple[type, int]] = {"whole": (PictureReplica, cluster.replicas)}
    if cluster.split:
        kinds = {"planner": (PlannerReplica, cluster.planners), "decoder": (PictureReplica, cluster.decoders)}
    arguments = (options, settings.max_queue + ONGOING)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    targets = []
    for name, (kind, count) in kinds.items():
        made: Any = serve.deployment(kind, name=name)
        deployment = made.options(
            num_replicas=count,
            max_ongoing_requests=4 * ONGOING,  # `FairSemaphore` bounds the drawings; the rest is for questions
            ray_actor_options={"num_cpus": devices, "num_gpus": gpus},
            health_check_period_s=HEALTH_S,
            graceful_shutdown_timeout_s=HEALTH_S,
            max_constructor_retry_count=STARTS,
            logging_config=quiet,
        )
        target = serve.RunTarget(deployment.bind(*arguments), name=application(settings, name), route_prefix=None)
        targets.append(target)
    try:
        serve.start(proxy_location="Disabled", logging_config=quiet)
        handles = serve.run_many(targets)
    except Exception as error:  # a bare RuntimeError; what the replica died of is in the status
        raise ReplicaStartFailed(f"The replicas cannot be started: {_cause() or _sentence(error)}") from None
    return {name: Pool(name, handle, kinds[name][1]) for name, handle in zip(kinds, handles, strict=True)}


def application(settings: ServeSettings, name: str) -> str:
    """What Ray Serve calls it: the same after a restart of this server, and another one for every server."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", f"inkwash-{socket.gethostname()}-{settings.port}-{name}")


def delete(settings: ServeSettings, names: Iterable[str]) -> None:
    """End our replicas in a cluster that goes on."""
    from ray import serve

    for name in names:
        serve.delete(application(settings, name))


def _cause() -> str | None:
    """What the first failed replica died of, where Ray Serve knows it."""
    from ray import serve

    messages = [each.message for app in serve.status().applications.values() for each in app.deployments.values()]
    return raised("\n".join(messages))


def raised(message: str) -> str | None:
    """What the exception said whose traceback stands in a message, around which Ray puts some of its own."""
    causes = [cause for cause in _RAISED.findall(message) if not cause.startswith("Traceback")]
    return causes[-1][:300] if causes else None


def _sentence(error: Exception) -> str:
    """The last line of a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
