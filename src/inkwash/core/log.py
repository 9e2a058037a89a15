"""Logging: one logger tree named ``inkwash``, silent as a library; programs call `env.configure_logging`."""

from __future__ import annotations

import logging

ROOT = "inkwash"

logging.getLogger(ROOT).addHandler(logging.NullHandler())


def get(name: str = "") -> logging.Logger:
    """The logger of one module: ``get(__name__)``."""
    if not name or name == ROOT or name.startswith(f"{ROOT}."):
        return logging.getLogger(name or ROOT)
    return logging.getLogger(f"{ROOT}.{name}")
