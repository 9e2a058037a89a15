"""Environment variables: sensible defaults, and one sentence for a value that makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from inkwash.core import env
from inkwash.core.errors import ConfigError


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INKWASH_CACHE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert env.cache_dir() == Path("/somewhere/inkwash")
    assert env.hub() == "huggingface" and env.threads() is None
    assert not env.debug() and not env.offline()


def test_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CACHE": "~/x", "HUB": "ModelScope", "THREADS": "3", "OFFLINE": "yes", "DEBUG": "1"}.items():
        monkeypatch.setenv(f"INKWASH_{name}", value)
    assert env.cache_dir() == Path.home() / "x"
    assert env.hub() == "modelscope" and env.threads() == 3 and env.offline() and env.debug()


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("INKWASH_HUB", "ftp", env.hub),
        ("INKWASH_THREADS", "many", env.threads),
        ("INKWASH_THREADS", "0", env.threads),
        ("INKWASH_THREADS", "-2", env.threads),
        ("INKWASH_OFFLINE", "maybe", env.offline),
    ],
)
def test_nonsense_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: object) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is '{value}'"):
        read()  # type: ignore[operator]


def test_the_offline_switch_of_the_hub_library_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert env.offline()
