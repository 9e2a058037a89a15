"""States that say what they are: a digest over every number, and the settings they were made with.

A flipped bit would go on as a slightly other run, and changed settings as a mixture of two; both are refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.core.errors import InkwashError

# What changes the speed of a run, or where it writes, and not what it learns.
FREE = {"workers", "save_every_s", "compile", "recompute", "prefetch", "accumulate", "tensor", "multiple"}
DIGESTS = "digests"
CHUNK = 2**22


def digest_of(value: Any) -> str:
    """A hexadecimal digest of nested dictionaries, lists, plain values and tensors."""
    found = hashlib.blake2b(digest_size=16)
    _feed(found, value)
    return found.hexdigest()


def sealed(state: dict[str, Any]) -> dict[str, Any]:
    """The state with its digest."""
    return {**state, "digest": digest_of(state)}


def opened(state: dict[str, Any], path: Path) -> dict[str, Any]:
    """The state without its digest; InkwashError where they disagree. Older states have none."""
    stored = state.pop("digest", None)
    if stored is not None and stored != digest_of(state):
        raise InkwashError(
            f"{path} is damaged: its numbers are not those that were saved; restore it from a copy, or delete it to "
            "begin anew."
        )
    return state


def seal_files(folder: Path, rank: int) -> None:
    """Write the digests of one process's files of a sharded state beside them."""
    files = [folder / ".metadata"] if rank == 0 else []
    files += sorted(folder.glob(f"__{rank}_*"))
    digests = {file.name: _digest_of_file(file) for file in files}
    (folder / f"{DIGESTS}-{rank}.json").write_text(json.dumps(digests), encoding="utf-8")


def check_files(folder: Path, rank: int, world: int) -> None:
    """Hold this process's share of a sharded state's files to their digests; files without one are not judged."""
    digests: dict[str, str] = {}
    for file in sorted(folder.glob(f"{DIGESTS}-*.json")):
        digests |= json.loads(file.read_text(encoding="utf-8"))
    for name in sorted(digests)[rank::world]:
        if not (folder / name).is_file() or _digest_of_file(folder / name) != digests[name]:
            raise InkwashError(
                f"{folder / name} is damaged: it is not the file that was saved; restore {folder} from a copy, or "
                "delete it to begin anew."
            )


def settings_of(**configs: object) -> dict[str, str]:
    """The fields of dataclasses as texts under the names they come with; what is no dataclass has no settings."""
    found: dict[str, str] = {}
    for name, config in configs.items():
        if dataclasses.is_dataclass(config) and not isinstance(config, type):
            _collect(config, f"{name}.", found)
    return found


def check_settings(stored: dict[str, str], mine: dict[str, str], path: Path, step: int) -> None:
    """Refuse to go on from `step` with other settings than a state was made with.

    A run of schedule wsd may get another length as long as neither the old one nor the new one has begun its descent.
    """
    other = [name for name in stored if name in mine and stored[name] != mine[name]]
    if "train.steps" in other and on_plateau(stored, step) and on_plateau(mine, step):
        other.remove("train.steps")
    if other:
        listed = ", ".join(f"{name} was {stored[name]} and is {mine[name]}" for name in other[:4])
        raise InkwashError(
            f"{path} was made with other settings ({listed}): continue with the same ones, or choose a new work folder."
        )


def on_plateau(settings: dict[str, str], step: int) -> bool:
    """Whether the rate of a run of schedule wsd does not depend on its length up to `step`."""
    if settings.get("train.schedule") != repr("wsd"):
        return False
    return step <= (1 - float(settings["train.decay"])) * int(settings["train.steps"])


def _collect(config: Any, prefix: str, found: dict[str, str]) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in FREE or isinstance(value, Path):
            continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            _collect(value, f"{prefix}{field.name}.", found)
        elif isinstance(value, bool | int | float | str | tuple | list | None):
            found[prefix + field.name] = repr(value)


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        found.update(f"{value.dtype}{tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, dict):
        for key, entry in value.items():
            found.update(f"{key!r}:".encode())
            _feed(found, entry)
    elif isinstance(value, list | tuple):
        found.update(f"[{len(value)}".encode())
        for entry in value:
            _feed(found, entry)
    else:
        found.update(repr(value).encode())


def _digest_of_file(path: Path) -> str:
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
