"""One logger tree, configured once however often it is asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from inkwash.core.env import configure_logging
from inkwash.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("inkwash")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


def test_a_library_is_silent() -> None:
    code = "import inkwash, logging; logging.getLogger('inkwash.engine').error('lost')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stderr


def test_configuring_twice_prints_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("INKWASH_LOG", "info")
    configure_logging()
    configure_logging()
    logging.getLogger("inkwash.engine").info("drawing")
    logging.getLogger("inkwash.engine").debug("not shown")
    assert capsys.readouterr().err == "INFO inkwash.engine: drawing\n"


def test_an_unknown_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_LOG", "loud")
    with pytest.raises(ConfigError, match="LOUD"):
        configure_logging()
