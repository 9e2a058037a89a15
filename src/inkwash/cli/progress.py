"""Progress of a drawing on stderr: one bar per stage with count, time gone and time left; silent without a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from inkwash.engine.request import Progress

STAGES = {
    "load": "Loading the model",
    "prior": "Planning (tokens)",
    "denoise": "Drawing (steps)",
}


class Bars:
    """Turns the engine's reports into bars; may be called from any thread."""

    def __init__(self, *, shown: bool | None = None) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.shown = sys.stderr.isatty() if shown is None else shown
        columns = (
            rich.TextColumn("{task.description:<20}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TextColumn("left"),
            rich.TimeRemainingColumn(elapsed_when_finished=False),
        )
        self._progress = rich.Progress(*columns, console=Console(stderr=True), disable=not self.shown, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, report: Progress) -> None:
        """Moves the bar of one stage, opening it at its first report."""
        self.move(report.stage, report.done, report.total)

    def move(self, stage: str, done: int, total: int | None) -> None:
        """The same by plain values; a total of None is a bar without an end."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(STAGES.get(stage, stage), total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
