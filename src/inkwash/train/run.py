"""A training run's folder: resumable state, a log of every step, curves, TensorBoard, and a bar of progress.

Batches are a pure function of the step and so are a stage's random numbers, so continuing at step n sees exactly what
an uninterrupted run would have seen. `log.csv` holds the values of every step; rows after the state that a run
continues from are dropped, so that two logs of the same run are the same file. One process at a time works in a folder,
and a state goes on only undamaged and with the settings it was made with.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self, TypedDict, Unpack

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.core.files import atomic_path
from inkwash.core.heap import release_memory
from inkwash.data.loader import RELEASE_EVERY, Batch, step_batches
from inkwash.train.checkpoint import Shards, newest_shards, read_file, write_file
from inkwash.train.curve import draw_curve
from inkwash.train.device import peak_rate
from inkwash.train.lock import lock_folder
from inkwash.train.optim import EMA
from inkwash.train.parallel import Ranks
from inkwash.train.report import write_report
from inkwash.train.state_file import check_settings, opened, sealed, settings_of
from inkwash.train.tensorboard import TensorBoardLog

PRINT_EVERY_S = 10.0


class RunSettings(Protocol):
    """The settings of a stage that its run reads."""

    @property
    def steps(self) -> int: ...

    @property
    def save_every_s(self) -> float: ...


class RunPlace(TypedDict, total=False):
    """Where a run takes place."""

    ranks: Ranks | None
    replicated: bool
    device: torch.device | None
    adapters: object


class TrainingRun:
    """Bookkeeping of one stage: `for step, batch in run.batches(...)`, and `log` at the end of every step.

    On a terminal a bar shows the losses and the time left; elsewhere a line every ten seconds does. `settings` go into
    the report and, with those of `adapters` and of the batches, into the state. The state of several processes is
    written in shards, unless each holds all of it (`replicated`): then the first writes one file.
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
        ranks: Ranks | None = None,
        replicated: bool = False,
        device: torch.device | None = None,
        settings: object = None,
        adapters: object = None,
    ) -> None:
        self.folder = folder
        self.modules = modules
        self.optimizers = optimizers
        self.ema = ema
        self.total = total
        self.save_every_s = save_every_s
        self.ranks = ranks or Ranks()
        self.device = device or torch.device("cpu")
        self.settings = settings
        self.adapters = adapters
        self.samples = 0
        self.hours = 0.0
        self.averages: dict[str, float] = {}
        self.first_step = 0
        self._saved = self._started = self._printed = time.monotonic()
        self._tokens = self._flops = 0.0
        self._saved_step: int | None = None
        self._batch: Batch = {}
        self._rows: list[list[str]] = []
        self._columns: list[str] = []
        self._settings = settings_of(train=settings, lora=adapters)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal or not self.ranks.first)
        self._task = self._bar.add_task(folder.name, total=total)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InkwashError(f"cannot write in {folder}: {error.strerror or error}") from error
        lock_folder(folder)
        in_one_file = replicated or self.ranks.mesh is None
        self._shards = None if in_one_file else Shards(folder, modules, optimizers, self.ranks.files)
        self.board = TensorBoardLog(folder) if self.ranks.first else None

    @classmethod
    def of(
        cls,
        config: RunSettings,
        folder: Path,
        modules: dict[str, nn.Module],
        optimizers: list[torch.optim.Optimizer],
        ema: EMA | None = None,
        **place: Unpack[RunPlace],
    ) -> Self:
        """The run of a stage with settings, which become part of its state."""
        length, save = config.steps, config.save_every_s
        return cls(folder, modules, optimizers, ema, total=length, save_every_s=save, settings=config, **place)

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    @property
    def log_file(self) -> Path:
        return self.folder / "log.csv"

    @property
    def saved_step(self) -> int | None:
        """The step that the last saved state returns to; None before there is one."""
        return self._saved_step

    def batches(self, make: Callable[[int], Batch], *, workers: int) -> Iterator[tuple[int, Batch]]:
        """Continue where the folder's state ends: (step, make(step)) up to the last step."""
        self._settings = settings_of(train=self.settings, lora=self.adapters, data=make)
        first = self.resume()
        self._bar.update(self._task, completed=first)
        if first == 0:
            self.save(0)  # a folder that cannot be written is told now, and the first bad batch has a state before it
        with self._bar:
            for step, batch in enumerate(step_batches(make, first=first, total=self.total, workers=workers), first):
                self._batch = batch
                if step % RELEASE_EVERY == RELEASE_EVERY - 1:
                    release_memory()
                yield step, batch
        if self._shards is not None:
            self._shards.wait()
        if self.board is not None:
            self.board.close()
            write_report(self.folder, self.settings, samples=self.samples, hours=self._hours_now())

    def resume(self) -> int:
        """Load the newest state when there is one; returns the next step to run."""
        self._refuse_other_state()
        if self._shards is not None and self._shards.newest() is not None:
            newest = self._shards.newest()
            assert newest is not None
            check_settings(self._shards.settings(), self._settings, newest, int(newest.name.removeprefix("shards-")))
            state = self._shards.load(self.ema)
        elif self._shards is None and self.state_file.exists():
            state = opened(read_file(self.state_file), self.state_file)
            check_settings(state.get("settings", {}), self._settings, self.state_file, int(state["step"]))
            self._load(state)
        else:
            self._drop_rows_after(0)
            return 0
        self.samples, self.hours = int(state["samples"]), float(state["hours"])
        self.first_step = int(state["step"])
        self._saved_step = self.first_step
        self._drop_rows_after(self.first_step)
        return self.first_step

    def _refuse_other_state(self) -> None:
        """A run in shards and one in a file do not continue each other, and would hide each other's state."""
        shards, file = newest_shards(self.folder), self.state_file.exists()
        if self._shards is None and shards is not None:
            kind = "shards of several processes"
        elif self._shards is not None and shards is None and file:
            kind = "one file"
        else:
            return
        raise InkwashError(
            f"{self.folder} holds a state in {kind}: continue with as many processes and the same method as before, "
            "or choose a new work folder."
        )

    def _load(self, state: dict[str, Any]) -> None:
        if state["modules"].keys() != self.modules.keys():
            raise InkwashError(f"{self.state_file} is the state of another method or stage: choose a new work folder.")
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        torch.set_rng_state(state["rng"])

    def save(self, step: int) -> None:
        """Write the state so that `resume` returns `step`."""
        numbers = {"step": step, "samples": self.samples, "hours": self._hours_now()}
        try:
            self._write_rows()
        except OSError as error:
            raise InkwashError(f"cannot write {self.log_file}: {error.strerror or error}; {self._kept()}") from error
        if self._shards is not None:
            self._shards.save(step, numbers, self.ema, self._settings)
        elif self.ranks.first:
            state = {
                **numbers,
                "modules": {name: module.state_dict() for name, module in self.modules.items()},
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "ema": self.ema.state_dict() if self.ema is not None else None,
                "rng": torch.get_rng_state(),
                "settings": self._settings,
            }
            write_file(self.state_file, sealed(state))
        self._saved_step = step
        self._saved = time.monotonic()

    def log(self, step: int, samples: int, *, tokens: float = 0, flops: float = 0, **values: float | Tensor) -> None:
        """Count one finished step, keep running averages, print and save when it is time.

        `tokens` and `flops` of the step, over all processes, give the throughput and its share of the chip's rate.
        """
        self.samples += samples
        self._tokens += tokens
        self._flops += flops
        self._bar.update(self._task, completed=step + 1)
        numbers = {name: float(value) for name, value in values.items()}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise InkwashError(f"{name} became {value} at step {step}, {self._last_good(step)}")
            self.averages[name] = 0.97 * self.averages.get(name, value) + 0.03 * value
        self._add_row(step + 1, numbers)
        now = time.monotonic()
        if now - self._printed > PRINT_EVERY_S or step + 1 == self.total:
            self._print(step, now)
        if step + 1 == self.total or self.ranks.any(now - self._saved > self.save_every_s, self.device):
            self.save(step + 1)
            if self.ranks.first:
                draw_curve(self.log_file, self.folder / "curve.png")

    def sample(self, step: int, draw: Callable[[int], Path | None] | None, every: int) -> None:
        """At every so many steps `draw` a picture with the averaged weights, if this process holds them all."""
        if draw is None or self.ranks.mesh is not None or (step + 1) % every:
            return
        assert self.ema is not None
        with self.ema.averaged():
            picture = draw(step + 1)
        if self.board is not None and picture is not None:
            self.board.picture(picture, step + 1)

    def _last_good(self, step: int) -> str:
        """Which batch it was and what is left: one half of a sentence."""
        texts = self._batch.get("prompts") or self._batch.get("texts") or [""]
        first = f", whose first text is {texts[0]!r}" if len(texts[0]) else ""
        return f"in batch number {step}{first}; {self._kept()}"

    def _kept(self) -> str:
        if self._saved_step is None:
            return "no state was saved yet"
        state = self.state_file if self._shards is None else self._shards.newest()
        return f"the last good state, of step {self._saved_step}, is {state}"

    def _hours_now(self) -> float:
        return self.hours + (time.monotonic() - self._started) / 3600

    def _print(self, step: int, now: float) -> None:
        steps = step + 1 - self.first_step
        seconds = (now - self._started) / max(1, steps)
        left = seconds * (self.total - step - 1)
        numbers = " ".join(f"{name} {value:.4f}" for name, value in self.averages.items())
        self._bar.update(self._task, description=f"{self.folder.name} {numbers}")
        line = f"step {step + 1}/{self.total} {numbers} {seconds * 1000:.0f} ms/step"
        speed = self._speed(now)
        line += "".join(f", {value:.0f} {unit}" for unit, value in speed.items()) + f", {left / 60:.0f} min left"
        self._printed = now
        if self._bar.disable and self.ranks.first:
            print(line, file=sys.stderr, flush=True)
        if self.board is not None:
            self.board.numbers({**self.averages, **speed, "ms/step": seconds * 1000}, step + 1)

    def _speed(self, now: float) -> dict[str, float]:
        """Since the last line: tokens a second and, where arithmetic is counted, percent of all chips' matmul rate."""
        elapsed = now - self._printed
        tokens, flops, self._tokens, self._flops = self._tokens, self._flops, 0.0, 0.0
        if not tokens or elapsed <= 0:
            return {}
        if not flops:
            return {"tokens/s": tokens / elapsed}
        share = 100 * flops / elapsed / (peak_rate(self.device) * self.ranks.world)
        return {"tokens/s": tokens / elapsed, "% of the matmul rate": share}

    def _add_row(self, step: int, numbers: dict[str, float]) -> None:
        new = [name for name in numbers if name not in self._columns]
        if new:
            self._columns += new
            self._write_rows()
            self._rewrite_log(lambda rows: [["step", "samples", *self._columns], *rows[1:]])
        cells = (repr(numbers[name]) if name in numbers else "" for name in self._columns)
        self._rows.append([str(step), str(self.samples), *cells])

    def _write_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows and self.ranks.first:
            with self.log_file.open("a", newline="") as file:
                csv.writer(file).writerows(rows)

    def _drop_rows_after(self, step: int) -> None:
        if self.log_file.exists():
            with self.log_file.open(newline="") as file:
                self._columns = next(csv.reader(file), ["", ""])[2:]
            self._rewrite_log(lambda rows: rows[:1] + _steps_up_to(step, rows[1:]))

    def _rewrite_log(self, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
        if not self.ranks.first:
            return
        rows: list[list[str]] = []
        if self.log_file.exists():
            with self.log_file.open(newline="") as file:
                rows = list(csv.reader(file))
        with atomic_path(self.log_file) as partial, partial.open("w", newline="") as file:
            csv.writer(file).writerows(change(rows))


def _steps_up_to(last: int, rows: list[list[str]]) -> list[list[str]]:
    """Rows of rising steps up to `last`; a row that a kill has cut short may name a smaller one."""
    kept: list[list[str]] = []
    before = 0
    for row in rows:
        if row and row[0].isdigit() and before < int(row[0]) <= last:
            kept.append(row)
            before = int(row[0])
    return kept
