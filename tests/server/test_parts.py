"""The small parts by themselves: addresses, plan handles, sizes, prompt enhancement."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inkwash.core.errors import ConfigError, RequestError
from inkwash.core.types import Size
from inkwash.engine.output import Plan, upsample
from inkwash.serve.enhance import RULES, Enhanced, enhance
from inkwash.serve.handles import PlanHandle, PlanSigner, of_plan
from inkwash.serve.quality import CHOICES, choose
from inkwash.serve.settings import EnhanceSettings, ServeSettings
from inkwash.serve.sizes import MaskedCanvas, centre_crop, drawn_size, pad_edges
from inkwash.serve.state import StateFolder
from inkwash.serve.urls import read_url
from tests.server.conftest import backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import SMALL, data_url, gradient


@contextmanager
def other_host(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """A web server of somebody else on this machine; yields host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def read(url: str, hosts: tuple[str, ...] = (), max_bytes: int = 10_000) -> bytes:
    return asyncio.run(read_url(url, hosts=hosts, max_bytes=max_bytes, param="image"))


def test_only_allowed_hosts_are_fetched_and_redirects_are_not_followed() -> None:
    answers = {
        "/a.png": (200, {}, SMALL),
        "/away": (302, {"Location": "/a.png"}, b""),
        "/large": (200, {}, b"x" * 20_000),
        "/none": (404, {}, b""),
    }
    with other_host(answers) as host:
        assert read(f"http://{host}/a.png", (host,)) == SMALL
        for path, hosts, status in (
            ("/a.png", (), 403),
            ("/a.png", ("127.0.0.1",), 403),  # another port is another host
            ("/away", (host,), 400),
            ("/none", (host,), 400),
            ("/large", (host,), 413),
        ):
            with pytest.raises(RequestError) as caught:
                read(f"http://{host}{path}", hosts)
            assert caught.value.status == status, path
    with pytest.raises(RequestError, match="could not be read"):
        read(f"http://{host}/a.png", (host,))  # nobody listens there any more


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a@host/", "ftp://host/a", "//host/a", "/etc/passwd", "", "http:"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(url, ("host", "::1"))
    assert caught.value.status == 400


def test_data_urls() -> None:
    assert read(data_url(b"abc")) == read("data:;base64,YWJj") == read("DATA:image/png;x=y;base64,YW Jj") == b"abc"
    assert read("data:text/plain,a%20b") == b"a b"
    for wrong in ("data:image/png;base64,a", "data:image/png;base64,a!!!", "data:no comma", data_url(b"x" * 10_001)):
        with pytest.raises(RequestError):
            read(wrong)


SIGNER = PlanSigner(b"secret", 60.0)


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_handles_give_back_what_was_signed(rows: int, columns: int, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, 16383), min_size=rows * columns, max_size=rows * columns))
    plan = Plan(upsample(torch.tensor(tokens), (rows, columns))[None])
    drawn = Size(columns * 32, rows * 32)
    handle = of_plan(plan, 0, final_size=Size(7, 9), drawn=drawn, references=["abc"])
    again = SIGNER.read(SIGNER.write(handle))
    assert again == handle and torch.equal(again.plan().prior_token_ids, plan.prior_token_ids)


def test_handles_expire_and_cannot_be_changed() -> None:
    handle = PlanHandle(tokens=(1, 2, 3, 4), final_size=Size(64, 64), drawn=Size(64, 64), references=())
    text = SIGNER.write(handle, now=1000.0)
    assert SIGNER.read(text, now=1059.0) == handle
    with pytest.raises(RequestError, match="older than") as old:
        SIGNER.read(text, now=1062.0)
    assert old.value.code == "plan_expired"
    for wrong in (text[:-1], text[:20] + "A" + text[21:], text.replace("plan1.", "plan2."), "plan1..", "", "plan1.é.é"):
        with pytest.raises(RequestError, match="no handle"):
            SIGNER.read(wrong, now=1000.0)
    with pytest.raises(RequestError):
        PlanSigner(b"another", 60.0).read(text, now=1000.0)


def test_the_state_folder_has_one_server_and_a_private_secret(tmp_path: Any) -> None:
    folder = StateFolder(tmp_path / "state")
    secret = folder.secret()
    assert folder.secret() == secret and len(secret) == 32
    assert (tmp_path / "state" / "secret").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="another server uses it"):
        StateFolder(tmp_path / "state")
    folder.release()
    again = StateFolder(tmp_path / "state")
    assert again.secret() == secret
    (tmp_path / "state" / "secret").write_bytes(b"")
    with pytest.raises(ConfigError, match="cut short"):
        again.secret()
    again.release()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="state folder"):
        StateFolder(tmp_path / "file")


@given(st.integers(1, 2048), st.integers(1, 2048))
def test_drawn_sizes_cover_the_asked_ones(width: int, height: int) -> None:
    try:
        drawn = drawn_size(Size(width, height))
    except RequestError as error:
        assert error.param == "size" and max(width, height) > 3.5 * min(width, height)  # noqa: PT017
        return
    assert drawn.width >= width and drawn.height >= height and drawn.aspect <= 4
    assert all(side % 32 == 0 and side >= 32 for side in drawn)
    assert all(d - a < 32 or d == 32 for d, a in zip(drawn, (width, height), strict=True))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 50), st.integers(0, 50))
def test_padding_is_undone_by_the_centre_crop(width: int, height: int, more: int, further: int) -> None:
    picture = gradient(width, height)
    size = Size(width + more, height + further)
    padded = pad_edges(picture, size)
    assert padded.size == size and centre_crop(padded, Size(width, height)).tobytes() == picture.tobytes()
    assert set(padded.get_flattened_data()) <= set(picture.get_flattened_data()), "margins continue the edges"


def test_a_canvas_keeps_what_is_outside_the_mask() -> None:
    original = gradient(50, 40)
    change = Image.new("L", (50, 40), 0)
    change.paste(255, (10, 10, 20, 20))
    canvas = MaskedCanvas(original=original, change=change)
    assert canvas.drawn == (64, 64) and canvas.picture().size == canvas.mask().size == (64, 64)
    restored = canvas.restore(Image.new("RGB", (64, 64), (1, 2, 3)))
    assert restored.crop((10, 10, 20, 20)).getcolors() == [(100, (1, 2, 3))]
    restored.paste(original.crop((10, 10, 20, 20)), (10, 10))
    assert restored.tobytes() == original.tobytes()


def test_a_clients_own_steps_count_in_every_quality() -> None:
    for choice in CHOICES.values():
        for steps in range(1, 200):
            assert choice.taken(choice.asked_for(steps)) == steps, (choice, steps)
    assert choose(None) is choose("auto") is CHOICES["xhigh"] and choose("hd") is CHOICES["high"]


def chat(content: Any, status: int = 200) -> httpx2.MockTransport:
    """An endpoint that always answers the same."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        assert request.url.path == "/v1/chat/completions" and request.headers["authorization"] == "Bearer k"
        assert asked["model"] == "m" and asked["messages"][0]["content"] == RULES
        return httpx2.Response(status, json={"choices": [{"message": {"content": content}}]})

    return httpx2.MockTransport(answer)


ENDPOINT = EnhanceSettings(url="http://there/v1/", model="m", key="k", timeout_s=0.3)
PROMPT = 'A café sign that says "CAFÉ 7" and “二号”'


def test_enhancement_keeps_quoted_texts_or_is_thrown_away() -> None:
    better = 'A wooden sign over a door says "CAFÉ 7"; below, in red, “二号”. Watercolour.'
    assert asyncio.run(enhance(PROMPT, ENDPOINT, transport=chat(better))) == Enhanced(better)
    thought = f"<think>what to say</think>\n{better}"
    assert asyncio.run(enhance(PROMPT, ENDPOINT, transport=chat(thought))) == Enhanced(better)
    for content, status, said in (
        ('A sign that says "CAFE 7" and “二号”', 200, "lost the text 'CAFÉ 7'"),
        ("", 200, "empty"),
        (None, 200, "empty"),
        ("x" * 40_000, 200, "too long"),
        (better, 500, "status 500"),
    ):
        failed = asyncio.run(enhance(PROMPT, ENDPOINT, transport=chat(content, status)))
        assert failed.revised is None and failed.warning is not None and said in failed.warning


def test_a_failing_endpoint_draws_the_original_prompt(settings: Callable[..., ServeSettings]) -> None:
    nowhere = EnhanceSettings(url="http://127.0.0.1:1/v1", model="m", always=True)
    with running(settings(enhance=nowhere), FakeBackend) as live:
        answer = live.http.post("/v1/images/generations", json={"prompt": "a dog", "seed": 1}).json()
        assert "could not be reached" in answer["warnings"][0] and backend_of(live).drawn[-1].prompt == "a dog"
        assert "revised_prompt" not in answer["data"][0]
        quiet = live.http.post("/v1/images/generations", json={"prompt": "a dog", "enhance_prompt": False}).json()
        assert quiet["warnings"] == []


def test_a_rewritten_prompt_is_drawn_and_shown(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def better(prompt: str, *_: Any, **__: Any) -> Enhanced:
        return Enhanced(f"{prompt}, in watercolour")

    monkeypatch.setattr("inkwash.serve.service.enhance", better)
    with running(settings(enhance=ENDPOINT), FakeBackend) as live:
        plain = live.http.post("/v1/images/generations", json={"prompt": "a dog"}).json()
        assert "revised_prompt" not in plain["data"][0], "off unless it is asked for"
        answer = live.openai.images.generate(prompt="a dog", extra_body={"enhance_prompt": True})
        assert answer.data is not None and answer.data[0].revised_prompt == "a dog, in watercolour"
        assert backend_of(live).drawn[-1].prompt == "a dog, in watercolour"
        job = live.http.post(
            "/v1/images/generations?background=true", json={"prompt": "a cat", "enhance_prompt": True}
        ).json()
        live.wait(lambda: live.http.get(f"/v1/jobs/{job['id']}").json()["status"] == "completed")
        assert backend_of(live).drawn[-1].prompt == "a cat, in watercolour"
