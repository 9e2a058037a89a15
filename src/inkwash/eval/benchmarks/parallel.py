"""Many questions at once, so that a slow judge is waited for once and not a thousand times.

Every task keeps its own answer as soon as it has it, so a run that ends early loses nothing. A task whose judge stays
silent does not end the run; a judge that fails many tasks in a row is taken for dead, and then it does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from inkwash.eval.benchmarks.chat import JudgeError

T = TypeVar("T")
Progress = Callable[[int, int], None]

_TICK = 0.2  # seconds between two looks at whether the user wants to stop
_LEAST_PATIENCE = 4


def in_parallel(
    tasks: Sequence[Callable[[], T]],
    *,
    workers: int,
    stop: threading.Event,
    progress: Progress | None = None,
) -> list[T]:
    """The results in order. JudgeError says how many are missing; an error of `progress` stops everything.

    `stop` is the event of the clients that the tasks use: it is set when the run ends without all results.
    """
    tell = progress or (lambda done, total: None)
    results: dict[int, T] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        numbers = {pool.submit(task): number for number, task in enumerate(tasks)}
        problem = _collect(numbers, results, tell, patience=max(_LEAST_PATIENCE, 2 * workers))
    except BaseException:
        stop.set()
        raise
    finally:
        if len(results) < len(tasks):
            stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    if problem is not None:
        raise JudgeError(
            f"{len(tasks) - len(results)} of {len(tasks)} questions have no answer: {problem.message} "
            f"The answers so far are kept; the same command goes on."
        )
    return [results[number] for number in range(len(tasks))]


def _collect(
    numbers: dict[Future[T], int], results: dict[int, T], tell: Progress, *, patience: int
) -> JudgeError | None:
    """Fill `results`; the last failure, early when there are too many in a row."""
    pending, problem, in_a_row = set(numbers), None, 0
    tell(0, len(numbers))
    while pending:
        done, pending = wait(pending, timeout=_TICK, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                results[numbers[future]] = future.result()
                in_a_row = 0
            except JudgeError as failure:
                problem, in_a_row = failure, in_a_row + 1
                if in_a_row >= patience:
                    return problem
        tell(len(results), len(numbers))
    return problem
