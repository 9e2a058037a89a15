"""The environment variables that Inkwash reads, all in one place, each read when it is needed.

INKWASH_DEBUG    1: show tracebacks and debug logging
INKWASH_LOG      log level by name (default WARNING)
INKWASH_CACHE    folder for downloads and state (default: the user's cache folder + /inkwash)
INKWASH_THREADS  CPU threads for computing (default: the cores this process may use)
INKWASH_DEVICE   cpu, cuda, cuda:1, mps ... (default: the accelerator when there is one)
INKWASH_HUB      where named models are fetched from: huggingface (default) or modelscope
INKWASH_OFFLINE  1: never ask a hub, use only what is on disk
INKWASH_INT8_ACTIVATIONS
                 1 or 0: round activations to int8 where the decoder's weights are, or never (default: where that is
                 faster on this processor)

INKWASH_JUDGE_KEY, the key of a vision model that judges pictures, is read by the command line (cli/eval_benchmarks.py).
So are the keys of a server, INKWASH_API_KEYS of its clients and INKWASH_ENHANCE_KEY of its endpoint (cli/serve.py),
and INKWASH_AGENT_KEY of the endpoint that an agent asks (cli/act.py).
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from inkwash.core.errors import ConfigError

HUBS = ("huggingface", "modelscope")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


def flag(name: str) -> bool:
    """Reads an on/off variable; raises ConfigError for any other word."""
    value = os.environ.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ConfigError(f"{name} is {value!r}, but must be 1 or 0: set it to one of them or unset it.")


def debug() -> bool:
    """Whether tracebacks are wanted; any odd value counts as yes, so that it never hides a failure."""
    return os.environ.get("INKWASH_DEBUG", "").strip().lower() not in _FALSE


def offline() -> bool:
    """Whether hubs must not be asked; the hub library's own HF_HUB_OFFLINE counts too."""
    return flag("INKWASH_OFFLINE") or os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in _TRUE


def int8_activations() -> bool | None:
    """Whether activations are rounded to int8 for int8 weights; None where the processor's speed decides."""
    name = "INKWASH_INT8_ACTIVATIONS"
    return flag(name) if os.environ.get(name, "").strip() else None


def hub() -> str:
    """The hub that named models come from."""
    name = os.environ.get("INKWASH_HUB", "").strip().lower() or HUBS[0]
    if name not in HUBS:
        raise ConfigError(f"INKWASH_HUB is {name!r}, but must be one of {', '.join(HUBS)}.")
    return name


def cache_dir() -> Path:
    """The folder for downloads and state; it is not created here."""
    chosen = os.environ.get("INKWASH_CACHE", "").strip()
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".cache") / "inkwash"


def threads() -> int | None:
    """The number of CPU threads asked for, or None when nothing is set."""
    value = os.environ.get("INKWASH_THREADS", "").strip()
    if not value:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 1024:
        raise ConfigError(f"INKWASH_THREADS is {value!r}, but must be a whole number from 1 to 1024.")
    return int(value)


def configure_logging() -> None:
    """Sends our messages to stderr, one plain line each: at the level INKWASH_LOG, else WARNING, or DEBUG in debug."""
    level = (os.environ.get("INKWASH_LOG", "").strip() or ("DEBUG" if debug() else "WARNING")).upper()
    if level not in _LEVELS:
        raise ConfigError(f"INKWASH_LOG is {level!r}, but must be one of {', '.join(_LEVELS)}.")
    logger = logging.getLogger("inkwash")
    for old in [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
