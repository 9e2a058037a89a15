"""The end of a server where one part fails to close: the others are closed all the same, and the folder is free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings
from tests.server.fakes import FakeBackend

PARTS = ("media", "backend", "chat.pipe", "words", "jobs", "folder")


class Pipe:
    """A model that sees, as the end of the server knows it."""

    def close(self) -> None:
        """Nothing is open."""


class Seeing:
    pipe = Pipe()


def part_of(service: Any, name: str) -> Any:
    for step in name.split("."):
        service = getattr(service, step)
    return service


@pytest.mark.parametrize("failing", [*PARTS, PARTS])
def test_a_part_that_fails_to_close_keeps_no_other_from_it(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch, failing: str | tuple[str, ...]
) -> None:
    service = Service(settings(), FakeBackend)
    service.backend, service.chat = FakeBackend(), Seeing()  # type: ignore[assignment]
    closed: list[str] = []

    def watched(name: str, part: Any, method: str) -> None:
        close = getattr(part, method)

        def closing(**how: Any) -> None:
            closed.append(name)
            close(**how)
            if name in failing:
                raise OSError(f"{name} does not close")

        monkeypatch.setattr(part, method, closing)

    for name in PARTS:
        watched(name, part_of(service, name), "release" if name == "folder" else "close")
    detached: list[asyncio.Task[None]] = []

    async def go() -> None:
        detached.append(service.spawn(asyncio.sleep(0.01)))
        await service.stop()

    with pytest.raises(OSError, match="does not close"):
        asyncio.run(go())
    assert tuple(closed) == PARTS and detached[0].done() and not detached[0].cancelled()
    Service(settings(), FakeBackend).folder.release()  # raises while another has it
