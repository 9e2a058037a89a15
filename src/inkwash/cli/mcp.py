"""`inkwash mcp`: the models as tools of an assistant that speaks the Model Context Protocol."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import options as o
from inkwash.cli.options import WeightOptions, command

Seeing = Annotated[str, typer.Option("--chat", metavar="MODEL", help="The model that looks at pictures and files.")]
Http = Annotated[bool, typer.Option("--http", help="Answer over streamable HTTP at /mcp instead of stdin and stdout.")]
Host = Annotated[str, typer.Option("--host", help="With --http: address to listen at; the default is this machine.")]
Port = Annotated[int, typer.Option("--port", help="With --http: port to listen at.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="With --http: API keys, one a line: name:secret [default: INKWASH_API_KEYS]."),
]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for pictures [default: mcp in the cache folder].")
]
Roots = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        help="Folder whose files tools may read; again for more [default: all; with --http only the pictures' folder].",
    ),
]


ActAllow = Annotated[
    list[str] | None,
    typer.Option("--act-allow", metavar="PLACE", help="Where the tool act may act: a host, a word of window titles."),
]


@dataclass(frozen=True, kw_only=True)
class McpOptions:
    """Which models, for whom, and which files they may touch."""

    model: o.Model = "nano"
    chat: Seeing = "nano-v"
    http: Http = False
    host: Host = "127.0.0.1"
    port: Port = 8765
    key_file: KeyFile = None
    output: Folder = None
    root: Roots = None
    act_allow: ActAllow = None


def _mcp(options: McpOptions, weights: WeightOptions) -> None:
    """Offer drawing, editing, looking and reading as tools of the Model Context Protocol.

    Example: inkwash mcp --model nano
    """
    from inkwash.cli.draw import check_model
    from inkwash.cli.mcp_tools import Toolbox
    from inkwash.cli.seeing import SeeingOptions
    from inkwash.cli.seeing import check_model as check_seeing
    from inkwash.core import env
    from inkwash.core.errors import ConfigError, require_modules

    check_model(options.model)
    check_seeing(options.chat)
    for folder in options.root or ():
        if not folder.is_dir():
            raise ConfigError(f"--root is {str(folder)!r}, which is no folder.")
    require_modules("inkwash mcp", "mcp", extra="mcp")
    pictures = options.output or env.cache_dir() / "mcp"
    roots = tuple(options.root) if options.root else (pictures,) if options.http else None
    toolbox = Toolbox(
        drawing=weights.load(options.model),
        seeing=SeeingOptions(model=options.chat, device=weights.device, dtype=weights.dtype),
        folder=pictures,
        allow=tuple(options.act_allow or ()),
        roots=None if roots is None else (*roots, pictures),
    )
    from inkwash.mcp.server import PATH, is_loopback, serve_http, serve_stdio

    if not options.http:
        if sys.stdin.isatty():
            print("inkwash: waiting for an assistant on stdin; Ctrl-C ends (docs/mcp.md).", file=sys.stderr)
        serve_stdio(toolbox.tools())
        return
    from inkwash.serve.auth import VARIABLE, read_keys
    from inkwash.serve.listen import bind

    keys = read_keys(options.key_file, os.environ.get(VARIABLE, ""))
    if not is_loopback(options.host) and not keys:
        raise ConfigError(
            f"--host {options.host} can be reached from other machines: give keys (--key-file or {VARIABLE}), or "
            "leave it out."
        )
    bound = bind(options.host, options.port)
    print(f"Ready: http://{options.host}:{bound.getsockname()[1]}{PATH}", file=sys.stderr, flush=True)
    serve_http(toolbox.tools(), bound, options.host, keys)


mcp = command(_mcp, McpOptions, WeightOptions)
