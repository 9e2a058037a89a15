"""The process: a bound socket, uvicorn on it, signals that drain, and one line when it is ready."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request

from inkwash.core.errors import ConfigError, InkwashError, MissingExtraError
from inkwash.serve import access
from inkwash.serve.app import make_app
from inkwash.serve.listen import BACKLOG, bind
from inkwash.serve.protocol import http_options
from inkwash.serve.service import Service, sentence
from inkwash.serve.settings import ChatSettings, ServeSettings
from inkwash.serve.vision_only import VisionOnlyService

if TYPE_CHECKING:
    from inkwash.serve.backend import Backend
    from inkwash.serve.verified import OpenReader
    from inkwash.serve.waiting import AnswerQueue, Enter, Leave

GRACE_S = 2.0  # after the drain, for answers that were cut off and for closing; then the process ends whatever runs


class ServerStartFailed(InkwashError):
    """The model could not be loaded, or its self-test picture was none."""


class DrainingServer(uvicorn.Server):
    """Tells the service about the first signal, so that it takes nothing new while the rest is finished."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second Ctrl-C stops at once (uvicorn's own rule)."""
        again = self.service.state == "draining"
        if not again:
            _print("Stopping: finishing what was accepted; press Ctrl-C again to stop at once.")
        self.service.drain()
        end_within(GRACE_S + (0.0 if again else self.service.settings.drain_s))
        super().handle_exit(sig, frame)


def serve(
    settings: ServeSettings,
    load: Callable[[], Backend] | None,
    *,
    also: Sequence[Callable[[], Backend]] = (),
    bound: socket.socket | None = None,
    log_requests: bool = True,
    ui: bool = False,
    chat: ChatSettings | None = None,
    open_reader: OpenReader | None = None,
) -> None:
    """Serve until a signal comes; raises what kept the server from starting.

    chat: a model that sees, served beside the other one, or alone where `load` is None.
    also: further models that draw, which requests choose by name.
    open_reader: opens what reads words in pictures, for requests with `verify`.
    """
    bound = bound if bound is not None else bind(settings.host, settings.port)
    access.configure(log_requests)
    service = (
        VisionOnlyService(settings) if load is None else Service(settings, load, also=also, open_reader=open_reader)
    )
    app = make_app(service)
    if chat is not None:
        _print(f"Loading {chat.model} ...")
        mount_chat(app, service, chat)
    if ui:
        mount_ui(app)
    server = DrainingServer(_config(app, settings), service)
    port = bound.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    begun = time.monotonic()

    def ready() -> None:
        _take_signals_back()
        _print(_ready_line(service, f"http://{host}:{port}", time.monotonic() - begun, ui, chat))
        if ui and service.words.possible:
            service.words.warm()  # the page reads the words back unless it is told not to

    def failed(_: Exception) -> None:
        server.should_exit = True

    service.on_ready, service.on_failure = ready, failed
    if not settings.loopback and not settings.api_keys:
        _print(f"Warning: {host} can be reached from other machines, and no API keys are set (--key-file).")
    if load is not None:
        _print(f"Loading {settings.model} ...")
    with _signals_end_here():
        server.run(sockets=[bound])
    _raise_failure(service)
    if service.state == "draining" and threading.current_thread() is threading.main_thread():
        atexit.register(_leave)


def _config(app: FastAPI, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        **http_options(settings.header_timeout_s, settings.send_timeout_s),
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        backlog=BACKLOG,
    )


def _raise_failure(service: Service) -> None:
    """Raise what kept the server from starting, if anything did."""
    if isinstance(service.failure, InkwashError):
        raise service.failure
    if service.failure is not None:
        raise ServerStartFailed(
            f"{service.settings.model} could not be started: {sentence(service.failure)}"
        ) from service.failure


def _ready_line(service: Service, address: str, seconds: float, ui: bool, chat: ChatSettings | None) -> str:
    pages = "API: /docs, health: /health, metrics: /metrics" + (", page: /ui" if ui else "")
    pages += f", {chat.served_name} at /v1/chat/completions" if chat is not None else ""
    after, draws = f"Ready after {seconds:.1f} s", ""
    if service.backend is not None:
        after += f" (self-test picture {service.self_test['seconds']:.1f} s)"
        names = " and ".join(backend.info.name for backend in service.backends)
        draws = f"{names} on {service.backend.info.device}; "
    return f"{after}: {address}  {draws}{pages}"


def end_within(seconds: float) -> None:
    """End the process by then, whatever its threads still do: a page that renders for minutes, a disk that is gone.

    A thread of ours says so and ends it. Where not even that thread is let run, the system's own alarm does.
    """

    def end() -> None:
        _print("Stopped: something did not end in time and was left.")
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds + 1.0)


def _leave() -> None:
    """All is closed; the interpreter would take a loaded torch apart, seconds on a busy machine, until the alarm."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)


def _take_signals_back() -> None:
    """Put our handlers in place again: Ray sets its own while it starts, which ends a drain after three seconds."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.getsignal(number))


@contextlib.contextmanager
def _signals_end_here() -> Iterator[None]:
    """A signal that was obeyed is not raised again (uvicorn does), so that an orderly stop exits with 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def mount_ui(app: FastAPI) -> None:
    """Put the page at /ui; its module, inkwash.serve.ui, holds `mount(app)`."""
    try:
        page = importlib.import_module("inkwash.serve.ui")
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("inkwash"):
            raise ConfigError("--ui: this edition has no page; leave --ui out.") from None
        raise MissingExtraError("inkwash serve --ui", extra="serve") from missing
    page.mount(app)


def mount_chat(app: FastAPI, service: Service, chat: ChatSettings) -> None:
    """Load a model that sees and answer POST /v1/chat/completions with it, under the keys and limits of the rest."""
    from inkwash.engine.open import LoadOptions, open_vision_pipeline
    from inkwash.engine.see.batcher import StepFn, in_thread
    from inkwash.serve.agent import BODIES as AGENT_BODIES
    from inkwash.serve.agent import make_agent_router
    from inkwash.serve.backend import LocalBackend
    from inkwash.serve.chat import BODIES, Chat, make_chat_router
    from inkwash.serve.images import client_of
    from inkwash.serve.waiting import AnswerQueue

    settings = service.settings
    queue = AnswerQueue(at_once=chat.max_num_seqs, max_waiting=settings.max_queue)
    pipe = open_vision_pipeline(
        LoadOptions(
            model=chat.model,
            device=settings.device,
            dtype=settings.dtype,
            quantize=chat.quantize,
            tensor_parallel_size=settings.tensor_parallel_size,
        )
    )
    service.chat = Chat(pipe, chat, settings.url_hosts, settings.max_image_bytes, service.media.within())

    admit = _admission(service, queue)

    def run(rounds: StepFn) -> None:
        """In the engine that draws, where there is one in this process."""
        backend = service.backend
        (backend.engine.run_in_background if isinstance(backend, LocalBackend) else in_thread)(rounds)

    app.include_router(
        make_chat_router(
            service.chat,
            admit=admit,
            run=run,
            deadline_s=settings.deadline_s,
            max_bytes=settings.max_json_bytes,
        )
    )
    app.include_router(
        make_agent_router(
            service.chat,
            settings.folder / "agents",
            allow=chat.agent_allow,
            admit=admit,
            owner=client_of,
            max_bytes=settings.max_json_bytes,
        )
    )
    app.state.bodies = BODIES | AGENT_BODIES
    service.seeing = chat.served_name


def _admission(service: Service, queue: AnswerQueue) -> Callable[[Request], Enter]:
    """What checks a request before its body is read; what it returns takes the place when the body is there."""
    from inkwash.serve.images import client_of

    def admit(request: Request) -> Enter:
        client = client_of(request)
        service.accepts()
        service.rates.spend(client)
        queue.check()

        def enter() -> Leave:
            with contextlib.ExitStack() as places:
                places.callback(service.rates.enter(client))
                places.callback(queue.enter())
                return places.pop_all().close

        return enter

    return admit


def _print(line: str) -> None:
    """Tell the terminal or the log; a log on a full disk must not keep a signal from being obeyed."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
