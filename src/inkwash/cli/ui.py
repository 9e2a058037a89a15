"""`inkwash ui`: the page for people, in the browser, over one model."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.cli import options as o

if TYPE_CHECKING:
    from inkwash.serve.settings import ServeSettings

Model = Annotated[str, typer.Argument(help="A name that `inkwash models` lists, or a checkpoint folder.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen at; the default is this machine only.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen at.")]
State = Annotated[Path | None, typer.Option("--state", help="Folder of pictures and jobs [default: the cache folder].")]
Chat = Annotated[str, typer.Option("--chat", metavar="MODEL", help="The model of the tab Ask, or none.")]
Browser = Annotated[bool, typer.Option("--browser", help="Open the page in the browser when it is ready.")]


def ui(
    model: Model = "nano",
    also: o.Also = None,
    lora_folder: o.LoraFolder = None,
    host: Host = "127.0.0.1",
    port: Port = 7860,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    state: State = None,
    chat: Chat = "nano-v",
    browser: Browser = False,
) -> None:
    """Draw, edit and ask about pictures on a page in the browser. The API is served beside it.

    Example: inkwash ui
    """
    from inkwash.cli.draw import check_model, open_reader
    from inkwash.cli.serve_chat import chosen
    from inkwash.core.errors import require_modules

    for each in (model, *(also or ())):
        check_model(each)
    seeing = chosen(chat, ui=True)
    require_modules("inkwash ui", "fastapi", "uvicorn", extra="serve")
    from dataclasses import replace
    from functools import partial

    from inkwash.engine.open import LoadOptions
    from inkwash.serve.backend import Backend, load_backend
    from inkwash.serve.listen import bind
    from inkwash.serve.server import serve
    from inkwash.serve.settings import ChatSettings

    options = LoadOptions(model=model, device=device, dtype=dtype)
    settings = _settings(model=model, host=host, port=port, device=device, dtype=dtype, state=state)
    bound = bind(host, port)
    address = f"http://{host}:{bound.getsockname()[1]}/ui"

    def load() -> Backend:
        made = load_backend(replace(options, offered=o.adapters_of(lora_folder)), max_queue=settings.max_queue)
        if browser:
            webbrowser.open(address)
        return made

    serve(
        settings,
        load,
        also=[partial(load_backend, replace(options, model=each), max_queue=settings.max_queue) for each in also or ()],
        bound=bound,
        log_requests=False,
        ui=True,
        chat=ChatSettings(model=seeing) if seeing else None,
        open_reader=open_reader,
    )


def _settings(**chosen: Any) -> ServeSettings:
    """The server's settings, with the keys of the environment."""
    import os

    from inkwash.serve.auth import VARIABLE, read_keys
    from inkwash.serve.settings import ServeSettings

    return ServeSettings(**chosen, api_keys=read_keys(None, os.environ.get(VARIABLE, "")))
