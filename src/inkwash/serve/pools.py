"""Pools of Ray actors: who is asked next, what comes back, and what it means when a replica is gone.

Plain actors do all that is needed here: Ray places them where there is room, starts them again when they die, and
streams what they yield. A request goes to the replica with the fewest under way; one that was just lost is asked last.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from inkwash.core.errors import ConfigError, InkwashError

if TYPE_CHECKING:
    from inkwash.serve.settings import ClusterSettings, ServeSettings

AVOID_S = 30.0  # after a loss: longer than a start of a small model, so that a living replica is preferred
ASK_S = 900.0  # for the first answer of a replica, which loads the model first


class StartFailed(InkwashError):
    """A replica's own start failed; another attempt would fail as well."""


class ReplicaLost(InkwashError):
    """A replica died, or could not be reached, while it worked for us."""


class Stream:
    """What a replica yields; values, not references."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        import ray

        with _losses():
            for reference in self._generator:
                yield ray.get(reference)
        self._ended = True

    def cancel(self) -> None:
        """Close it at the replica; nothing happens after its end."""
        import ray

        if not self._ended:
            ray.cancel(self._generator)


class Pool:
    """Replicas of one kind."""

    def __init__(self, name: str, actors: list[Any]) -> None:
        self.name, self.actors = name, actors
        self._lock = threading.Lock()
        self._active = [0] * len(actors)
        self._lost = [-AVOID_S] * len(actors)

    def ask(self, method: str, *arguments: Any) -> Any:
        """One answer from the least busy replica."""
        import ray

        with self._chosen() as actor, _losses():
            return ray.get(getattr(actor, method).remote(*arguments), timeout=ASK_S)

    @contextmanager
    def stream(self, method: str, *arguments: Any) -> Iterator[Stream]:
        """A stream from the least busy replica; it is closed with the block."""
        with self._chosen() as actor:
            with _losses():
                generator = getattr(actor, method).options(num_returns="streaming").remote(*arguments)
            stream = Stream(generator)
            try:
                yield stream
            finally:
                stream.cancel()

    def close(self) -> None:
        """End all replicas."""
        import ray

        for actor in self.actors:
            ray.kill(actor)

    @contextmanager
    def _chosen(self) -> Iterator[Any]:
        now = time.monotonic()
        with self._lock:
            order = range(len(self.actors))
            index = min(order, key=lambda i: (now - self._lost[i] < AVOID_S, self._active[i], self._lost[i]))
            self._active[index] += 1
        try:
            yield self.actors[index]
        except ReplicaLost:
            self._lost[index] = time.monotonic()
            raise
        finally:
            with self._lock:
                self._active[index] -= 1


@contextmanager
def _losses() -> Iterator[None]:
    """Ray's many words for a lost replica become one; one that cannot even start is another matter."""
    from ray.exceptions import ActorDiedError, ObjectLostError, RayActorError, WorkerCrashedError

    try:
        yield
    except ActorDiedError as error:
        if "creation task" in str(error):
            raise StartFailed(f"A replica could not be started: {str(error).strip().splitlines()[-1][:300]}") from None
        raise ReplicaLost("ActorDiedError") from None
    except (RayActorError, WorkerCrashedError, ObjectLostError) as error:
        raise ReplicaLost(type(error).__name__) from None


def start_pools(settings: ServeSettings, cluster: ClusterSettings) -> dict[str, Pool]:
    """Join or start Ray and start every replica; they load at the same time."""
    import ray

    from inkwash.serve.cluster import ONGOING
    from inkwash.serve.replicas import Painter, Planner

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        else:
            ray.init(
                num_cpus=max(os.cpu_count() or 1, cluster.actors),
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                _node_ip_address="127.0.0.1",
            )
    except Exception as error:  # Ray raises bare ones, for a slow start too
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"The Ray cluster {address or 'on this machine'} cannot be used: {said}") from None
    gpus = 1 if ray.cluster_resources().get("GPU") and settings.device != "cpu" else 0
    kinds: dict[str, tuple[type, int]] = {"whole": (Painter, cluster.replicas)}
    if cluster.split:
        kinds = {"planner": (Planner, cluster.planners), "decoder": (Painter, cluster.decoders)}
    arguments = (settings.model, settings.device, settings.dtype, settings.max_queue + ONGOING)
    pools = {}
    for name, (kind, count) in kinds.items():
        remote: Any = ray.remote(kind).options(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_concurrency=4 * ONGOING)
        pools[name] = Pool(name, [remote.remote(*arguments) for _ in range(count)])
    for pool in pools.values():
        pool.ask("pid")
    return pools


def leave_cluster() -> None:
    """Disconnect; a Ray that we started ends with it."""
    import ray

    if ray.is_initialized():
        ray.shutdown()
