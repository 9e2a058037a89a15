"""`inkwash desk`: the assistant of the desktop, in a window of its own or in the browser."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import options as o

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

    from inkwash.agent.model import Model
    from inkwash.cli.hand_over import Deputy
    from inkwash.desk.endpoints import Endpoints
    from inkwash.desk.shell import Shell

Seeing = Annotated[str, typer.Option("--model", help="The model that answers on this machine, or none.")]
Browser = Annotated[bool, typer.Option("--browser", help="Show the page in the browser instead of a window.")]
NoOpen = Annotated[bool, typer.Option("--no-open", help="With --browser: print the address and open nothing.")]
Port = Annotated[int, typer.Option("--port", help="Port of the page [default: a free one].", show_default=False)]
Folder = Annotated[
    Path | None, typer.Option("--folder", help="Where conversations are kept [default: the cache folder].")
]
READY_S = 180.0


def desk(
    model: Seeing = "nano-v",
    browser: Browser = False,
    no_open: NoOpen = False,
    port: Port = 0,
    folder: Folder = None,
    device: o.DeviceName = None,
) -> None:
    """Ask about what is on the screen: pictures of it, recordings, files; conversations are kept and searched.

    Example: inkwash desk --browser
    """
    from inkwash.cli.media import media_reader
    from inkwash.core import env
    from inkwash.core.errors import require_modules
    from inkwash.desk.endpoints import Endpoint, Endpoints, Keyring
    from inkwash.desk.screen import open_screen
    from inkwash.desk.service import Desk
    from inkwash.desk.shell import Shell

    if model != "none":
        from inkwash.models.glm_v.folder import find_vision

        find_vision(model)
    require_modules("inkwash desk", "fastapi", "uvicorn", "httpx2", extra="desk")
    from inkwash.desk.routes import make_app
    from inkwash.serve.listen import bind

    bound = bind("127.0.0.1", port)
    place = folder or env.cache_dir() / "desk"
    local = LocalModel(model, device) if model != "none" else None
    endpoint = None if local is None else Endpoint(name="local", url=local.url, model=model, video=True)
    endpoints = Endpoints(place / "endpoints.json", Keyring(), endpoint)
    assistant = Desk(
        place,
        endpoints,
        media_reader(),
        lambda cursor: open_screen(cursor=cursor),
        start_local=local.start if local is not None else lambda: None,
    )
    deputy = _deputy(endpoints, local)
    token = secrets.token_urlsafe(24)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}/?token={token}"
    shell = Shell(assistant, url, _print)
    served = threading.Thread(
        target=_serve, args=(make_app(assistant, token, agent=deputy, changed=shell.listen), bound), daemon=True
    )
    served.start()
    try:
        _show(shell, url, served, browser=browser, no_open=no_open)
    except KeyboardInterrupt:
        pass
    finally:
        with contextlib.ExitStack() as closing:  # the last one first
            if local is not None:
                closing.callback(local.close)
            closing.callback(assistant.close)
            closing.callback(shell.close)


def _show(shell: Shell, url: str, served: threading.Thread, *, browser: bool, no_open: bool) -> None:
    """The window until it is closed, or, where there is none, the page as long as it is served."""
    from inkwash.core.errors import InkwashError

    shell.listen()
    if not browser:
        try:
            shell.tray()
            shell.window()
            return
        except InkwashError as error:
            _print(f"{error.message} The browser shows the page instead.")
    _print(f"Ready: {url}")
    if not no_open:
        webbrowser.open(url)
    while served.is_alive():
        time.sleep(0.2)


class LocalModel:
    """A server of our own for the model on this machine, started by the first question and ended with the assistant."""

    def __init__(self, model: str, device: str | None) -> None:
        from inkwash.serve.listen import bind

        probe = bind("127.0.0.1", 0)
        self._port = int(probe.getsockname()[1])
        probe.close()
        self.model, self.device, self.url = model, device, f"http://127.0.0.1:{self._port}/v1"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start it, and wait until it answers; a server that ended is started again."""
        from inkwash.core.errors import WeightsError

        with self._lock:
            if self._process is None or self._process.poll() is not None:
                words = [sys.executable, "-m", "inkwash", "serve", self.model, "--port", str(self._port), "--quiet"]
                words += ["--device", self.device] if self.device else []
                self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
            end = time.monotonic() + READY_S
            while not self._answers():
                if self._process.poll() is not None or time.monotonic() > end:
                    raise WeightsError(
                        f"The server of {self.model} did not start; inkwash serve {self.model} says why."
                    )
                time.sleep(0.2)

    def close(self) -> None:
        """End it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        import httpx2

        try:
            return httpx2.get(f"http://127.0.0.1:{self._port}/health", trust_env=False, timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False


def _deputy(endpoints: Endpoints, local: LocalModel | None) -> Deputy:
    """The agent, which asks the same endpoints as the conversations do."""
    from inkwash.cli.hand_over import Deputy

    def open_model(name: str) -> Model:
        from inkwash.agent.model import ChatEndpoint

        found = endpoints.find(name)
        if local is not None and endpoints.local is not None and found.name == endpoints.local.name:
            local.start()
        return ChatEndpoint(found.url, found.model, endpoints.keys.get(found.name))

    return Deputy(open_model)


def _serve(app: FastAPI, bound: socket.socket) -> None:
    import uvicorn

    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)).run([bound])


def _print(line: str) -> None:
    print(f"inkwash: {line}", file=sys.stderr, flush=True)
