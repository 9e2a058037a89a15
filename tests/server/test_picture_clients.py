"""The recipes of docs/clients.md for pictures: each client, or the shape of its requests, against a live server."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.server.conftest import Live, backend_of

CLIENTS = Path(__file__).parents[1] / "clients"
GUIDE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
SIGN = 'A sign that says "OPEN"'
NODE = shutil.which("node")


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that read proxies from the environment, or would fetch a price list, find neither."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (64, 64), "blue").save(path)
    return path


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


def facts(path: Path) -> tuple[str | None, tuple[int, int]]:
    """Format and size of a file."""
    with Image.open(path) as picture:
        return picture.format, picture.size


def recipe(title: str, language: str) -> str:
    """The first sample in a language below a heading of the guide."""
    section = GUIDE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)
    assert found is not None
    return found[1]


def run_recipe(code: str, fake: Live, folder: Path) -> None:
    """A sample as it is printed, but for the address."""
    code = code.replace("http://127.0.0.1:30000", fake.url)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_python_recipe_as_printed(fake: Live, tmp_path: Path, png: Path) -> None:
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(tmp_path / "mask.png")
    shutil.copy(png, tmp_path / "poster.png")
    run_recipe(recipe("OpenAI, Python", "python"), fake, tmp_path)
    assert facts(tmp_path / "open.png") == ("PNG", (256, 256)) and facts(tmp_path / "edited.png") == ("PNG", (64, 64))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_recipes_as_printed(fake: Live, tmp_path: Path, png: Path) -> None:
    shutil.copy(png, tmp_path / "poster.png")
    code = recipe("curl", "sh").replace("http://127.0.0.1:30000", fake.url)
    done = subprocess.run(["bash", "-euc", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert facts(tmp_path / "open.png") == ("PNG", (256, 256)) and facts(tmp_path / "edited.png")[0] == "PNG"


@pytest.mark.skipif(
    NODE is None or not (CLIENTS / "node_modules" / "openai").is_dir(),
    reason="the JavaScript client is not installed: npm --prefix tests/clients ci",
)
def test_the_official_javascript_client(fake: Live, png: Path) -> None:
    assert NODE is not None
    done = subprocess.run(
        [NODE, "openai_pictures.mjs", f"{fake.url}/v1", png], cwd=CLIENTS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["models"][0] == "nano" and said["seeds"][1] == said["seeds"][0] + 1
    assert [opened(text).size for text in [*said["drawn"], said["edited"]]] == [(64, 64)] * 3
    assert said["events"][-1] == "image_generation.completed" and "image_generation.partial_image" in said["events"]
    assert said["refused"] == {"status": 400, "param": "size", "code": "invalid_value"}


@pytest.mark.slow  # its import takes seconds
@pytest.mark.filterwarnings("ignore")  # its own deprecations
def test_litellm_draws_and_edits(fake: Live, png: Path) -> None:
    litellm = pytest.importorskip("litellm")
    ask: dict[str, Any] = {"model": "openai/nano", "api_base": f"{fake.url}/v1", "api_key": "none", "size": "64x64"}
    drawn = litellm.image_generation(prompt=SIGN, n=2, **ask)
    assert [opened(one.b64_json).size for one in drawn.data] == [(64, 64)] * 2
    with png.open("rb") as file:
        edited = litellm.image_edit(image=file, prompt="a red circle", **ask)
    assert opened(edited.data[0].b64_json).size == (64, 64)
    assert len(backend_of(fake).drawn[-1].images) == 1
    with pytest.raises(litellm.exceptions.BadRequestError, match="size"):
        litellm.image_generation(prompt=SIGN, **{**ask, "size": "9999x64"})


def test_open_webui_draws(fake: Live) -> None:
    """Settings > Images, engine "Default (Open AI)": this body, and the names of the user in headers."""
    headers = {"Authorization": "Bearer none", "X-OpenWebUI-User-Name": "Ann", "X-OpenWebUI-User-Role": "admin"}
    assert "nano" in {model["id"] for model in fake.http.get("/v1/models", headers=headers).json()["data"]}
    body = {"model": "nano", "prompt": SIGN, "n": 2, "size": "64x64", "response_format": "b64_json"}
    answer = fake.http.post("/v1/images/generations", json=body, headers=headers).json()
    assert [opened(one["b64_json"]).size for one in answer["data"]] == [(64, 64)] * 2 and not answer.get("warnings")


@pytest.mark.parametrize("count", [1, 2])
def test_open_webui_edits(fake: Live, png: Path, count: int) -> None:
    """One picture is the field `image`, several are `image[]`; numbers come as texts."""
    name = "image" if count == 1 else "image[]"
    files = [(name, (f"{number}.png", png.read_bytes(), "image/png")) for number in range(count)]
    form = {"model": "nano", "prompt": "a red circle", "n": "1", "size": "64x64", "response_format": "b64_json"}
    answer = fake.http.post("/v1/images/edits", data=form, files=files)
    assert answer.status_code == 200, answer.text
    assert opened(answer.json()["data"][0]["b64_json"]).size == (64, 64)
    assert len(backend_of(fake).drawn[-1].images) == count
