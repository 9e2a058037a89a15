"""Tools behind the official SDK: `serve_stdio` for an assistant that starts us, `serve_http` for one that connects.

A tool works in a thread. While it does, progress goes to the client a few times a second; when the client cancels the
call or goes away, the tool's switch is thrown and it stops before its next token or step. Nothing but the protocol is
written to stdout: the SDK points it elsewhere, and our messages go to stderr.
"""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Sequence
from functools import partial

import anyio
import anyio.to_thread
import mcp_types as types
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from PIL import Image
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from inkwash import __version__
from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.core.text import did_you_mean
from inkwash.mcp.arguments import read_arguments, schema_of
from inkwash.mcp.tool import McpTool, ToolInvocation, ToolResult
from inkwash.media.images import encode_image
from inkwash.serve.auth import ApiKey, identify

log = logging.getLogger(__name__)

PATH = "/mcp"
REPORT_S = 0.2
MAX_BODY_BYTES = 64 * 2**20  # pictures may come as data URLs
INSTRUCTIONS = (
    "Inkwash draws pictures whose words can be read, edits pictures, and answers questions about pictures, videos and "
    "documents. Put the words to be drawn in quotation marks. Every picture is also a file, its path in the answer; "
    "notes in an answer say what the model will not draw as it was asked to."
)


def make_server(tools: Sequence[McpTool]) -> Server:
    """The tools as a server of the protocol, without a transport."""
    known = {tool.name: tool for tool in tools}
    listed = [_listed(tool) for tool in tools]

    async def list_tools(ctx: ServerRequestContext, params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(ctx: ServerRequestContext, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            tool = _find(known, params.name)
            arguments = read_arguments(tool.arguments, params.arguments or {})
            return _result(await _run(tool, arguments, ctx))
        except InkwashError as error:
            return _failed(error.message)
        except Exception as error:  # a bug of ours: the log has where
            log.error("the tool %s failed", params.name, exc_info=error)
            return _failed(f"The tool {params.name} failed unexpectedly ({type(error).__name__}).")

    return Server(
        "inkwash", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def serve_stdio(tools: Sequence[McpTool]) -> None:
    """Answer one client on stdin and stdout until it closes them."""
    server = make_server(tools)

    async def run() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    _quiet_sdk()
    anyio.run(run)


def serve_http(tools: Sequence[McpTool], bound: socket.socket, host: str, keys: Sequence[ApiKey] = ()) -> None:
    """Answer clients at /mcp on a bound socket until a signal comes."""
    _quiet_sdk()
    app = make_app(tools, host, keys)
    # h11: the faster parser loses the body of a request that offers HTTP/2, as Java's clients do.
    config = uvicorn.Config(app, log_config=None, access_log=False, http="h11", ws="none", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[bound])


def make_app(tools: Sequence[McpTool], host: str, keys: Sequence[ApiKey] = ()) -> ASGIApp:
    """The ASGI application; with keys, every request must carry one of them.

    At an address of this machine only, names of other hosts and pages of other origins are refused, so that no web page
    reaches it through the browser.
    """
    inner = make_server(tools).streamable_http_app(
        streamable_http_path=PATH,
        host=host,
        max_request_body_size=MAX_BODY_BYTES,
        transport_security=None
        if is_loopback(host)
        else TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and keys:
            header = dict(scope["headers"]).get(b"authorization")
            try:
                identify(keys, header.decode("latin-1") if header else None)
            except RequestError as error:
                refusal = JSONResponse({"error": error.message}, error.status, {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, send)
                return
        await inner(scope, receive, send)

    return app


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    return host in ("127.0.0.1", "localhost", "::1")


def _find(known: dict[str, McpTool], name: str) -> McpTool:
    if name in known:
        return known[name]
    near = did_you_mean(name, known)
    hint = f"{near} The tools are" if near else "the tools are"
    raise RequestError(f"There is no tool {name!r}: {hint} {', '.join(known)}.", param="name")


async def _run(tool: McpTool, arguments: object, ctx: ServerRequestContext) -> ToolResult:
    """The tool in a thread, watched."""
    call = ToolInvocation()
    async with anyio.create_task_group() as group:
        group.start_soon(_report, call, ctx)
        try:
            answer = await anyio.to_thread.run_sync(partial(_work, tool, arguments, call), abandon_on_cancel=True)
        finally:
            call.cancel.cancel()  # the client cancelled or went away; else it is over, and this changes nothing
            group.cancel_scope.cancel()
    if isinstance(answer, Exception):  # carried out of the group, which would wrap it
        raise answer
    return answer


def _work(tool: McpTool, arguments: object, call: ToolInvocation) -> ToolResult | Exception:
    try:
        return tool.run(arguments, call)
    except Cancelled as error:
        log.info("the tool %s was cancelled", tool.name)
        return error
    except Exception as error:
        return error


async def _report(call: ToolInvocation, ctx: ServerRequestContext) -> None:
    """Tell the client how far the call is, whenever that changed."""
    reported = (0.0, "")
    while True:
        await anyio.sleep(REPORT_S)
        now = call.progress
        if now != reported and now[0] > reported[0]:
            reported = now
            await ctx.session.report_progress(now[0], 100.0, now[1])


def _listed(tool: McpTool) -> types.Tool:
    hints = types.ToolAnnotations(
        title=tool.title,
        read_only_hint=tool.effect == "none",
        destructive_hint=tool.effect == "screen",
        open_world_hint=tool.effect == "screen",
    )
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=schema_of(tool.arguments),
        annotations=hints,
    )


def _result(answer: ToolResult) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=answer.text)]
    content += [_picture(picture) for picture in answer.pictures]
    return types.CallToolResult(content=content, structured_content=answer.data or None)


def _picture(picture: Image.Image) -> types.ImageContent:
    data = base64.b64encode(encode_image(picture, "PNG")).decode()
    return types.ImageContent(type="image", data=data, mime_type="image/png")


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=sentence)], is_error=True)


def _quiet_sdk() -> None:
    """The SDK's warnings about clients belong to our log's level, not to a handler of last resort."""
    for name in ("mcp", "uvicorn"):
        logging.getLogger(name).parent = logging.getLogger("inkwash")
