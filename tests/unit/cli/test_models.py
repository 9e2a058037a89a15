"""Models: every name that can be loaded, with its size and where it is or would come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from inkwash.cli.models import describe
from inkwash.models.registry import MODELS
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]
KNOWN = [entry.name for entry in MODELS]


def test_lists_every_model(inkwash: Run) -> None:
    outcome = inkwash("models")
    assert outcome.code == 0 and all(name in outcome.out for name in KNOWN)
    rows = json.loads(inkwash("models", "--json").out)
    assert [row["name"] for row in rows] == KNOWN
    assert all(row["where"] and row["size"].split()[1] in ("MB", "GB") for row in rows)


def test_where_a_model_would_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert "zai-org/GLM-Image on Hugging Face" in describe("zai-org/GLM-Image")["where"]
    assert "someone/something on Hugging Face" in describe("someone/something")["where"]
    monkeypatch.setenv("INKWASH_OFFLINE", "1")
    assert "switched off" in describe("zai-org/GLM-Image")["where"]
    monkeypatch.setenv("INKWASH_HUB", "modelscope")
    assert "ZhipuAI/GLM-Image on ModelScope" in describe("zai-org/GLM-Image")["where"]


def test_a_folder_and_a_snapshot_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(str(tmp_path))["where"] == f"folder {tmp_path}"
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path))
    repository = tmp_path / "huggingface" / "models--zai-org--GLM-Image"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "model_index.json").write_text("{}")
    assert describe("zai-org/GLM-Image")["where"].startswith(f"in the local cache: {repository / 'snapshots' / 'abc'}")
