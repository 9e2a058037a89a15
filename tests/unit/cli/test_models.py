"""Models: every name that can be loaded, with its size and where it is or would come from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest

from inkwash.cli.models import describe
from inkwash.models import registry
from inkwash.models.glm_image.folder import drawing_defaults
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


@pytest.mark.parametrize(("name", "folder"), [("nano", "nano"), ("nano-v", "nano_v")])
def test_the_list_and_the_card_say_what_the_files_hold(name: str, folder: str) -> None:
    assets = Path(registry.__file__).parents[1] / "assets" / folder
    files = list(assets.rglob("*.safetensors"))
    parameters = sum(prod(entry["shape"]) for file in files for entry in header(file).values()) / 1e6
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    said = describe(name, registry.find(name))
    assert float(said["parameters"].removesuffix("M")) == pytest.approx(parameters, rel=0.1)
    assert float(said["size"].removesuffix(" MB")) == pytest.approx(megabytes, rel=0.1)
    card = (assets / "README.md").read_text(encoding="utf-8")
    counted = re.search(r"([\d.]+) (?:M|million) parameters", card)
    large = re.search(r"([\d.]+) MB in bf16|bf16, ([\d.]+) MB", card)
    assert counted is not None and float(counted[1]) == pytest.approx(parameters, rel=0.02)
    assert large is not None and float(large[1] or large[2]) == pytest.approx(megabytes, abs=1)


def test_nano_is_listed_with_the_size_it_draws() -> None:
    own = drawing_defaults(registry.bundled_folder("nano")).limits
    side = json.loads((registry.bundled_folder("nano") / "vae" / "config.json").read_text())["sample_size"]
    assert own is not None and f"{side}x{side}" in describe("nano")["note"]
    assert ("Chinese" in describe("nano")["note"]) == ("zh" in own.languages)


def header(file: Path) -> dict[str, Any]:
    """What the head of a safetensors file says about its tensors."""
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        found = json.loads(opened.read(size))
    return {key: entry for key, entry in found.items() if key != "__metadata__"}


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
