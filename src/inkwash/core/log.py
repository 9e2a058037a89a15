"""Logging: one logger tree named ``inkwash``, silent as a library, one plain line each on stderr as a program."""

from __future__ import annotations

import logging
import os
import sys

from inkwash.core import env
from inkwash.core.errors import ConfigError

ROOT = "inkwash"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

logging.getLogger(ROOT).addHandler(logging.NullHandler())


def get(name: str = "") -> logging.Logger:
    """The logger of one module: ``get(__name__)``."""
    if not name or name == ROOT or name.startswith(f"{ROOT}."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")


def configure(level: str | None = None) -> None:
    """Sends our messages to stderr at the given level, else INKWASH_LOG, else WARNING (DEBUG with INKWASH_DEBUG)."""
    default = "DEBUG" if env.debug() else "WARNING"
    wanted = (level or os.environ.get("INKWASH_LOG", "").strip() or default).upper()
    if wanted not in _LEVELS:
        raise ConfigError(f"INKWASH_LOG is {wanted!r}, but must be one of {', '.join(_LEVELS)}.")
    logger = logging.getLogger(ROOT)
    for old in [h for h in logger.handlers if isinstance(h, logging.StreamHandler)]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(wanted)
