"""POST /v1/agent/steps: one act for a screenshot. POST /v1/agent/runs and below: an agent in a browser of this server.

A run is started, watched as a stream of events (`step`, `confirm`, `end`), confirmed, and stopped; its pictures are
read by step. Runs are off unless the server names the places that they may act in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from sse_starlette import ServerSentEvent

from inkwash.agent.model import Local
from inkwash.agent.prompt import Past, Situation, make_prompt
from inkwash.agent.reply import Format, read_reply, spell, version_of
from inkwash.agent.shot import PixelAct, Screenshot, png_of, to_pixels
from inkwash.agent.trajectory import act_data
from inkwash.core.errors import RequestError
from inkwash.media.data_url import is_data_url, read_data_url
from inkwash.serve.agent.runs import AgentRuns
from inkwash.serve.agent.schema import (
    AgentAnswer,
    AgentConfirmBody,
    AgentRunAnswer,
    AgentRunBody,
    AgentStepBody,
)
from inkwash.serve.chat.model import AnswerRequest, Chat
from inkwash.serve.event_stream import SseResponse, json_event
from inkwash.serve.json_body import read_body
from inkwash.serve.settings import MEBI
from inkwash.serve.waiting import Enter

Admit = Callable[[Request], Enter]
MAX_SMALL = MEBI  # bytes of a body without pictures
BODIES: dict[str, Any] = {
    "/v1/agent/steps": AgentStepBody,
    "/v1/agent/runs": AgentRunBody,
    "/v1/agent/runs/{run_id}/confirm": AgentConfirmBody,
}


def make_agent_router(
    chat: Chat,
    folder: Path,
    *,
    allow: tuple[str, ...] = (),
    admit: Admit = lambda request: lambda: lambda: None,
    owner: Callable[[Request], str] = lambda request: "",
    max_bytes: int = 64 * MEBI,
) -> APIRouter:
    """The routes around a model that sees; `allow` are the places of runs, `folder` is where they are kept."""
    router = APIRouter(tags=["agent"])
    runs = AgentRuns(folder, allow)
    _add_steps(router, chat, admit, max_bytes)
    _add_starting(router, chat, runs, admit, owner)
    _add_watching(router, runs, owner)
    return router


def _add_steps(router: APIRouter, chat: Chat, admit: Admit, max_bytes: int) -> None:
    name = chat.settings.served_name

    @router.post("/v1/agent/steps", response_model=AgentAnswer)
    async def steps(request: Request) -> AgentAnswer:
        """The next act for a screenshot; nothing is carried out."""
        enter = admit(request)
        body = await read_body(request, AgentStepBody, max_bytes=max_bytes)
        leave = enter()
        try:
            chat.check(AnswerRequest(model=body.model, messages=()))
            return await asyncio.to_thread(_step, chat, name, body)
        finally:
            leave()


def _add_starting(
    router: APIRouter, chat: Chat, runs: AgentRuns, admit: Admit, owner: Callable[[Request], str]
) -> None:
    name = chat.settings.served_name

    @router.post("/v1/agent/runs", status_code=201, response_model=AgentRunAnswer)
    async def begin(request: Request) -> AgentRunAnswer:
        """Start a run in a browser of this server."""
        enter = admit(request)
        body = await read_body(request, AgentRunBody, max_bytes=MAX_SMALL)
        leave = enter()
        try:
            return runs.begin(owner(request), body, Local(chat.pipe, name)).answered
        finally:
            leave()


def _add_watching(router: APIRouter, runs: AgentRuns, owner: Callable[[Request], str]) -> None:
    """The routes of one run."""

    @router.get("/v1/agent/runs/{run_id}", response_model=AgentRunAnswer)
    async def found(request: Request, run_id: str) -> AgentRunAnswer:
        """How far a run is."""
        return runs.find(run_id, owner(request)).answered

    @router.get("/v1/agent/runs/{run_id}/events")
    async def events(request: Request, run_id: str, first: int = 0) -> Response:
        """Every step, question and the end, as they come."""
        run = runs.find(run_id, owner(request))

        async def sent() -> AsyncIterator[ServerSentEvent]:
            async for event in run.watch(max(0, first)):
                yield json_event(event, name=event["type"])

        last = {"type": "error", "reason": "The server is ending."}
        return SseResponse(
            sent(), on_end=lambda whole: None, last_events=lambda error: [json_event(last, name="error")]
        )

    @router.post("/v1/agent/runs/{run_id}/confirm", response_model=AgentRunAnswer)
    async def confirm(request: Request, run_id: str) -> AgentRunAnswer:
        """Answer the question of a run."""
        run = runs.find(run_id, owner(request))
        body = await read_body(request, AgentConfirmBody, max_bytes=MAX_SMALL)
        run.answer(body.question, body.allow)
        return run.answered

    @router.post("/v1/agent/runs/{run_id}/stop", response_model=AgentRunAnswer)
    async def stop(request: Request, run_id: str) -> AgentRunAnswer:
        """Send nothing more; the run ends."""
        run = runs.find(run_id, owner(request))
        run.stop.throw("stopped by its client")
        return run.answered

    @router.get("/v1/agent/runs/{run_id}/steps/{step}.png")
    async def picture(request: Request, run_id: str, step: int) -> Response:
        """The screenshot of a step, with the act drawn on it."""
        run = runs.find(run_id, owner(request))
        for file in (run.folder / f"{step:03d}-act.png", run.folder / f"{step:03d}.png"):
            if 0 <= step < 1000 and file.is_file():
                return FileResponse(file, media_type="image/png", headers={"Cache-Control": "private, no-store"})
        raise RequestError(f"The run has no step {step} yet.", status=404, code="step_not_found")


def _step(chat: Chat, name: str, body: AgentStepBody) -> AgentAnswer:
    form = Format(model=version_of(name), screen=body.screen)
    shot = _picture(chat, body.screenshot, "screenshot")
    past = tuple(
        Past(
            reply=read_reply(each.reply, form),
            screenshot=None if each.screenshot is None else _picture(chat, each.screenshot, "history").png,
            result=each.result,
        )
        for each in body.history
    )
    situation = Situation(
        task=body.task,
        screenshot=shot.png,
        past=past,
        elements=body.elements,
        apps=tuple(body.apps),
        platform=body.platform,
    )
    short = body.short if body.short is not None else name.startswith("nano")
    answer = Local(chat.pipe, name, max_tokens=body.max_tokens).reply(make_prompt(situation, form, short=short))
    reply = read_reply(answer.text, form)
    marks = body.screen == "web"  # whose boxes only the client knows
    wanted = None if reply.act is None or marks else to_pixels(reply.act, form.grid, shot)
    return AgentAnswer(
        model=name,
        reply=answer.text,
        thought=reply.thought,
        act=None if reply.act is None else act_data(reply.act),
        said=None if reply.act is None else spell(reply.act, form.screen),
        at=list(wanted.at) if isinstance(wanted, PixelAct) and wanted.at else None,
        to=list(wanted.to) if isinstance(wanted, PixelAct) and wanted.to else None,
        memory=reply.memory,
        extra=reply.extra,
        unreadable=None if reply.unreadable is None else reply.unreadable.reason,
        usage={"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.tokens},
    )


def _picture(chat: Chat, url: str, param: str) -> Screenshot:
    if not is_data_url(url):
        raise RequestError(f"{param} must be a data URL of a picture.", param=param)
    content = read_data_url(url, max_bytes=chat.max_url_bytes, param=param).content
    image = chat.reader.picture(content)
    return Screenshot(png=png_of(image), size=image.size)
