"""The official client against a live chat endpoint around a tiny model that says what it is told to."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from inkwash.engine.see.batcher import AnswerBatcher
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.serve import errors
from inkwash.serve.access import Access
from inkwash.serve.auth import read_keys
from inkwash.serve.chat import Chat, make_chat_router
from inkwash.serve.listen import bind
from inkwash.serve.metrics import Metrics
from inkwash.serve.server import mount_chat
from inkwash.serve.settings import ChatSettings, ServeSettings
from tests.server.conftest import running
from tests.server.fakes import FakeBackend
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.media.test_videos import write_video

SAID = "\n<think>hm</think>\nA <b>red</b> square."
CALL = "\n<think></think>\nWait.<tool_call>crop\n<arg_key>box</arg_key>\n<arg_value>[1, 2]</arg_value>\n</tool_call>"
TOOL = {"type": "function", "function": {"name": "crop", "parameters": {"type": "object", "properties": {}}}}


@contextmanager
def serving(pipe: GlmVisionPipeline, hosts: tuple[str, ...] = (), **settings: Any) -> Iterator[openai.OpenAI]:
    """The official client of a live server around a pipeline."""
    app = FastAPI()
    errors.install(app)
    metrics = Metrics(lambda: None, lambda: True)
    app.state.service = SimpleNamespace(metrics=metrics)
    app.add_middleware(Access, metrics=metrics, max_body_bytes=2**24)
    app.include_router(make_chat_router(Chat(pipe, ChatSettings(model="tiny", **settings), hosts)))
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    http = httpx2.Client(trust_env=False)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    while not server.started:
        time.sleep(0.01)
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=60, http_client=http) as made:
        yield made
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> GlmVisionPipeline:
    return GlmVisionPipeline(tiny_parts(tmp_path_factory.mktemp("chat")))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that clients may name."""
    folder = tmp_path_factory.mktemp("media")
    Image.new("RGB", (40, 40), "blue").save(folder / "blue.png")
    return folder


@pytest.fixture(scope="module")
def client(pipe: GlmVisionPipeline, media: Path) -> Iterator[openai.OpenAI]:
    with serving(pipe, folder=media, max_images=2, max_videos=1) as made:
        yield made


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the model says; the prompts and settings that reached it."""
    script: dict[str, Any] = {"text": SAID, "prompts": [], "budgets": []}

    def generate(self: AnswerBatcher, run: Any, sampling: Any, budget: Any, *rest: Any) -> Iterator[str]:
        script["prompts"].append(run.prompt.text)
        script["budgets"].append(budget)
        run.text, run.ids, run.finish = script["text"], [1, 2, 3], "stop"
        yield from (script["text"][start : start + 4] for start in range(0, len(script["text"]), 4))

    monkeypatch.setattr(AnswerBatcher, "generate", generate)
    return script


def picture() -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def at(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}]


def test_an_answer_with_its_thoughts(client: openai.OpenAI, say: dict[str, Any]) -> None:
    answer = client.chat.completions.create(model="tiny", messages=user(picture(), picture(), "What is it?"))
    message = answer.choices[0].message
    assert message.content == "A <b>red</b> square." and message.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert answer.choices[0].finish_reason == "stop" and answer.model == "tiny"
    assert answer.usage is not None and answer.usage.total_tokens == answer.usage.prompt_tokens + 3
    assert say["prompts"][0].count("<|begin_of_image|>") == 2


def test_a_stream_joins_to_the_same(client: openai.OpenAI, say: dict[str, Any]) -> None:
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=user("Hi"), stream=True, stream_options={"include_usage": True}
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas).strip() == "A <b>red</b> square."
    assert "".join(getattr(delta, "reasoning_content", "") or "" for delta in deltas) == "hm"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop" and chunks[-1].usage is not None


def test_thinking_switch_and_budget(client: openai.OpenAI, say: dict[str, Any]) -> None:
    client.chat.completions.create(
        model="tiny", messages=user("Hi"), extra_body={"chat_template_kwargs": {"enable_thinking": False}}
    )
    client.chat.completions.create(model="tiny", messages=user("Hi"), extra_body={"thinking_budget": 7}, max_tokens=9)
    assert "/nothink" in say["prompts"][0] and "/nothink" not in say["prompts"][1]
    assert say["budgets"][1].thinking == 7 and say["budgets"][1].max_new_tokens == 9


def test_a_bound_of_the_checkpoint_holds_where_the_request_has_none(
    pipe: GlmVisionPipeline, client: openai.OpenAI, say: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pipe.parts.generation, "max_new_tokens", 11)
    client.chat.completions.create(model="tiny", messages=user("Hi"))
    client.chat.completions.create(model="tiny", messages=user("Hi"), max_tokens=20)
    client.responses.create(model="tiny", input="Hi")
    client.responses.create(model="tiny", input="Hi", max_output_tokens=20)
    assert [budget.max_new_tokens for budget in say["budgets"]] == [11, 20, 11, 20]


def test_tools(client: openai.OpenAI, say: dict[str, Any]) -> None:
    say["text"] = CALL
    answer = client.chat.completions.create(model="tiny", messages=user("Crop it."), tools=[TOOL])  # type: ignore[list-item]
    call = answer.choices[0].message.tool_calls[0]  # type: ignore[index]
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content == "Wait."
    assert (call.function.name, call.function.arguments) == ("crop", '{"box": [1, 2]}')  # type: ignore[union-attr]
    stream = client.chat.completions.create(model="tiny", messages=user("Crop it."), tools=[TOOL], stream=True)  # type: ignore[list-item]
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas).strip() == "Wait."
    pieces = [d.tool_calls[0] for d in deltas if d.tool_calls]
    assert [piece.function.name for piece in pieces] == ["crop", None] and pieces[0].id  # type: ignore[union-attr]
    assert "".join(piece.function.arguments for piece in pieces) == '{"box": [1, 2]}'  # type: ignore[union-attr, misc]
    messages = [*user("Crop it."), answer.choices[0].message, {"role": "tool", "content": "done"}, *user("And?")]
    say["text"] = SAID
    assert client.chat.completions.create(model="tiny", messages=messages, tools=[TOOL]).choices  # type: ignore[list-item]
    assert "<tool_call>crop" in say["prompts"][-1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": "other"}, "not served here"),
        ({"messages": []}, "messages"),
        (
            {"messages": user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})},
            "outside of the folders",
        ),
        ({"messages": user(at("http://localhost/a.png"))}, "Remote URLs"),
        ({"messages": user(picture(), picture(), picture())}, "at most 2"),
        (
            {"messages": user({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})},
            "not a picture",
        ),
        ({"temperature": 50}, "temperature"),
        ({"n": 17}, "n is 17"),
        ({"extra_body": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_errors_are_the_fields(client: openai.OpenAI, say: dict[str, Any], changed: dict[str, Any], said: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError, openai.UnprocessableEntityError)) as caught:
        client.chat.completions.create(**{"model": "tiny", "messages": user("Hi"), **changed})
    assert said in str(caught.value) and not say["prompts"]


def test_without_a_script_the_tiny_model_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=user(picture(), "?"), max_tokens=5, temperature=0)
    assert answer.usage is not None and answer.usage.completion_tokens == 5
    assert answer.choices[0].finish_reason == "length"


def test_a_file_below_the_allowed_folder(
    pipe: GlmVisionPipeline, client: openai.OpenAI, say: dict[str, Any], media: Path, tmp_path: Path
) -> None:
    client.chat.completions.create(model="tiny", messages=user(at((media / "blue.png").as_uri()), "?"))
    assert say["prompts"][0].count("<|begin_of_image|>") == 1
    (media / "way_out.png").symlink_to("/etc/passwd")
    with pytest.raises(openai.BadRequestError, match="outside of the folders"):
        client.chat.completions.create(model="tiny", messages=user(at((media / "way_out.png").as_uri()), "?"))
    assert Chat(pipe, ChatSettings(model="tiny")).rules.roots == ()


def test_a_picture_in_plain_base64_is_read(client: openai.OpenAI, say: dict[str, Any]) -> None:
    url = picture()["image_url"]["url"].partition(",")[2]
    client.chat.completions.create(model="tiny", messages=user(at(url), "?"))
    assert say["prompts"][0].count("<|begin_of_image|>") == 1
    with pytest.raises(openai.BadRequestError, match="not a picture") as caught:
        client.chat.completions.create(model="tiny", messages=user(at("QUJD" * 5000), "?"))
    with pytest.raises(openai.BadRequestError, match="send the image itself, as a data URL") as named:
        client.chat.completions.create(model="tiny", messages=user(at("a/b.png" * 5000), "?"))
    assert all(len(str(error.value)) < 400 for error in (caught, named))  # a long value is not sent back


def test_an_address_on_an_allowed_host(
    pipe: GlmVisionPipeline, client: openai.OpenAI, say: dict[str, Any], media: Path
) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(media))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{files.server_port}"
        url = f"http://{host}/blue.png"
        with serving(pipe, hosts=(host,)) as made:
            made.chat.completions.create(model="tiny", messages=user(at(url), "?"))
            with pytest.raises(openai.PermissionDeniedError, match="may not fetch"):
                made.chat.completions.create(model="tiny", messages=user(at("http://127.0.0.1:1/a.png"), "?"))
            with pytest.raises(openai.BadRequestError, match="status 404"):
                made.chat.completions.create(model="tiny", messages=user(at(f"http://{host}/gone.png"), "?"))
        assert say["prompts"][0].count("<|begin_of_image|>") == 1 and len(say["prompts"]) == 1
        files.shutdown()


def video_part(tmp_path: Path) -> dict[str, Any]:
    content = write_video(tmp_path / "video.mp4").read_bytes()
    url = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    return {"type": "video_url", "video_url": {"url": url}}


def test_a_video_alone_and_beside_pictures(client: openai.OpenAI, tmp_path: Path) -> None:
    video = video_part(tmp_path)
    for parts in ((video, "What?"), (picture(), video, picture(), "What?")):
        answer = client.chat.completions.create(model="tiny", messages=user(*parts), max_tokens=6, temperature=0)
        assert answer.usage is not None and answer.usage.completion_tokens == 6
        assert answer.usage.prompt_tokens > 100
    with pytest.raises(openai.BadRequestError, match="at most 1"):
        client.chat.completions.create(model="tiny", messages=user(video, video, "What?"))
    broken = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAAIGZ0eXA="}}
    with pytest.raises(openai.BadRequestError, match="video"):
        client.chat.completions.create(model="tiny", messages=user(broken, "What?"))


def test_frames_follow_the_launch_settings(pipe: GlmVisionPipeline, say: dict[str, Any], tmp_path: Path) -> None:
    counts = []
    for settings in ({"max_frames": 2}, {"fps": 4.0}, {}):
        with serving(pipe, **settings) as made:
            made.chat.completions.create(model="tiny", messages=user(video_part(tmp_path), "What?"))
        counts.append(say["prompts"][-1].count("<|begin_of_image|>"))
    assert counts[0] == 1 < counts[2] < counts[1]


def test_parsers_may_be_turned_off(pipe: GlmVisionPipeline, say: dict[str, Any]) -> None:
    def ask(made: openai.OpenAI, **more: Any) -> Any:
        return made.chat.completions.create(model="tiny", messages=user("Hi"), **more)

    with serving(pipe, reasoning=False) as made:
        message = ask(made).choices[0].message
        whole = "<think>hm</think>\nA <b>red</b> square."
        assert message.content == whole and not hasattr(message, "reasoning_content")
        chunks = [chunk.choices[0].delta for chunk in ask(made, stream=True)]
        assert "".join(d.content or "" for d in chunks).replace("\n", "") == whole.replace("\n", "")
    say["text"] = CALL
    with serving(pipe, tools=False) as made:
        choice = ask(made, tools=[TOOL]).choices[0]
        assert "<tool_call>crop" in choice.message.content and choice.finish_reason == "stop"
        deltas = [chunk.choices[0].delta for chunk in ask(made, tools=[TOOL], stream=True)]
        assert "<tool_call>crop" in "".join(d.content or "" for d in deltas) and not any(d.tool_calls for d in deltas)
    with serving(pipe, auto_tools=False) as made:
        with pytest.raises(openai.BadRequestError, match="no-auto-tool-choice"):
            ask(made, tools=[TOOL])
        assert ask(made, tools=[TOOL], tool_choice="none").choices


def test_raw_html_is_fenced_where_asked_and_nowhere_else(client: openai.OpenAI, say: dict[str, Any]) -> None:
    page = "<html>\n<body>Hi</body>\n</html>"
    say["text"] = f"\n<think></think>\nHere:\n{page}\nDone."
    ask: dict[str, Any] = {"model": "tiny", "messages": user("A page.")}
    assert client.chat.completions.create(**ask).choices[0].message.content == f"Here:\n{page}\nDone."
    ask["extra_body"] = {"fence_html": True}
    fenced = f"Here:\n```html\n{page}\n```\nDone."
    assert client.chat.completions.create(**ask).choices[0].message.content == fenced
    chunks = client.chat.completions.create(**ask, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks).strip() == fenced


def test_marks_of_boxes_stay_where_asked(client: openai.OpenAI, say: dict[str, Any]) -> None:
    box = "<|begin_of_box|>[[1, 2, 3, 4]]<|end_of_box|>"
    say["text"] = f"\n<think></think>\nHere: {box}."
    ask: dict[str, Any] = {"model": "tiny", "messages": user("Where?")}
    assert client.chat.completions.create(**ask).choices[0].message.content == "Here: [[1, 2, 3, 4]]."
    ask["extra_body"] = {"skip_special_tokens": False}
    assert client.chat.completions.create(**ask).choices[0].message.content == f"Here: {box}."
    chunks = client.chat.completions.create(**ask, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks).strip() == f"Here: {box}."


def test_clients_are_answered_together_and_as_alone(pipe: GlmVisionPipeline, client: openai.OpenAI) -> None:
    """Eight clients of a live server at once, streaming and not: each gets the answer that it gets alone."""

    def ask(number: int) -> str:
        settings: dict[str, Any] = {"model": "tiny", "max_tokens": 40, "temperature": 1.0, "seed": number}
        messages = user(picture(), f"Question {number}?")
        if number % 2:
            return str(client.chat.completions.create(messages=messages, **settings).choices[0].message.content)
        chunks = client.chat.completions.create(messages=messages, stream=True, **settings)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()

    alone = [ask(number) for number in range(8)]
    assert pipe.batcher is not None
    pipe.batcher.largest_batch = 0
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == alone
    assert pipe.batcher.largest_batch > 1


def test_a_client_that_goes_away_stops_its_answer(pipe: GlmVisionPipeline, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="tiny", messages=user("Hi"), max_tokens=3000, stream=True)
    next(iter(stream))
    stream.close()
    assert pipe.batcher is not None
    ends = time.monotonic() + 20
    while pipe.batcher.answering and time.monotonic() < ends:
        time.sleep(0.02)
    assert not pipe.batcher.answering


def test_a_model_that_sees_is_served_alone(settings: Callable[..., ServeSettings]) -> None:
    chat = ChatSettings(model="nano-v", name="my-eyes")
    with running(settings(model="my-eyes"), None, prepare=lambda app, service: mount_chat(app, service, chat)) as live:
        assert live.http.get("/health").json()["status"] == "ready"
        assert [m["id"] for m in live.http.get("/v1/models").json()["data"]] == ["my-eyes"]
        said = live.openai.chat.completions.create(model="my-eyes", messages=user("Hello"), max_tokens=2)
        assert said.model == "my-eyes" and said.usage is not None
        with pytest.raises(openai.NotFoundError, match="No model that draws"):
            live.openai.images.generate(model="my-eyes", prompt="a circle")


def test_the_service_answers_beside_drawing_under_its_own_keys(settings: Callable[..., ServeSettings]) -> None:
    keys = read_keys(None, "me:a-long-secret")
    with running(
        settings(api_keys=keys),
        FakeBackend,
        prepare=lambda app, service: mount_chat(app, service, ChatSettings(model="nano-v")),
    ) as live:
        said = {"model": "nano-v", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
        refused = live.http.post("/v1/chat/completions", json=said)
        assert refused.status_code == 401
        mine = {"authorization": "Bearer a-long-secret"}
        answered = live.http.post("/v1/chat/completions", json=said, headers=mine)
        assert answered.status_code == 200, answered.text
        assert answered.json()["usage"]["completion_tokens"] == 2
        listed = live.http.get("/v1/models", headers=mine).json()["data"]
        assert [model["id"] for model in listed] == ["nano", "nano-v"]
        assert live.http.get("/v1/models/nano-v", headers=mine).json()["id"] == "nano-v"
        unknown = live.http.get("/v1/models/gpt-4", headers=mine)
        assert unknown.status_code == 404
        assert unknown.json()["error"]["message"] == "The model 'gpt-4' is not served here, only 'nano' and 'nano-v'."
