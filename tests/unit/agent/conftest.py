"""Shared by the tests of agents: a browser where there is one, and screens without any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inkwash.agent.executors.browser import find_browser


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; tests skip without one."""
    pytest.importorskip("playwright", reason="playwright is not installed")
    found = find_browser()
    if found is None:
        pytest.skip("no chromium on this machine")
    return found


@pytest.fixture(scope="module")
def world(chromium: str) -> Iterator[object]:
    """Panels in a browser that all tests of a module share."""
    from inkwash.agent.worlds.panels import PanelWorld

    with PanelWorld() as opened:
        yield opened
