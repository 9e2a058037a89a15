"""The same encoding on Ray: every worker process loads the networks once and writes whole shards.

Ray Data spreads the jobs; where its table library (pyarrow) is missing, Ray's own pool of actors does.

A job is small (names and sizes), so only these travel; pictures are read and shards are written where the worker
runs, so all machines must see the same folders. One machine, several processes, works too: `ray` starts by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from inkwash.core.errors import InkwashError, MissingExtraError
from inkwash.data.encode import ExampleEncoder, ShardTask, run_job
from inkwash.data.shards import ShardIndex, read_sidecar

STORE_BYTES = 128 * 2**20  # only names travel
Row = dict[str, Any]  # {"name": of the shard, "failure": a pickled error or nothing}


class RayRunner:
    """A `data.encode.Runner` on `workers` processes of a cluster (`address`), or of this machine."""

    def __init__(self, workers: int = 1, address: str | None = None, *, gpus_per_worker: float = 0.0) -> None:
        self.workers = workers
        self.address = address
        self.gpus_per_worker = gpus_per_worker

    def __call__(
        self, jobs: Sequence[ShardTask], make: Callable[[], ExampleEncoder], folder: Path, batch: int
    ) -> Iterator[ShardIndex]:
        """Shards in the order in which they are finished. `make` travels to the workers and must be picklable."""
        if not jobs:
            return
        ray = _ray()
        started_here = not ray.is_initialized()
        if started_here:
            _start(ray, self.address, self.workers)
        try:
            rows = [{"job": pickle.dumps(job)} for job in jobs]
            settings = (make, str(Path(folder).resolve()), batch)
            spread = self._on_data if importlib.util.find_spec("pyarrow") else self._on_actors
            for row in spread(ray, rows, settings):
                if row["failure"]:
                    raise pickle.loads(row["failure"])
                yield read_sidecar(folder / f"{row['name']}.json")
        finally:
            if started_here:
                ray.shutdown()

    def _on_data(self, ray: Any, rows: list[dict[str, bytes]], settings: tuple[Any, ...]) -> Iterator[Row]:
        """Ray Data: the rows in blocks over a pool of `workers` actors; what they answer, as shards are finished."""
        data = importlib.import_module("ray.data")
        data.DataContext.get_current().enable_progress_bars = False
        jobs = data.from_items(rows, override_num_blocks=min(len(rows), 4 * self.workers))
        done = jobs.map(
            ShardWorker,
            fn_constructor_args=settings,
            compute=data.ActorPoolStrategy(size=self.workers),
            num_gpus=self.gpus_per_worker,
        )
        yield from done.iter_rows()

    def _on_actors(self, ray: Any, rows: list[dict[str, bytes]], settings: tuple[Any, ...]) -> Iterator[Row]:
        """The same on Ray alone."""
        pool = importlib.import_module("ray.util").ActorPool
        worker = ray.remote(num_gpus=self.gpus_per_worker)(ShardWorker)
        actors = pool([worker.remote(*settings) for _ in range(self.workers)])
        yield from actors.map_unordered(lambda actor, row: actor.run.remote(row), rows)


class ShardWorker:
    """One worker process: networks in memory, one shard per call."""

    def __init__(self, make: Callable[[], ExampleEncoder], folder: str, batch: int) -> None:
        self.encoder = make()
        self.folder = Path(folder)
        self.batch = batch

    def __call__(self, row: dict[str, Any]) -> Row:
        return self.run(row)

    def run(self, row: dict[str, Any]) -> Row:
        """Encode and write the shard of one job; an error of ours is an answer, since Ray's wrappers lose its kind."""
        try:
            index = run_job(pickle.loads(row["job"]), self.encoder, self.folder, self.batch)
        except InkwashError as error:
            return {"name": "", "failure": pickle.dumps(error)}
        return {"name": index.name, "failure": b""}


def _start(ray: Any, address: str | None, workers: int) -> None:
    """Connect to a cluster, or start one of at least `workers` slots on this machine."""
    options: dict[str, Any] = (
        {"address": address}
        if address
        else {"num_cpus": workers + 1, "address": "local", "object_store_memory": STORE_BYTES}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False, **options)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("Encoding with --ray", extra="cluster") from error
    return ray
