"""Settings of the whole test suite: polite threads, nobody asks a network, no variable of the user's counts."""

from __future__ import annotations

import os
import signal
from collections import Counter

# Threads that wait by spinning while another process holds their core cost ten times the work itself (measured).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest

from tests.display import display, xvfb  # noqa: F401

hypothesis.settings.register_profile("inkwash", deadline=None)  # other work on the machine is no fault of an example
hypothesis.settings.load_profile("inkwash")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background; the programs under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist files with the most slow tests come first, so that no worker is left alone with one at the end."""
    if hasattr(config, "workerinput"):
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test depends on the user's INKWASH_ variables, and none writes into the user's cache."""
    for name in list(os.environ):
        if name.startswith("INKWASH_") and name != "INKWASH_RELEASED":
            monkeypatch.delenv(name)
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
