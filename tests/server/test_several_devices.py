"""A server whose models are shared by two processes each: the official client, and a process killed under load."""

from __future__ import annotations

import base64
import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from PIL import Image

from inkwash.engine.open import LoadOptions, open_vision_pipeline
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest
from inkwash.serve.backend import LocalBackend, load_backend
from inkwash.serve.server import mount_chat
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import Live, running

pytestmark = pytest.mark.slow  # processes that load torch, and one that is started again

HELLO = [{"role": "user", "content": "Say hello."}]
SETTINGS: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 1.5}
CLIENTS, BACK_S = 4, 30.0


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = ServeSettings(state=tmp_path_factory.mktemp("shared"), device="cpu", tensor_parallel_size=2)
    load = lambda: load_backend(LoadOptions(model="nano", device="cpu", tensor_parallel_size=2), max_queue=16)  # noqa: E731
    chat = ChatSettings(model="nano-v")
    with running(settings, load, prepare=lambda app, service: mount_chat(app, service, chat)) as live:
        yield live


def draw(client: openai.OpenAI, seed: int) -> Image.Image:
    answer = client.images.generate(
        model="nano", prompt="a red circle", size="64x64", extra_body=SETTINGS | {"seed": seed}
    )  # type: ignore[call-overload]
    content = answer.data[0].b64_json
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_the_official_client_gets_what_one_process_makes(live: Live) -> None:
    picture = draw(live.openai, 7)
    alone = GlmImagePipeline.from_pretrained("nano", device_map="cpu")
    request = DrawRequest(prompt="a red circle", width=64, height=64, seed=7, **SETTINGS)
    assert picture.convert("RGB").tobytes() == alone.draw(request).images[0].tobytes()
    said = live.openai.chat.completions.create(model="nano-v", messages=HELLO, temperature=0, max_tokens=24)  # type: ignore[arg-type]
    one = open_vision_pipeline(LoadOptions(model="nano-v", device="cpu"))(HELLO, temperature=0, max_new_tokens=24)
    assert said.usage is not None and said.usage.completion_tokens == one.usage.completion_tokens
    assert (said.choices[0].message.content or "").strip() == one.content.strip()


def test_a_killed_process_leaves_no_request_without_an_answer(live: Live) -> None:
    """Every request of four clients ends with a picture, an answer, or 503 and when to come back."""
    backend, chat = live.service.backend, live.service.chat
    assert isinstance(backend, LocalBackend) and chat is not None and chat.pipe.shared is not None
    groups = [backend.ranks(), chat.pipe.shared.group]
    ended = threading.Event()
    outcomes: list[object] = []
    answered: list[tuple[int, float]] = []

    def ask(number: int) -> None:
        while not ended.is_set():
            try:
                if number % 2:
                    live.openai.chat.completions.create(model="nano-v", messages=HELLO, max_tokens=24)  # type: ignore[arg-type]
                else:
                    draw(live.openai, number)
                outcomes.append(200)
                answered.append((number % 2, time.monotonic()))
            except openai.APIStatusError as error:
                waits = int(error.response.headers.get("retry-after", 0))
                outcomes.append(error.status_code if waits >= 1 else error.message)
                time.sleep(0.2)
            except BaseException as error:
                outcomes.append(repr(error))
                raise

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        live.wait(lambda: {kind for kind, _ in answered} == {0, 1}, 60)
        killed = time.monotonic()
        for group in groups:
            assert group is not None
            os.kill(group.processes[0], signal.SIGKILL)
        live.wait(lambda: 503 in outcomes, 20)
        live.wait(lambda: {kind for kind, at in answered if at > killed + 1.0} == {0, 1}, 2 * BACK_S)
        later = [(kind, at) for kind, at in answered if at > killed + 1.0]
        back = max(min(at for each, at in later if each == kind) for kind in (0, 1)) - killed
    finally:
        ended.set()
        for client in clients:
            client.join(60)
    assert set(outcomes) == {200, 503} and not any(client.is_alive() for client in clients)
    assert back <= BACK_S
    live.wait(lambda: live.http.get("/health").status_code == 200, 10)


def test_health_says_that_a_process_is_started_again(live: Live) -> None:
    backend = live.service.backend
    assert isinstance(backend, LocalBackend)
    group = backend.ranks()
    assert group is not None
    os.kill(group.processes[0], signal.SIGKILL)
    live.wait(lambda: not group.up, 20)
    said = live.http.get("/health")
    if not group.up:  # it may be quick
        assert said.status_code == 503 and said.json()["status"] == "restarting"
    live.wait(lambda: live.http.get("/health").json()["status"] == "ready", 60)
