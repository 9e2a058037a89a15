"""Held-out scenes drawn with read-back: what several attempts gain over the first one, and what they cost.

Attempt 0 of a picture is the one that is drawn without verification, so one run measures both. A row for every
picture is kept in `verified.jsonl`: what the first and the kept attempt read, the scores, the seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.engine.verify import Reading, Verified, Verify, draw_verified
from inkwash.eval.metrics import interval, mean, mean_closeness, score_words, word_accuracy
from inkwash.eval.run import Draw
from inkwash.eval.sources import DrawConfig
from inkwash.eval.tasks.scenes import Case

if TYPE_CHECKING:
    from inkwash.engine.pipeline import GlmImagePipeline

FILE = "verified.jsonl"


@dataclass(frozen=True, kw_only=True)
class VerifiedRow:
    """One verified picture."""

    index: int
    attempts: int
    kept: int
    scores: tuple[float, ...]
    first_read: tuple[str, ...]
    kept_read: tuple[str, ...]
    first_seconds: float  # drawing and reading the first attempt, by the clock on the wall
    seconds: float  # all of them
    first_cpu_seconds: float  # the same by the processor's clock, which a busy machine does not disturb
    cpu_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


class Journal:
    """The rows of a run, kept in a file where there is one; of two rows for one picture the later one counts."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[int, VerifiedRow] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").split("\n"):
                try:
                    fields: dict[str, Any] = {
                        name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(line).items()
                    }
                    self.rows[fields["index"]] = VerifiedRow(**fields)
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue  # torn by a kill: its picture is not there either

    def add(self, row: VerifiedRow) -> None:
        """Keep a row."""
        self.rows[row.index] = row
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:  # a new line first: an earlier run may have been killed inside one
                file.write(("\n" + json.dumps(row.to_dict(), ensure_ascii=False)).encode())
        except OSError as problem:
            raise MediaError(f"cannot write {self.path}: {problem.strerror}.") from problem


def verified_drawer(
    cases: Sequence[Case],
    pipe: GlmImagePipeline,
    config: DrawConfig,
    verify: Verify,
    read: Callable[[Image.Image], Reading],
    journal: Journal,
) -> Draw:
    """Draws cases with read-back and writes the journal; picture i has seed + i as without it."""

    def draw(numbers: Sequence[int]) -> Sequence[Image.Image]:
        return [one(i) for i in numbers]

    def one(index: int) -> Image.Image:
        scene, start, cpu = cases[index].scene, time.perf_counter(), time.process_time()
        ends: list[tuple[float, float]] = []

        def reading(image: Image.Image) -> Reading:
            found = read(image)
            ends.append((time.perf_counter() - start, time.process_time() - cpu))
            return found

        request = config.request(index, prompt=cases[index].prompt, height=scene.height, width=scene.width)
        [verified] = draw_verified(pipe, request, reading, verify=verify, cancel=config.cancel)
        journal.add(_row(index, verified, ends))
        image: Image.Image = verified.image
        return image

    return draw


def _row(index: int, verified: Verified, ends: Sequence[tuple[float, float]]) -> VerifiedRow:
    return VerifiedRow(
        index=index,
        attempts=verified.attempts,
        kept=verified.best.attempt.number,
        scores=tuple(round(verdict.score, 4) for verdict in verified.verdicts),
        first_read=verified.verdicts[0].lines,
        kept_read=verified.best.lines,
        first_seconds=round(ends[0][0], 3),
        seconds=round(ends[-1][0], 3),
        first_cpu_seconds=round(ends[0][1], 3),
        cpu_seconds=round(ends[-1][1], 3),
    )


def gain(cases: Sequence[Case], journal: Journal) -> dict[str, Any]:
    """First attempts against kept ones: word accuracy, NED, attempts, seconds; over the pictures of this journal."""
    rows = [journal.rows[index] for index in range(len(cases)) if index in journal.rows]
    wanted = [list(cases[row.index].scene.quotes) for row in rows]
    first = [score_words(texts, row.first_read) for texts, row in zip(wanted, rows, strict=True)]
    kept = [score_words(texts, row.kept_read) for texts, row in zip(wanted, rows, strict=True)]
    low, high = interval(sum(score.correct for score in first), sum(score.total for score in first))
    first_cpu, cpu = mean([row.first_cpu_seconds for row in rows]), mean([row.cpu_seconds for row in rows])
    numbers = {
        "first_word_accuracy": word_accuracy(first),
        "kept_word_accuracy": word_accuracy(kept),
        "first_ned": mean_closeness(first),
        "kept_ned": mean_closeness(kept),
        "attempts_per_picture": mean([float(row.attempts) for row in rows]),
        "seconds_first_attempt": mean([row.first_seconds for row in rows]),
        "seconds_with_verification": mean([row.seconds for row in rows]),
        "cpu_seconds_first_attempt": first_cpu,
        "cpu_seconds_with_verification": cpu,
        "times_the_first": cpu / first_cpu if first_cpu else float("nan"),
    }
    rounded = {name: None if value != value else round(value, 6) for name, value in numbers.items()}
    return rounded | {"first_word_accuracy_95": [round(low, 6), round(high, 6)], "verified_pictures": len(rows)}
