"""The assistant on HTTP, for its page alone: calls carry the token of this run, and only this machine is answered.

Without that, any web page could have the screen photographed through the browser.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from inkwash.core.errors import InkwashError, RequestError
from inkwash.core.web import EVENTS
from inkwash.desk.endpoints import Endpoint
from inkwash.desk.history import Conversation, Medium, Message, dumps, markdown
from inkwash.desk.service import Desk, Question, attached

PAGE = Path(__file__).with_name("page.html")
HEADER = "x-inkwash-token"
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
)
_POLICY += "media-src 'self'; connect-src 'self'; frame-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
_MEDIA_TYPES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".mp4": "video/mp4", ".webm": "video/webm",
}  # fmt: skip


class AgentSession(Protocol):
    """What works on a task that is handed over."""

    def act(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Events of the work."""

    def answer(self, yes: bool) -> None:
        """Whether the act that waits may be carried out."""

    def stop(self) -> None:
        """End the work."""


def make_app(
    desk: Desk, token: str, *, agent: AgentSession | None = None, changed: Callable[[], None] = lambda: None
) -> FastAPI:
    """The application. agent: takes tasks over. changed: called after settings were changed."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _protect(app, token)
    _page_routes(app)
    _state_routes(app, desk, changed, acts=agent is not None)
    _screen_routes(app, desk)
    _history_routes(app, desk)
    _media_routes(app, desk)
    _question_routes(app, desk)
    _agent_routes(app, agent)
    _endpoint_routes(app, desk)
    return app


def _protect(app: FastAPI, token: str) -> None:
    @app.middleware("http")
    async def only_the_page(request: Request, forward: Any) -> Response:
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        secret = request.headers.get(HEADER) or request.query_params.get("token") or ""
        if host not in _HOSTS or not hmac.compare_digest(secret.encode(), token.encode()):
            return JSONResponse({"error": "This page belongs to a running assistant: open it from there."}, 403)
        answer: Response = await forward(request)
        answer.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        return answer

    @app.exception_handler(InkwashError)
    async def refused(_: Request, error: InkwashError) -> JSONResponse:
        return JSONResponse({"error": error.message}, error.status if isinstance(error, RequestError) else 400)


def _page_routes(app: FastAPI) -> None:
    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers={"Content-Security-Policy": _POLICY})

    @app.get("/events.js")
    async def events() -> Response:
        return Response(EVENTS.read_text(encoding="utf-8"), media_type="text/javascript")


def _state_routes(app: FastAPI, desk: Desk, changed: Callable[[], None], *, acts: bool) -> None:
    @app.get("/api/state")
    def state() -> dict[str, Any]:
        local = desk.endpoints.local
        return {
            "endpoints": [asdict(one) for one in desk.endpoints.all()],
            "local": None if local is None else local.name,
            "recording": desk.recording(),
            "act": acts,
            **desk.settings(),
        }

    @app.get("/api/news")
    def news(after: int = 0) -> list[dict[str, Any]]:
        return desk.news(after)

    @app.post("/api/settings")
    async def settings(request: Request) -> dict[str, Any]:
        now = desk.change(await _body(request))
        await run_in_threadpool(changed)
        return now


def _media_routes(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/files")
    async def upload(request: Request, name: str) -> dict[str, Any]:
        content = await request.body()
        return asdict(await run_in_threadpool(desk.attach, content, name))

    @app.post("/api/folder")
    async def folder(request: Request) -> list[dict[str, Any]]:
        found = await run_in_threadpool(desk.attach_folder, str((await _body(request)).get("folder", "")))
        return [asdict(one) for one in found]

    @app.get("/api/media/{digest}")
    def media(digest: str) -> Response:
        file = desk.history.file(digest)
        if not file.exists():
            raise RequestError("There is no such file.", status=404)
        kind = _MEDIA_TYPES.get(file.suffix, "application/octet-stream")
        return Response(file.read_bytes(), media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


def _question_routes(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/ask")
    async def ask(request: Request) -> StreamingResponse:
        body = await _body(request)
        media = tuple(Medium(digest=one["digest"], name=one["name"]) for one in body.pop("media", ()))
        try:
            events = desk.ask(Question(media=media, **body))
        except TypeError:
            raise RequestError("The question holds a field that is not known.") from None
        return await _stream(events)

    @app.post("/api/stop")
    async def stop(request: Request) -> dict[str, Any]:
        desk.stop(int((await _body(request)).get("conversation", 0)))
        return {}


def _agent_routes(app: FastAPI, agent: AgentSession | None) -> None:
    @app.post("/api/act")
    async def hand_over(request: Request) -> StreamingResponse:
        return await _stream(_agent(agent).act(await _body(request)))

    @app.post("/api/act/answer")
    async def answer(request: Request) -> dict[str, Any]:
        _agent(agent).answer((await _body(request)).get("yes") is True)
        return {}

    @app.post("/api/act/stop")
    def stop_agent() -> dict[str, Any]:
        _agent(agent).stop()
        return {}


def _endpoint_routes(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/endpoints")
    async def put(request: Request) -> dict[str, Any]:
        body = await _body(request)
        key = body.pop("key", None)
        try:
            endpoint = Endpoint(**body)
        except TypeError:
            raise RequestError("An endpoint has a name, a url, a model and video.") from None
        await run_in_threadpool(desk.endpoints.put, endpoint, key or None)
        return asdict(endpoint)

    @app.delete("/api/endpoints/{name}")
    def remove(name: str) -> dict[str, Any]:
        desk.endpoints.remove(name)
        return {}


def _agent(agent: AgentSession | None) -> AgentSession:
    if agent is None:
        raise RequestError("There is no agent to hand over to: install the extra agent.", status=404)
    return agent


def _screen_routes(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/places")
    def places() -> dict[str, Any]:
        return desk.places()

    @app.post("/api/shot")
    async def shot(request: Request) -> dict[str, Any]:
        return asdict(await run_in_threadpool(_with_place, desk.shoot, await _body(request)))

    @app.post("/api/crop")
    async def crop(request: Request) -> dict[str, Any]:
        body = await _body(request)
        return asdict(await run_in_threadpool(desk.crop, str(body.get("digest")), body.get("corners")))

    @app.post("/api/record/{what}")
    async def record(what: str, request: Request) -> dict[str, Any]:
        if what == "start":
            await run_in_threadpool(_with_place, desk.record, await _body(request))
            return desk.recording()
        if what == "pause":
            return desk.pause_recording()
        if what == "stop":
            clip, kept = await run_in_threadpool(desk.stop_recording)
            return {**asdict(kept), "seconds": clip.seconds, "bytes": clip.size}
        raise RequestError(f"A recording is started, paused or stopped, not {what!r}.", status=404)

    @app.get("/api/record")
    def recording() -> dict[str, Any]:
        return desk.recording()


def _history_routes(app: FastAPI, desk: Desk) -> None:
    history = desk.history

    @app.get("/api/conversations")
    def conversations(search: str = "") -> list[dict[str, Any]]:
        return [_line(one) for one in history.search(search)]

    @app.get("/api/conversations/{number}")
    def conversation(number: int) -> list[dict[str, Any]]:
        return [_turn(desk, one) for one in history.messages(number)]

    @app.patch("/api/conversations/{number}")
    async def rename(number: int, request: Request) -> dict[str, Any]:
        history.rename(number, str((await _body(request)).get("title", "")))
        return {}

    @app.delete("/api/conversations/{number}")
    def delete(number: int) -> dict[str, Any]:
        history.delete(number)
        return {}

    @app.post("/api/conversations/{number}/undelete")
    def undelete(number: int) -> dict[str, Any]:
        history.undelete(number)
        return {}

    @app.get("/api/conversations/{number}/export")
    def export(number: int, format: str = "md") -> Response:
        found = history.export(number)
        if format == "json":
            return Response(dumps(found), media_type="application/json")
        return PlainTextResponse(markdown(found), media_type="text/markdown")


def _with_place(call: Callable[..., Any], body: dict[str, Any]) -> Any:
    if unknown := sorted(set(body) - {"monitor", "window", "region"}):
        raise RequestError(f"There is no field {unknown[0]!r}: name a monitor, a window or a region.")
    return call(**body)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RequestError("The body is no JSON object.")
    return body


async def _stream(events: Iterator[dict[str, Any]]) -> StreamingResponse:
    """Server-sent events; what is wrong with the request is said before the first one, with its status."""
    first = await run_in_threadpool(next, events, None)

    def sent() -> Iterator[str]:
        for event in chain(() if first is None else (first,), events):
            yield f"data: {json.dumps(event)}\n\n"

    return StreamingResponse(sent(), media_type="text/event-stream")


def _line(one: Conversation) -> dict[str, Any]:
    return asdict(one)


def _turn(desk: Desk, one: Message) -> dict[str, Any]:
    media = [attached(medium, desk.history.file(medium.digest)) for medium in one.media]
    return {"id": one.id, "role": one.role, "text": one.text, "thoughts": one.thoughts, "media": media}
