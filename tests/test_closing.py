"""What holds several things closes all of them, also where the first one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inkwash.agent.worlds.miniwob import MiniWobWorld
from inkwash.agent.worlds.panels import PanelWorld
from inkwash.desk.history import History
from inkwash.desk.screen import MssScreen
from inkwash.desk.service import Desk
from inkwash.desk.shell import Shell
from inkwash.engine.ranks.group import _Edition, _end_all
from inkwash.serve.backend import LocalBackend
from inkwash.serve.cluster import RayBackend


class Part:
    """Something to be closed, under any of the names for it; fails where it was told to."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.closed = fails, 0

    def close(self, *_: Any, **__: Any) -> None:
        self.closed += 1
        if self.fails:
            raise OSError("it does not close")

    end = kill = abort = stop = destroy = set = close


def made(kind: type, **parts: Any) -> Any:
    """An object of a class with these parts, and nothing of what its constructor does."""
    it = object.__new__(kind)
    for name, part in parts.items():
        object.__setattr__(it, name, part)
    return it


Make = Callable[[Part, Part], Callable[[], None]]
CLOSING: dict[str, Make] = {
    "panels": lambda first, second: made(PanelWorld, browser=first, site=second).close,
    "miniwob": lambda first, second: made(MiniWobWorld, browser=first, site=second).close,
    "screen": lambda first, second: MssScreen(first, second).close,  # type: ignore[arg-type]
    "backend": lambda first, second: made(LocalBackend, engine=SimpleNamespace(close=first.close, pipe=second)).close,
    "cluster": lambda first, second: partial(cluster_of(first, second).close, drain=False),
    "edition": lambda first, second: made(_Edition, followers=(first,), groups={"a": {"b": second}}).end,
    "group": lambda first, second: lambda: _end_all([second, first]),  # type: ignore[list-item]
    "shell": lambda first, second: made(Shell, hotkeys=first, _icon=None, _window=second).close,
    "desk": lambda first, second: desk_of(first, second).close,
}


def cluster_of(work: Part, rest: Part) -> RayBackend:
    cluster: RayBackend = made(RayBackend, _works={"a": work}, _leave=rest.close)
    return cluster


def desk_of(recorder: Part, history: Part) -> Desk:
    desk: Desk = made(Desk, _running={1: threading.Event()}, _recorder=None, history=history)
    desk._recorder = recorder, SimpleNamespace(close=lambda: None)  # type: ignore[assignment]
    return desk


@pytest.mark.parametrize("name", CLOSING)
def test_the_second_is_closed_though_the_first_fails(name: str) -> None:
    first, second = Part(fails=True), Part()
    with pytest.raises(OSError, match="does not close"):
        CLOSING[name](first, second)()
    assert (first.closed, second.closed) == (1, 1)


def test_a_history_that_cannot_be_tidied_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    history = History(tmp_path)
    monkeypatch.setattr(history, "sweep", Part(fails=True).close)
    with pytest.raises(OSError, match="does not close"):
        history.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        history.begin("a")
