"""A training run's folder: resumable state, a CSV log, a loss curve and a bar of progress.

The state is written to a temporary file and moved into place, so a kill at any moment leaves either the
old or the new state. Batches are a pure function of the step, so continuing at step n sees exactly the
data that an uninterrupted run would have seen.
"""

from __future__ import annotations

import csv
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from inkwash.core.errors import InkwashError
from inkwash.data.loader import Batch, step_batches
from inkwash.train.curve import draw_curve
from inkwash.train.optim import EMA


class Run:
    """Bookkeeping of one stage: `for step, batch in run.batches(...)`, and `log` at the end of every step.

    On a terminal a bar shows the losses and the time left; elsewhere a line every ten seconds does.
    """

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimizers: list[torch.optim.Optimizer],
        ema: EMA | None,
        *,
        total: int,
        save_every_s: float = 180.0,
    ) -> None:
        self.folder = folder
        self.modules = modules
        self.optimizers = optimizers
        self.ema = ema
        self.total = total
        self.save_every_s = save_every_s
        self.samples = 0
        self.hours = 0.0
        self.averages: dict[str, float] = {}
        self.first_step = 0
        self._saved = self._started = self._printed = time.monotonic()
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(folder.name, total=total)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def batches(self, make: Callable[[int], Batch], *, workers: int) -> Iterator[tuple[int, Batch]]:
        """Continue where the folder's state ends: (step, make(step)) up to the last step."""
        first = self.resume()
        self._bar.update(self._task, completed=first)
        with self._bar:
            yield from enumerate(step_batches(make, first=first, total=self.total, workers=workers), first)

    def resume(self) -> int:
        """Load the newest state when there is one; returns the next step to run."""
        if not self.state_file.exists():
            return 0
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        torch.set_rng_state(state["rng"])
        self.samples, self.hours = state["samples"], state["hours"]
        self.first_step = int(state["step"])
        return self.first_step

    def save(self, step: int) -> None:
        """Write the state so that `resume` returns `step`."""
        state = {
            "step": step,
            "samples": self.samples,
            "hours": self.hours + (time.monotonic() - self._started) / 3600,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "rng": torch.get_rng_state(),
        }
        temporary = self.state_file.with_suffix(".tmp")
        try:
            with temporary.open("wb") as file:  # torch.save by path turns a full disk into a RuntimeError
                torch.save(state, file)
            os.replace(temporary, self.state_file)
        except OSError as error:
            if temporary.is_file():
                temporary.unlink()
            raise InkwashError(f"cannot save training state in {self.folder}: {error.strerror or error}") from error
        self._saved = time.monotonic()

    def log(self, step: int, samples: int, **values: float) -> None:
        """Count one finished step, keep running averages, print and save when it is time."""
        self.samples += samples
        self._bar.update(self._task, completed=step + 1)
        for name, value in values.items():
            if not math.isfinite(value):
                raise InkwashError(f"{name} became {value} at step {step}; the last good state is {self.state_file}")
            self.averages[name] = 0.97 * self.averages.get(name, value) + 0.03 * value
        now = time.monotonic()
        if now - self._printed > 10 or step + 1 == self.total:
            self._printed = now
            self._print(step, now)
        if now - self._saved > self.save_every_s or step + 1 == self.total:
            self.save(step + 1)
            draw_curve(self.folder / "log.csv", self.folder / "curve.png")

    def _print(self, step: int, now: float) -> None:
        seconds = (now - self._started) / max(1, step + 1 - self.first_step)
        left = seconds * (self.total - step - 1)
        numbers = " ".join(f"{name} {value:.4f}" for name, value in self.averages.items())
        self._bar.update(self._task, description=f"{self.folder.name} {numbers}")
        line = f"step {step + 1}/{self.total} {numbers} {seconds * 1000:.0f} ms/step, {left / 60:.0f} min left"
        if self._bar.disable:
            print(line, file=sys.stderr, flush=True)
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "samples", *self.averages])
            writer.writerow([step + 1, self.samples, *(f"{value:.6f}" for value in self.averages.values())])
