"""The state of a run on disk: one file from a single process, shards of all processes under torchrun.

A file is written beside the old one and moved into place. Shards go through `torch.distributed.checkpoint`: copied
first, written in the background while training goes on; a folder of shards counts once its `.metadata`, which is
written last, is there, and the folder before it is kept until then. A kill at any moment thus leaves a whole state.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.core.files import atomic_path
from inkwash.train.muon import is_sharded
from inkwash.train.optim import EMA, clear_gradients, set_lr
from inkwash.train.state_file import check_files, seal_files

State = dict[str, Any]
SETTINGS = "settings.json"


def write_file(path: Path, state: State) -> None:
    """Write a state so that a kill leaves the old file or the new one."""
    try:
        with atomic_path(path, sync=True) as partial, partial.open("wb") as file:
            torch.save(state, file)  # by path it turns a full disk into a RuntimeError
    except (OSError, RuntimeError) as error:
        raise _cannot_save(path.parent, error) from error


def write_result(path: Path, state: State) -> None:
    """Write a stage's finished weights; under torchrun the first process does it."""
    if int(os.environ.get("RANK", "0")) == 0:
        write_file(path, state)


def read_file(path: Path) -> State:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InkwashError(f"{path} cannot be read ({error}): delete it to begin anew.") from error
    assert isinstance(state, dict)
    return state


def newest_shards(folder: Path) -> Path | None:
    """The whole state of the highest step below a run's folder, from a run whose processes had a part of it each."""
    whole = [path for path in folder.glob("shards-*") if (path / ".metadata").is_file()]
    return max(whole, default=None, key=lambda path: int(path.name.partition("-")[2]))


def _cannot_save(folder: Path, error: Exception) -> InkwashError:
    reason = getattr(error, "strerror", None) or error
    return InkwashError(f"cannot save training state in {folder}: {reason}; the last good state is untouched")


class Shards:
    """Folders `shards-<step>` below a run's folder, written in the background, the newest whole one read back."""

    def __init__(
        self,
        folder: Path,
        modules: dict[str, nn.Module],
        optimizers: list[torch.optim.Optimizer],
        group: dist.ProcessGroup | None,
    ) -> None:
        self.folder = folder
        self.group = group
        self.modules = modules
        self.optimizers = optimizers
        self._writing: Future[Any] | None = None
        self._step = 0
        self._settings: dict[str, str] = {}

    def newest(self) -> Path | None:
        """The whole state of the highest step."""
        return newest_shards(self.folder)

    def settings(self) -> dict[str, str]:
        """Those the newest state was made with; none are known of older ones."""
        newest = self.newest()
        file = None if newest is None else newest / SETTINGS
        return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}

    def save(self, step: int, numbers: State, ema: EMA | None, settings: dict[str, str] | None = None) -> None:
        """Copy this process's part and return; the writing goes on beside training."""
        import torch.distributed.checkpoint as dcp

        self.wait()
        self._step, self._settings = step, settings or {}
        state = _copied(self._state(numbers, ema))
        try:
            future = dcp.async_save(state, checkpoint_id=self.folder / f"shards-{step}", process_group=self.group)
        except (OSError, RuntimeError) as error:
            raise _cannot_save(self.folder, error) from error
        assert isinstance(future, Future)
        self._writing = future

    def wait(self) -> None:
        """Until the last state is on disk; older ones are removed then."""
        if self._writing is None:
            return
        try:
            self._writing.result()
        except Exception as error:  # whatever a storage or a neighbour process has met
            raise _cannot_save(self.folder, error) from error
        finally:
            self._writing = None
        rank, folder = dist.get_rank(), self.folder / f"shards-{self._step}"
        try:
            seal_files(folder, rank)
            if rank == 0:
                (folder / SETTINGS).write_text(json.dumps(self._settings), encoding="utf-8")
        except OSError as error:
            raise _cannot_save(self.folder, error) from error
        newest = self.newest()
        if rank == 0:
            for path in self.folder.glob("shards-*"):
                if path != newest:
                    shutil.rmtree(path, ignore_errors=True)

    def load(self, ema: EMA | None) -> State:
        """Read the newest state into modules, optimisers and average; returns the numbers that were saved with it."""
        import torch.distributed.checkpoint as dcp

        path = self.newest()
        assert path is not None
        check_files(path, dist.get_rank(), dist.get_world_size())
        _fill_optimizer_states(self.optimizers)
        state = self._state({"step": 0, "samples": 0, "hours": 0.0}, ema)
        _leave_out_unsaved(state, dcp.FileSystemReader(path).read_metadata().state_dict_metadata)
        dcp.load(state, checkpoint_id=path, process_group=self.group)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"].values(), strict=True):
            optimizer.load_state_dict({**saved, "state": {int(k): v for k, v in saved["state"].items()}})
        if ema is not None:
            ema.updates = state["ema"]["updates"]  # its tensors were filled in place
        numbers = state["numbers"]
        assert isinstance(numbers, dict)
        return numbers

    def _state(self, numbers: State, ema: EMA | None) -> State:
        state: State = {
            "numbers": numbers,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": {},
        }
        for i, optimizer in enumerate(self.optimizers):
            optimizer_state = optimizer.state_dict()
            state["optimizers"][str(i)] = {
                **optimizer_state,
                "state": {str(k): v for k, v in optimizer_state["state"].items()},
            }
        if ema is not None:
            shadow = {str(i): placed(s, p) for i, (s, p) in enumerate(zip(ema.shadow, ema.parameters, strict=True))}
            state["ema"] = {"updates": ema.updates, "shadow": shadow}
        return state


def placed(local: Tensor, parameter: Tensor) -> Tensor:
    """A local shard as part of the whole that it belongs to, sharing memory."""
    if not is_sharded(parameter):
        return local
    from torch.distributed.tensor import DTensor

    whole = cast("DTensor", parameter)
    return DTensor.from_local(
        local, whole.device_mesh, whole.placements, run_check=False, shape=whole.shape, stride=whole.stride()
    )


def _copied(value: Any) -> Any:
    """The same nested value with tensors of their own, which training does not change any more."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copied(entry) for entry in value]
    return value


def _leave_out_unsaved(state: State, saved: Container[str]) -> None:
    """An optimiser knows nothing of a parameter before its first gradient: before the first step, of none at all."""
    for i, optimizer in state["optimizers"].items():
        for k, parameter_state in list(optimizer["state"].items()):
            if any(f"optimizers.{i}.state.{k}.{name}" not in saved for name in parameter_state):
                del optimizer["state"][k]


def _fill_optimizer_states(optimizers: list[torch.optim.Optimizer]) -> None:
    """Give a fresh optimiser the tensors that a saved state is read into: one step of rate zero."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
    set_lr(optimizers, 0.0)
    for optimizer in optimizers:
        optimizer.step()
    clear_gradients(optimizers)
