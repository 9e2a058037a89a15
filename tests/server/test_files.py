"""`response_format=url`: addresses in place of pictures, which expire, are of bounded size, and cannot be guessed."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from inkwash.serve import access
from inkwash.serve.files import PictureFiles
from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import SMALL
from tests.server.test_generations import picture
from tests.server.test_jobs import ended, put
from tests.server.test_limits import KEYS


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_the_official_client_gets_addresses(fake: Live, kind: str) -> None:
    asked = {"model": "nano", "prompt": "a", "n": 2, "size": "80x70", "output_format": kind, "extra_body": {"seed": 4}}
    answer = fake.openai.images.generate(response_format="url", **asked)  # type: ignore[call-overload]
    direct = fake.openai.images.generate(**asked)  # type: ignore[call-overload]
    assert len(answer.data) == 2
    for addressed, whole in zip(answer.data, direct.data, strict=True):
        assert addressed.b64_json is None and addressed.url.startswith(f"{fake.url}/v1/images/files/")
        said = fake.http.get(addressed.url)
        assert (said.status_code, said.headers["content-type"]) == (200, f"image/{kind}")
        assert "max-age=3600" in said.headers["cache-control"]
        drawn = Image.open(io.BytesIO(said.content))
        assert drawn.convert("RGB").tobytes() == picture(whole.model_dump()).tobytes()


def test_edits_and_jobs_get_addresses_too(fake: Live) -> None:
    fields = {"prompt": "a", "seed": "1", "response_format": "url"}
    edited = fake.http.post("/v1/images/edits", data=fields, files={"image": SMALL}).json()
    assert fake.http.get(edited["data"][0]["url"]).status_code == 200
    job = ended(fake, put(fake, seed=4, response_format="url")["id"])
    first = job["result"]["data"][0]["url"]
    again = fake.http.get(f"/v1/jobs/{job['id']}").json()["result"]["data"][0]["url"]
    assert first == again and fake.http.get(first).status_code == 200 and "b64_json" not in job["result"]["data"][0]


def test_addresses_need_no_key_and_survive_a_restart(settings: Callable[..., ServeSettings]) -> None:
    lines: list[str] = []
    access.configure(False)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    access.access_log.addHandler(handler)
    try:
        with running(settings(api_keys=KEYS), FakeBackend) as live:
            headers = {"Authorization": "Bearer secret-of-ann"}
            body = {"prompt": "a", "response_format": "url"}
            answer = live.http.post("/v1/images/generations", json=body, headers=headers).json()
            path = answer["data"][0]["url"].removeprefix(live.url)
            assert live.http.get(path).status_code == 200
            document = live.http.get("/openapi.json").json()["paths"]
            assert "security" not in document["/v1/images/files/{name}"]["get"]
        with running(settings(api_keys=KEYS), FakeBackend) as live:
            assert live.http.get(path).status_code == 200
    finally:
        access.access_log.removeHandler(handler)
    assert not [line for line in lines if path.rpartition("/")[2] in line]
    assert "/v1/images/files/..." in {json.loads(line)["path"] for line in lines}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EMFILE])
def test_no_room_for_what_clients_send_passes(fake: Live, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Not a failure of the request: 503 with a sentence and a time, and the next one is served."""

    def full(*_: object) -> int:
        raise OSError(number, "full")

    def edit() -> httpx2.Response:
        return fake.http.post("/v1/images/edits", data={"prompt": "a", "seed": "1"}, files={"image": SMALL})

    with monkeypatch.context() as patch:
        patch.setattr("inkwash.media.process._file", full)
        answer = edit()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], answer.headers["retry-after"]) == (503, "storage_failed", "10")
    assert error["message"].startswith("The server has no room for files now (") and edit().status_code == 200


@pytest.mark.parametrize(
    "name",
    ["a.png", "..%2F..%2Fsecret", "../jobs.sqlite3", f"{'0' * 64}.png", f"{'0' * 64}.png.part", "%00", "x" * 5000],
)
def test_other_names_are_not_found(fake: Live, name: str) -> None:
    said = fake.http.get(f"/v1/images/files/{name}")
    assert said.status_code == 404 and said.json()["error"]["message"]


def test_pictures_expire_and_the_oldest_make_room(tmp_path: Path) -> None:
    files = PictureFiles(tmp_path / "pictures", b"secret", ttl_s=100, max_bytes=25)
    names = [files.keep(bytes([number]) * 10, "png") for number in range(2)]
    assert files.keep(b"\0" * 10, "png") == names[0], "the same picture, the same name"
    assert PictureFiles(tmp_path / "pictures", b"other").keep(b"\0" * 10, "png") not in names
    kept = [files.find(name) for name in names]
    assert all(path is not None and path.stat().st_mode & 0o077 == 0 for path in kept)
    os.utime(tmp_path / "pictures" / names[0], (time.time() - 50,) * 2)
    third = files.keep(b"\2" * 10, "png")
    assert files.find(names[0]) is None and files.find(third) is not None
    os.utime(tmp_path / "pictures" / third, (time.time() - 101,) * 2)
    assert files.find(third) is None
    large = files.keep(b"\3" * 99, "png")
    assert files.find(large) is not None and not (tmp_path / "pictures" / third).exists()


def test_a_full_disk_does_not_lose_the_picture(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), FakeBackend) as live:
        folder = live.service.settings.folder / "files"
        folder.write_bytes(b"no folder can be made here")
        asked = {"prompt": "a", "size": "64x64", "response_format": "url"}
        answer = live.http.post("/v1/images/generations", json=asked)
        assert answer.status_code == 200, answer.text
        (picture,) = answer.json()["data"]
        assert picture["b64_json"] and "url" not in picture
        assert any("could not be kept" in warning for warning in answer.json()["warnings"])
        folder.unlink()
        assert "url" in live.http.post("/v1/images/generations", json=asked).json()["data"][0]
