"""POST /v1/chat/completions and POST /v1/responses over a model that sees.

    app.include_router(make_chat_router(Chat(pipe, ChatSettings(model="nano-v"))))

Pictures, videos and documents are data URLs; `file://` works below the allowed folder and remote URLs from the allowed
hosts only. Several answers are made together; a client that goes away stops its own. What is wrong with a request is a
400, streamed or not: a stream begins when its prompt is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from inkwash.core.errors import Cancelled
from inkwash.engine.see.batcher import StepFn
from inkwash.serve.chat.completion import Completion
from inkwash.serve.chat.generation import Answers, while_connected
from inkwash.serve.chat.model import AnswerRequest, Chat
from inkwash.serve.chat.response import ResponseAnswer
from inkwash.serve.chat.response_schema import ResponseBody, ResponseObject
from inkwash.serve.chat.schema import ChatAnswer, ChatBody
from inkwash.serve.event_stream import SseResponse
from inkwash.serve.json_body import read_body
from inkwash.serve.settings import MEBI
from inkwash.serve.waiting import Enter, Leave

MAX_CLIENTS = 64  # threads that wait for answers; the model makes as many at once as the settings say
BODIES: dict[str, Any] = {"/v1/chat/completions": ChatBody, "/v1/responses": ResponseBody}
_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "A JSON object, or [DONE]."}},
    "required": ["data"],
}
_STREAM = {"text/event-stream": {"schema": _EVENT}}


def make_chat_router(
    chat: Chat,
    *,
    admit: Callable[[Request], Enter] = lambda request: lambda: lambda: None,
    run: Callable[[StepFn], None] | None = None,
    deadline_s: float | None = None,
    max_bytes: int = 64 * MEBI,
) -> APIRouter:
    """The routes around one pipeline; `admit` raises for clients that may not ask, before their body is read, and
    returns what takes a place for the answer, once the body is there. `run`: where answers are made, as
    `GlmVisionPipeline.enable_batching` has it. `deadline_s`: the longest time of an answer; `max_bytes`: of a body.
    """
    router = APIRouter(tags=["chat"])
    threads = ThreadPoolExecutor(MAX_CLIENTS, "inkwash-chat")
    chat.pipe.enable_batching(chat.settings.max_num_seqs, run)

    def answers_to(request: AnswerRequest) -> Answers:
        chat.check(request)
        return Answers(chat, request, threads, min_deadline(request.deadline_s, deadline_s))

    @router.post("/v1/chat/completions", responses={200: {"model": ChatAnswer, "content": _STREAM}})
    async def completions(request: Request) -> Response:
        """Answer a conversation."""
        enter = admit(request)
        body = await read_body(request, ChatBody, max_bytes=max_bytes)
        leave = enter()
        try:
            answers = answers_to(body.request())
            return await _sent(request, answers, Completion(body, answers), body.stream, leave)
        except BaseException:
            leave()
            raise

    @router.post("/v1/responses", responses={200: {"model": ResponseObject, "content": _STREAM}})
    async def responses(request: Request) -> Response:
        """Answer a conversation in the newer format; nothing is stored."""
        enter = admit(request)
        body = await read_body(request, ResponseBody, max_bytes=max_bytes)
        leave = enter()
        try:
            answers = answers_to(body.request())
            return await _sent(request, answers, ResponseAnswer(body, answers), body.stream, leave)
        except BaseException:
            leave()
            raise

    return router


async def _sent(
    request: Request, answers: Answers, form: Completion | ResponseAnswer, stream: bool, leave: Leave
) -> Response:
    """The answers in their form; `leave` is called when they have ended, or by the caller where this raises."""

    def ended(_: bool) -> None:
        answers.cancel.cancel()
        leave()

    try:
        await while_connected(request, asyncio.ensure_future(answers.prepare()))
    except BaseException:
        answers.cancel.cancel()  # media that are still being read
        raise
    if stream:
        return SseResponse(form.events(), on_end=ended, last_events=form.last_events)
    try:
        outputs = await answers.whole(request)
    finally:
        answers.cancel.cancel()
    if not outputs:
        raise Cancelled
    content = form.whole(outputs)
    leave()
    return JSONResponse(content)


def min_deadline(*limits: float | None) -> float | None:
    """The shortest of the deadlines that there are."""
    return min((each for each in limits if each is not None), default=None)
