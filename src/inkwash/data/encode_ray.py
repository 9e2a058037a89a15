"""The same encoding on Ray Data: every worker process loads the networks once and writes whole shards.

A job is small (names and sizes), so only these travel; pictures are read and shards are written where the worker
runs, so all machines must see the same folders. One machine, several processes, works too: `ray` starts by itself.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from inkwash.core.errors import InkwashError, MissingExtraError
from inkwash.data.encode import Encoder, Job, run_job
from inkwash.data.shards import ShardIndex, read_sidecar


class RayRunner:
    """A `data.encode.Runner` on `workers` processes of a cluster (`address`), or of this machine."""

    def __init__(self, workers: int = 1, address: str | None = None, *, gpus_per_worker: float = 0.0) -> None:
        self.workers = workers
        self.address = address
        self.gpus_per_worker = gpus_per_worker

    def __call__(
        self, jobs: Sequence[Job], make: Callable[[], Encoder], folder: Path, batch: int
    ) -> Iterator[ShardIndex]:
        """Shards in the order in which they are finished. `make` travels to the workers and must be picklable."""
        if not jobs:
            return
        ray = _ray()
        started_here = not ray.is_initialized()
        if started_here:
            _start(ray, self.address, self.workers)
        try:
            jobs_there = ray.data.from_items([{"job": pickle.dumps(job)} for job in jobs])
            done = jobs_there.repartition(min(len(jobs), 4 * self.workers)).map(
                ShardWorker,
                fn_constructor_args=(make, str(Path(folder).resolve()), batch),
                concurrency=self.workers,
                num_gpus=self.gpus_per_worker,
            )
            for row in done.iter_rows():
                yield read_sidecar(folder / f"{row['name']}.json")
        except InkwashError:
            raise
        except Exception as error:
            cause = _cause(error)
            if cause is not None:
                raise cause from error
            raise
        finally:
            if started_here:
                ray.shutdown()


class ShardWorker:
    """One worker process: networks in memory, one shard per call."""

    def __init__(self, make: Callable[[], Encoder], folder: str, batch: int) -> None:
        self.encoder = make()
        self.folder = Path(folder)
        self.batch = batch

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        index = run_job(pickle.loads(row["job"]), self.encoder, self.folder, self.batch)
        return {"name": index.name}


def _start(ray: Any, address: str | None, workers: int) -> None:
    """Connect to a cluster, or start one of at least `workers` slots on this machine."""
    options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers + 1, "address": "local"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False, **options)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False


def _cause(error: BaseException | None) -> InkwashError | None:
    """The error of ours inside one that Ray wrapped, if there is one."""
    while error is not None:
        if isinstance(error, InkwashError):
            return error
        inner = getattr(error, "cause", None)
        error = inner if isinstance(inner, BaseException) and inner is not error else error.__cause__
    return None


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("Encoding with --ray", extra="cluster") from error
    return ray
