"""`inkwash mcp` with the SDK's own client: in process, over stdio as an assistant starts it, and over HTTP."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters, stdio_client
from PIL import Image, ImageDraw

from inkwash.cli.mcp_tools import Toolbox
from inkwash.cli.seeing import SeeingOptions
from inkwash.engine.open import LoadOptions, open_vision_pipeline
from inkwash.engine.request import CancelToken
from inkwash.mcp.server import make_app, make_server
from inkwash.media.fonts import load_font
from inkwash.media.images import read_metadata
from inkwash.serve.auth import read_keys
from inkwash.serve.listen import bind

SMALL = {"size": "64x64", "steps": 2, "seed": 5}
QUESTION = "What does it say?"
TOOLS = ["draw", "edit", "describe", "read_text", "shot", "act"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mcp")


@pytest.fixture(scope="module")
def toolbox(folder: Path) -> Toolbox:
    return Toolbox(
        drawing=LoadOptions(model="nano", device="cpu"),
        seeing=SeeingOptions(model="nano-v", device="cpu"),
        folder=folder,
        roots=None,
    )


@pytest.fixture(scope="module")
def sign(folder: Path) -> Path:
    """A picture of a word."""
    picture = Image.new("RGB", (256, 96), "white")
    ImageDraw.Draw(picture).text((20, 16), "OPEN", fill="black", font=load_font("sans", 56))
    picture.save(folder / "sign.png")
    return folder / "sign.png"


@pytest.fixture(scope="module")
def http_url(toolbox: Toolbox) -> Iterator[str]:
    bound = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(toolbox.tools(), "127.0.0.1"), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def picture_of(result: Any) -> Image.Image:
    [content] = [each for each in result.content if each.type == "image"]
    assert content.mime_type == "image/png"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


def text_of(result: Any) -> str:
    return str(result.content[0].text)


@pytest.fixture(scope="module")
def answer(sign: Path) -> str:
    """What the model itself says about the sign."""
    messages = [{"role": "user", "content": [{"type": "image", "image": sign}, {"type": "text", "text": QUESTION}]}]
    return open_vision_pipeline(LoadOptions(model="nano-v", device="cpu"))(messages, max_new_tokens=48).content.strip()


async def every_tool(client: Client, folder: Path, sign: Path, answer: str) -> None:
    """What an assistant does: look at the list, draw, edit what was drawn, ask about it, read a sign."""
    listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed][: len(TOOLS)] == TOOLS
    assert all(tool.description and tool.input_schema["properties"] for tool in listed)
    reports: list[tuple[float, float | None, str | None]] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total, message))

    drawn = await client.call_tool(
        "draw", {"prompt": 'A sign that says "OPEN" with a submarine', **SMALL}, progress_callback=report
    )
    assert not drawn.is_error, text_of(drawn)
    made = drawn.structured_content["pictures"][0]
    assert picture_of(drawn).size == (64, 64) and made["seed"] == 5 and Path(made["path"]).parent == folder
    assert read_metadata(made["path"])["prompt"].startswith("A sign")
    assert any("submarine" in note for note in drawn.structured_content["notes"]) and "Note: " in text_of(drawn)
    assert all(total == 100 for _, total, _ in reports) and [r[0] for r in reports] == sorted({r[0] for r in reports})

    url = "data:image/png;base64," + base64.b64encode(Path(made["path"]).read_bytes()).decode()
    edited = await client.call_tool("edit", {"prompt": "Replace the background with blue", "images": [url], **SMALL})
    assert not edited.is_error, text_of(edited)
    assert picture_of(edited).size == (64, 64) and edited.structured_content["pictures"][0]["path"] != made["path"]

    seen = await client.call_tool("describe", {"files": [str(sign)], "question": QUESTION, "max_tokens": 48})
    assert not seen.is_error and text_of(seen) == answer != "" and seen.structured_content["answer"].strip() == answer

    read = await client.call_tool("read_text", {"image": str(sign)})
    [line] = read.structured_content["lines"]
    assert text_of(read) == "OPEN" == line["text"] and 0 <= line["box"][0] < line["box"][2] <= 256

    for name, arguments, said in (
        ("draw", {"prompt": ""}, "The prompt is empty"),
        ("draw", {"prompt": "a", "size": "65x64"}, "The width 65 of size 65x64 is not allowed"),
        ("draw", {"prompt": "a", "stepps": 3}, "There is no argument 'stepps': did you mean 'steps'?"),
        ("edit", {"prompt": "a"}, "The argument images is missing"),
        ("describe", {"files": ["/no/such.png"]}, "The file '/no/such.png' does not exist"),
        ("read_text", {"image": "data:nonsense"}, "image is no valid data URL"),
        ("drow", {}, "There is no tool 'drow': did you mean 'draw'?"),
    ):
        refused = await client.call_tool(name, arguments)
        assert refused.is_error and text_of(refused).startswith(said), text_of(refused)
        assert "\n" not in text_of(refused)


@pytest.mark.slow  # three models are loaded
def test_every_tool_over_http(http_url: str, folder: Path, sign: Path, answer: str) -> None:
    async def run() -> None:
        async with Client(http_url) as client:
            await every_tool(client, folder, sign, answer)

    anyio.run(run)


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "inkwash", "mcp", "--device", "cpu", "--output", str(folder)]


@pytest.mark.slow  # a process that loads three models
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash copies what the server writes")
def test_every_tool_over_stdio(folder: Path, sign: Path, answer: str, tmp_path: Path) -> None:
    """As an assistant starts it. What it wrote is the protocol and nothing else, however loud its log is."""
    copied = tmp_path / "stdout.jsonl"
    words = ["-c", f"{shlex.join(command(folder))} | tee {shlex.quote(str(copied))}"]
    started = StdioServerParameters(command="bash", args=words, env={**os.environ, "INKWASH_LOG": "DEBUG"})

    async def run() -> None:
        async with Client(stdio_client(started)) as client:
            assert client.server_info is not None and client.server_info.name == "inkwash"
            assert client.instructions is not None and "quotation marks" in client.instructions
            await every_tool(client, folder, sign, answer)

    anyio.run(run)
    lines = copied.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 12 and all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)


def test_the_older_handshake_is_answered_and_no_model_is_loaded_for_it(folder: Path) -> None:
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    lines: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "draw", "arguments": {"prompt": "a", "n": 0}}},
    ]
    with subprocess.Popen(command(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("".join(json.dumps({"jsonrpc": "2.0", **line}) + "\n" for line in lines))
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        mapped = Path(f"/proc/{process.pid}/maps")
        assert not mapped.exists() or "libtorch" not in mapped.read_text()
        process.stdin.close()
        assert process.stdout.read() == "" and process.wait(30) == 0
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[0]["result"]["protocolVersion"] == "2025-06-18" and answers[1]["result"]["isError"]


@asynccontextmanager
async def connected(transport: str, toolbox: Toolbox, url: str) -> AsyncIterator[Client]:
    async with Client(url if transport == "http" else make_server(toolbox.tools())) as client:
        yield client


@pytest.mark.parametrize("transport", ["http", "in process"])
def test_cancellation_stops_the_work(
    transport: str, toolbox: Toolbox, http_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drawing asks the token between its steps; the client gives up in the middle."""
    watched: dict[str, Any] = {"steps": 0}

    def draw(request: Any, *, progress: Any, cancel: CancelToken) -> Any:
        watched["token"] = cancel
        while True:
            watched["steps"] += 1
            time.sleep(0.02)
            cancel.check()

    class Pipe:
        pass

    pipe: Any = Pipe()
    pipe.draw = draw
    monkeypatch.setattr(toolbox._drawer, "_kept", [pipe])

    async def run() -> None:
        async with connected(transport, toolbox, http_url) as client:
            with anyio.move_on_after(1.0) as scope:
                await client.call_tool("draw", {"prompt": "a", **SMALL})
            assert scope.cancelled_caught and watched["steps"] > 5
            end = time.monotonic() + 5
            while not watched["token"].cancelled:
                assert time.monotonic() < end, "the drawing was not told"
                await anyio.sleep(0.02)
            await anyio.sleep(0.2)
            steps = watched["steps"]
            await anyio.sleep(0.3)
            assert watched["steps"] == steps

    anyio.run(run)


def test_a_shot_is_image_content_scaled_to_fit_and_a_file_with_every_pixel(
    display: str, toolbox: Toolbox, http_url: str
) -> None:
    async def run() -> None:
        async with Client(http_url) as client:
            seen = await client.call_tool("shot", {"region": "100,50,400x300", "max_side": 200})
            assert not seen.is_error, text_of(seen)
            assert picture_of(seen).size == (200, 150) and seen.structured_content["shown"] == "200x150"
            with Image.open(seen.structured_content["path"]) as kept:
                assert kept.size == (400, 300)
            refused = await client.call_tool("shot", {"region": "here"})
            assert refused.is_error and text_of(refused).startswith("The region 'here' is not LEFT,TOP,WIDTHxHEIGHT")

    anyio.run(run)


def test_a_shot_without_a_display_is_one_sentence(toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mss")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)

    async def run() -> None:
        async with Client(make_server(toolbox.tools())) as client:
            refused = await client.call_tool("shot", {})
            assert refused.is_error and text_of(refused).startswith("There is no display here")

    anyio.run(run)


def test_a_call_waits_for_the_model_and_can_be_cancelled_meanwhile(toolbox: Toolbox) -> None:
    from inkwash.core.errors import Cancelled
    from inkwash.mcp.tool import ToolInvocation

    first, second = ToolInvocation(), ToolInvocation()
    with toolbox._reader.lent(first):
        second.cancel.cancel()
        with pytest.raises(Cancelled), toolbox._reader.lent(second):
            raise AssertionError("two calls had the reader")


def test_progress_never_goes_back_and_counts_attempts() -> None:
    from inkwash.engine.request import Progress
    from inkwash.mcp.tool import ToolInvocation

    call, seen = ToolInvocation(), []
    for attempt in range(2):
        call.attempted(attempt, 2)
        for stage, total in (("prior", 4), ("denoise", 2)):
            for done in range(total + 1):
                call(Progress(stage, done, total))  # type: ignore[arg-type]
                seen.append(call.progress[0])
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 100 and 50 in seen
    assert call.progress[1] == "2 of 2 denoising steps"


def ask(url: str, headers: dict[str, str]) -> int:
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"Accept": "application/json, text/event-stream"}
    return httpx2.post(url, json=body, headers={**accept, **headers}, trust_env=False).status_code


def test_web_pages_of_other_origins_are_refused(http_url: str) -> None:
    assert ask(http_url, {"Origin": "https://evil.example"}) == 403
    assert ask(http_url, {"Host": "evil.example"}) == 421


def test_keys_are_asked_for(toolbox: Toolbox) -> None:
    app = make_app(toolbox.tools(), "127.0.0.1", read_keys(None, "me:correct-horse"))

    async def status(headers: dict[str, str]) -> int:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:1") as client:
            answer = await client.get("/elsewhere", headers=headers)
            return answer.status_code

    assert anyio.run(status, {}) == 401 == anyio.run(status, {"Authorization": "Bearer wrong-wrong"})
    assert anyio.run(status, {"Authorization": "Bearer correct-horse"}) == 404


def test_files_outside_of_the_roots_are_not_read(folder: Path, sign: Path, tmp_path: Path) -> None:
    closed = Toolbox(drawing=LoadOptions(model="nano"), seeing=SeeingOptions(), folder=tmp_path, roots=(tmp_path,))

    async def said(name: str, arguments: dict[str, Any]) -> str:
        async with Client(make_server(closed.tools())) as client:
            result = await client.call_tool(name, arguments)
            assert result.is_error
            return text_of(result)

    for name, arguments in (
        ("read_text", {"image": str(sign)}),
        ("edit", {"prompt": "a", "images": [str(sign)]}),
        ("describe", {"files": [str(sign)]}),
        ("describe", {"files": [f"file://{sign}"]}),
    ):
        assert "lies outside of the folders that may be read" in anyio.run(said, name, arguments), name
