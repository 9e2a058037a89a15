"""POST /v1/chat/completions for a model that sees, in the OpenAI format: whole or streamed, with thoughts and tools.

    app.include_router(make_chat_router(Chat(pipe, ChatSettings(model="nano-v"))))

Thoughts come as `reasoning_content`. Pictures, films and documents are data URLs; `file://` works below the allowed
folder and remote URLs from the allowed hosts only. Several answers are made together; a client that goes away stops
its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.jobs import DeadlinePassed
from inkwash.engine.request import CancelToken
from inkwash.engine.see.media import MediaRules
from inkwash.engine.see.output import Delta, VisionOutput
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.engine.see.together import Rounds
from inkwash.serve.errors import described
from inkwash.serve.json_body import read_body
from inkwash.serve.settings import MEBI, ChatSettings
from inkwash.serve.sse import EventStream
from inkwash.serve.urls import read_url

MAX_TOKENS = 8192
MAX_CLIENTS = 64  # threads that wait for answers; the model makes as many at once as the settings say
_ENDS = {"stop": "stop", "repetition": "stop", "cancelled": "stop", "length": "length", "tool_calls": "tool_calls"}


class StreamOptions(BaseModel):
    """What a stream says beside the answer."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False


class TemplateSettings(BaseModel):
    """What the chat template is told; `thinking` is another name of `enable_thinking`."""

    model_config = ConfigDict(extra="forbid")
    enable_thinking: bool | None = None
    thinking: bool | None = None


class ChatBody(BaseModel):
    """The request; a field that would be ignored is refused."""

    model_config = ConfigDict(extra="forbid")
    model: str | None = None
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    seed: int | None = Field(None, ge=0, lt=2**63)
    n: Literal[1] = 1
    tools: list[dict[str, Any]] = Field(default_factory=list)
    tool_choice: Literal["auto", "none"] = "auto"
    chat_template_kwargs: TemplateSettings = Field(default_factory=TemplateSettings)
    thinking_budget: int | None = Field(None, ge=0, description="Tokens of thought after which the answer is forced.")
    skip_special_tokens: bool = Field(True, description="false: the marks of boxes stay in the content.")
    fence_html: bool = Field(False, description="Raw HTML of the answer between Markdown fences.")
    user: str | None = Field(None, description="Who asks; no answer depends on it.")
    deadline_s: float | None = Field(None, ge=0.001, le=1e6, description="Seconds; later the request fails with 408.")

    def settings(self) -> dict[str, Any]:
        """What the pipeline is asked for."""
        template = self.chat_template_kwargs
        think = template.thinking if template.enable_thinking is None else template.enable_thinking
        return {
            "max_new_tokens": self.max_completion_tokens or self.max_tokens or MAX_TOKENS,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "seed": self.seed,
            "tools": self.tools if self.tool_choice == "auto" else [],
            "enable_thinking": think,
            "thinking_budget": self.thinking_budget,
            "fence_html": self.fence_html,
            "keep_marks": not self.skip_special_tokens,
        }


@dataclass(frozen=True)
class Chat:
    """A model that sees, and under which settings it is served."""

    pipe: GlmVisionPipeline
    settings: ChatSettings
    url_hosts: tuple[str, ...] = ()  # whose addresses are read
    max_url_bytes: int = 50 * MEBI

    @property
    def rules(self) -> MediaRules:
        """What clients may send: nothing of this machine's files unless a folder is named, no address unless its host
        is."""
        own = self.settings
        return MediaRules(
            fetch=self._fetch if self.url_hosts else None,
            roots=() if own.folder is None else (own.folder,),
            max_images=own.max_images,
            max_videos=own.max_videos,
            fps=own.fps,
            max_frames=own.max_frames,
        )

    def _fetch(self, url: str) -> bytes:
        """What lies at an address, for a thread that makes an answer."""
        return asyncio.run(read_url(url, hosts=self.url_hosts, max_bytes=self.max_url_bytes, param="messages"))

    def rules_below(self, folder: Path) -> MediaRules:
        """The same limits for files that the page itself has put into a folder."""
        return replace(self.rules, roots=(folder,))


def make_chat_router(
    chat: Chat,
    *,
    admit: Callable[[Request], Callable[[], None]] = lambda request: lambda: None,
    run: Callable[[Rounds], None] | None = None,
    deadline_s: float | None = None,
    max_bytes: int = 64 * MEBI,
) -> APIRouter:
    """The route around one pipeline; ``admit`` raises for clients that may not ask, before their body is read, and
    returns what is to be called when their answer has ended. ``run``: where answers are made, as
    `GlmVisionPipeline.answer_together` has it. ``deadline_s``: the longest time of an answer; ``max_bytes``: of a body.
    """
    router = APIRouter(tags=["chat"])
    settings = chat.settings
    threads = ThreadPoolExecutor(MAX_CLIENTS, "inkwash-chat")
    chat.pipe.answer_together(settings.together, run)

    @router.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        """Answer a conversation."""
        leave = admit(request)
        try:
            body = await read_body(request, ChatBody, max_bytes=max_bytes)
            check(body)
            talk = Talk(chat, body, threads, min_deadline(body.deadline_s, deadline_s))
        except BaseException:
            leave()
            raise

        def ended(whole: bool) -> None:
            talk.cancel.cancel()
            leave()

        if body.stream:
            return EventStream(talk.events(), on_end=ended)
        try:
            return JSONResponse(await talk.whole(request))
        finally:
            ended(True)

    def check(body: ChatBody) -> None:
        """Raise for what this server does not do."""
        if body.model not in (None, settings.served_name, settings.model):
            raise RequestError(
                f"The model {body.model!r} is not served here, only {settings.served_name!r}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        if body.tools and body.tool_choice == "auto" and not settings.auto_tools:
            raise RequestError(
                "This server lets no model choose tools (--no-auto-tool-choice): send tool_choice none.", param="tools"
            )

    return router


def min_deadline(*limits: float | None) -> float | None:
    """The shortest of the deadlines that there are."""
    return min((each for each in limits if each is not None), default=None)


class Talk:
    """One answer: made in a thread, heard in the event loop."""

    def __init__(self, chat: Chat, body: ChatBody, threads: Executor, deadline_s: float | None = None) -> None:
        self.chat, self.body, self.threads, self.deadline_s = chat, body, threads, deadline_s
        self.text = TextOf(chat.settings)
        self.cancel = CancelToken()
        self.id, self.created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    async def pieces(self) -> AsyncIterator[Delta | VisionOutput]:
        """Every piece, and the whole at the end; raises what the pipeline raises."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Delta | VisionOutput | Exception]()

        def tell(item: Delta | VisionOutput | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def work() -> None:
            try:
                stream = self.chat.pipe.stream(
                    self.body.messages,
                    media=self.chat.rules,
                    cancel=self.cancel,
                    parse_tools=self.chat.settings.tools,
                    **self.body.settings(),
                )
                while True:
                    tell(next(stream))
            except StopIteration as end:
                tell(end.value)
            except Exception as error:
                tell(error)

        self.threads.submit(work)
        late = None
        if self.deadline_s is not None:
            late = loop.call_later(self.deadline_s, queue.put_nowait, DeadlinePassed(self.deadline_s))
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if isinstance(item, VisionOutput):
                    return
        finally:
            self.cancel.cancel()  # the thread ends by itself; an answer that is late does not wait for it
            if late is not None:
                late.cancel()

    async def whole(self, request: Request) -> dict[str, Any]:
        """The finished answer; a client that goes away stops it."""

        async def collect() -> VisionOutput:
            async for item in self.pieces():
                if isinstance(item, VisionOutput):
                    return item
            raise AssertionError("the pipeline ends with the whole")

        answering = asyncio.ensure_future(collect())
        try:
            while not answering.done():
                await asyncio.wait({answering}, timeout=0.2)
                if not answering.done() and await request.is_disconnected():
                    raise Cancelled
        finally:
            answering.cancel()
        output = answering.result()
        message: dict[str, Any] = {"role": "assistant", **self.text.whole(output)}
        if output.tool_calls:
            message["tool_calls"] = _calls(output)
        choice = {"index": 0, "message": message, **_end(output), "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(output)}

    async def events(self) -> AsyncIterator[str]:
        """The answer as server-sent events; an error after the first byte is an event too."""
        try:
            yield self._event({"role": "assistant", "content": ""})
            async for item in self.pieces():
                if isinstance(item, Delta):
                    yield self._event(self.text.piece(item))
                    continue
                if rest := self.text.rest():
                    yield self._event({"content": rest})
                if item.tool_calls:
                    calls = [{"index": place, **call} for place, call in enumerate(_calls(item))]
                    yield self._event({"tool_calls": calls})
                yield self._event({}, **_end(item))
                if self.body.stream_options is not None and self.body.stream_options.include_usage:
                    yield _line({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(item)})
        except Exception as error:
            yield _line({"error": described(error)[1].model_dump()})
        yield "data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.chat.settings.served_name}

    def _event(self, delta: dict[str, Any], **end: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": None, **end}
        return _line({**self._head("chat.completion.chunk"), "choices": [choice]})


class TextOf:
    """Where the words of an answer go: thoughts beside the content, or within it as the model wrote them."""

    def __init__(self, settings: ChatSettings) -> None:
        self.apart = settings.reasoning
        self._thinking = False

    def whole(self, output: VisionOutput) -> dict[str, Any]:
        """The fields of a finished message."""
        thoughts, content = output.thoughts, output.content
        if not self.apart and thoughts:
            return {"content": f"<think>{thoughts}</think>\n{content}"}
        return {"content": content or None} | ({"reasoning_content": thoughts} if thoughts else {})

    def piece(self, delta: Delta) -> dict[str, str]:
        """The fields of one piece."""
        if self.apart:
            return {"reasoning_content" if delta.kind == "thought" else "content": delta.text}
        thinking = delta.kind == "thought"
        mark = "" if thinking == self._thinking else "<think>" if thinking else "</think>\n"
        self._thinking = thinking
        return {"content": mark + delta.text}

    def rest(self) -> str:
        """What closes thoughts that no answer has followed."""
        return "</think>\n" if self._thinking and not self.apart else ""


def _line(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"


def _end(output: VisionOutput) -> dict[str, Any]:
    """The field's reason, and ours where the field has no word for it."""
    reason = output.finish_reason
    return {"finish_reason": _ENDS[reason], "stop_reason": reason if reason in ("repetition", "cancelled") else None}


def _calls(output: VisionOutput) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_json},
        }
        for call in output.tool_calls
    ]


def _usage(output: VisionOutput) -> dict[str, Any]:
    usage = output.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
    }
