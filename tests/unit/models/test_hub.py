"""Downloads through the hubs' own libraries: from a real server on loopback, from the cache, and every failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkwash.core.errors import MissingExtraError, WeightsError
from inkwash.models import hub
from tests.unit.models.fake_hub import COMMIT, FakeHub, serve
from tests.unit.models.folders import hollow_checkpoint

pytestmark = pytest.mark.slow

# The hub's library reads its environment when it is imported, so every case runs in a process of its own.
SCRIPT = """
import sys
from inkwash.core.errors import InkwashError
from inkwash.models.hub import fetch
from inkwash.models.registry import resolve
try:
    if len(sys.argv) > 2:
        print(fetch(sys.argv[1], patterns=("*.json",), revision=sys.argv[2]))
    else:
        print(resolve(sys.argv[1]))
except InkwashError as error:
    print("ERROR", type(error).__name__, error)
"""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeHub]:
    repositories = {
        "me/mine": hollow_checkpoint(tmp_path / "source"),
        "me/shut": hollow_checkpoint(tmp_path / "shut"),
        "zai-org/GLM-Image": hollow_checkpoint(tmp_path / "released"),
        "me/other": tmp_path / "foreign",
    }
    (tmp_path / "foreign" / "vae").mkdir(parents=True)
    (tmp_path / "foreign" / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    (tmp_path / "foreign" / "vae" / "weights.safetensors").write_bytes(b"heavy")
    with serve(FakeHub(repositories, gated={"me/shut"})) as running:
        yield running


def ask(cache: Path, *arguments: str, url: str = "http://127.0.0.1:9", **variables: str) -> str:
    """What the script prints in a fresh process that sees only the fake hub."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(cache / "home"),
        "INKWASH_CACHE": str(cache),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 1, done.stdout
    return lines[0]


def test_a_download_brings_the_checkpoint_and_nothing_else(fake: FakeHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = Path(ask(cache, "me/mine", url=fake.url))
    assert folder.is_relative_to(cache) and folder.name == COMMIT
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"model_index.json", "README.md", "vae/diffusion_pytorch_model.safetensors"} <= found
    assert "demo.png" not in found and not any(name.endswith(".bin") for name in found)
    source = fake.repositories["me/mine"]
    assert all((folder / name).read_bytes() == (source / name).read_bytes() for name in found)
    served = len(fake.served)
    assert served == len(found)
    again = ask(cache, "me/mine", url=fake.url)
    assert Path(again) == folder and len(fake.served) == served  # everything came from the cache
    offline = ask(cache, "me/mine", INKWASH_OFFLINE="1")
    assert Path(offline) == folder


def test_a_known_name_is_fetched_by_its_repository(fake: FakeHub, tmp_path: Path) -> None:
    assert Path(ask(tmp_path / "cache", "glm-image", url=fake.url)).parent.parent.name == "models--zai-org--GLM-Image"


def test_a_foreign_repository_is_refused_before_its_weights_are_fetched(fake: FakeHub, tmp_path: Path) -> None:
    line = ask(tmp_path / "cache", "me/other", url=fake.url)
    assert line.startswith("ERROR WeightsError") and "StableDiffusionXLPipeline" in line
    assert fake.served == ["model_index.json"]


@pytest.mark.slow
def test_a_broken_download_says_so_and_the_next_one_mends_it(fake: FakeHub, tmp_path: Path) -> None:
    name = "transformer/diffusion_pytorch_model.safetensors"
    fake.broken.add(name)
    line = ask(tmp_path / "cache", "me/mine", url=fake.url)
    assert line.startswith("ERROR WeightsError") and "run the command again" in line
    fake.broken.clear()
    folder = Path(ask(tmp_path / "cache", "me/mine", url=fake.url))
    assert (folder / name).read_bytes() == (fake.repositories["me/mine"] / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("me/none",), "Hugging Face has no model me/none"),
        (("zai-org/GLM-Imag",), "Did you mean 'zai-org/GLM-Image'?"),
        (("me/shut",), "terms to be accepted"),
        (("me/mine", "v9"), "no revision 'v9'"),
        (("me/mi--ne", "main"), "is not a model name"),
    ],
)
def test_refusals_are_one_sentence(fake: FakeHub, tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    line = ask(tmp_path / "cache", *arguments, url=fake.url)
    assert line.startswith("ERROR WeightsError") and expected in line


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    line = ask(tmp_path / "cache", "me/mine")
    assert line.startswith("ERROR WeightsError")
    assert "could not be fetched from Hugging Face" in line and "Connection refused" in line


@pytest.mark.parametrize("variable", ["INKWASH_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_never_asks(fake: FakeHub, tmp_path: Path, variable: str) -> None:
    line = ask(tmp_path / "cache", "me/mine", url=fake.url, **{variable: "1"})
    assert "not complete in the local cache" in line and fake.served == []


def test_modelscope_without_its_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'inkwash\[modelscope\]'"):
        hub.fetch("ZhipuAI/GLM-Image", patterns=("*.json",), hub="modelscope")


def test_modelscope_is_asked_with_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(model_id: str, **options: object) -> str:
        asked.update(options, model_id=model_id)
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "modelscope", types.SimpleNamespace(snapshot_download=snapshot_download))
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    folder = hub.fetch("ZhipuAI/GLM-Image", patterns=("a.json",), revision="master", hub="modelscope")
    assert folder == tmp_path
    assert asked == {
        "model_id": "ZhipuAI/GLM-Image",
        "revision": "master",
        "cache_dir": str(tmp_path / "cache" / "modelscope"),
        "allow_patterns": ["a.json"],
        "local_files_only": False,
    }


def test_a_failure_of_modelscope_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(model_id: str, **options: object) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "modelscope", types.SimpleNamespace(snapshot_download=snapshot_download))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(WeightsError, match=r"could not be fetched from ModelScope \(no route to host\)"):
        hub.fetch("a/b", patterns=(), hub="modelscope")
