"""Agents that run on this machine, so that another process can stop them all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inkwash.agent.act import AgentError
from inkwash.agent.stop import StopSwitch
from inkwash.core import env


def _folder() -> Path:
    return env.cache_dir() / "agent"


@contextmanager
def running() -> Iterator[StopSwitch]:
    """A switch that `stop_all` throws, for as long as the run takes."""
    folder = _folder()
    mark, switch = folder / f"{os.getpid()}.run", folder / f"{os.getpid()}.stop"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        switch.unlink(missing_ok=True)
        mark.touch(mode=0o600)
    except OSError as error:
        raise AgentError(f"The folder {str(folder)!r} cannot be written: {error.strerror}.") from None
    try:
        yield StopSwitch(switch)
    finally:
        for file in (mark, switch):
            file.unlink(missing_ok=True)


def stop_all() -> int:
    """Throw the switches of all agents of this user; returns how many there were."""
    count = 0
    for mark in sorted(_folder().glob("*.run")):
        if _alive(int(mark.stem)):
            mark.with_suffix(".stop").touch(mode=0o600)
            count += 1
        else:
            with suppress(OSError):
                mark.unlink()
    return count


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
