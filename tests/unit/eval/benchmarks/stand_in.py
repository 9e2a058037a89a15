"""A stand-in for an OpenAI-compatible server: real HTTP on loopback, scripted answers, faults on demand."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Script = Callable[[dict[str, Any], int], Any]  # the request's body and its number -> what happens


class Status:
    """An HTTP error instead of an answer."""

    def __init__(self, code: int, body: str = "", **headers: str) -> None:
        self.code, self.body, self.headers = code, body, headers


class Raw:
    """Bytes that are no chat completion."""

    def __init__(self, body: bytes) -> None:
        self.body = body


DROP = object()  # the connection is closed without a word
HANG = object()  # nothing happens until the test is over


class StandIn:
    """What the server saw."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Message] = []  # names in any case
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.url = ""

    @property
    def count(self) -> int:
        return len(self.requests)

    def prompt(self, number: int = -1) -> str:
        return prompt_of(self.requests[number])


def prompt_of(body: dict[str, Any]) -> str:
    return next(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text")


def pictures_of(body: dict[str, Any]) -> list[Image.Image]:
    urls = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls]


@contextmanager
def serving(script: Script) -> Iterator[StandIn]:
    """A running server; every thread of it has ended afterwards."""
    stand_in = StandIn(script)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stand_in.lock:
                number = len(stand_in.requests)
                stand_in.requests.append(body)
                stand_in.headers.append(self.headers)
            self.respond(script(body, number))

        def respond(self, outcome: Any) -> None:
            if outcome is DROP:
                return
            if outcome is HANG:
                stand_in.over.wait(10)
                return
            if isinstance(outcome, Status):
                self.send(outcome.code, outcome.body.encode(), outcome.headers)
            elif isinstance(outcome, Raw):
                self.send(200, outcome.body, {})
            else:
                answer = {"choices": [{"message": {"role": "assistant", "content": outcome}}]}
                self.send(200, json.dumps(answer).encode(), {})

        def send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # joined by server_close
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that gave up waiting

    server = Server(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
