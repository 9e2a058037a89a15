"""Which of the served models draws a request: the one that its `model` names, else the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inkwash.serve.requests import same_model

if TYPE_CHECKING:
    from inkwash.engine.scheduler import EngineStats
    from inkwash.serve.backend import Backend

_LARGEST = ("step_s", "estimated_wait_s")  # everything else adds up


def chosen(backends: Sequence[Backend], name: str | None) -> Backend:
    """The backend whose model, or one of whose adapters, has this name; the first for any other."""
    for backend in backends:
        if name is not None and (same_model(name, backend.info.name) or name in backend.info.adapters):
            return backend
    return backends[0]


def joined_stats(backends: Sequence[Backend]) -> EngineStats:
    """The figures of all engines as those of one."""
    first, *others = (backend.stats() for backend in backends)
    for other in others:
        values = {
            name: max(value, getattr(other, name)) if name in _LARGEST else value + getattr(other, name)
            for name, value in vars(first).items()
            if name != "references"
        }
        caches = {name: value + getattr(other.references, name) for name, value in vars(first.references).items()}
        first = replace(first, **values, references=replace(first.references, **caches))
    return first
