"""One logger tree, configured once however often it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from inkwash.core import log
from inkwash.core.env import configure_logging
from inkwash.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger(log.ROOT)
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


def test_names_stay_inside_the_tree() -> None:
    assert log.get("inkwash.engine").name == "inkwash.engine"
    assert log.get("engine").name == "inkwash.engine" and log.get().name == "inkwash"
    assert log.get("inkwashes").name == "inkwash.inkwashes"


def test_configuring_twice_prints_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("INKWASH_LOG", "info")
    configure_logging()
    configure_logging()
    log.get("engine").info("drawing")
    log.get("engine").debug("not shown")
    assert capsys.readouterr().err == "INFO inkwash.engine: drawing\n"


def test_an_unknown_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_LOG", "loud")
    with pytest.raises(ConfigError, match="LOUD"):
        configure_logging()
