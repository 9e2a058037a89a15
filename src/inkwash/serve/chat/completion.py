"""Answers in the format of chat completions, whole or as a stream of chunks.

Thoughts are `reasoning_content`; calls come in pieces while they are written. A call that the length cuts off stands in
the content of a whole answer, and has unfinished arguments in a stream; both end with `length`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sse_starlette import ServerSentEvent

from inkwash.engine.see.answer_state import TokenLogprob
from inkwash.engine.see.output import CallPiece, Delta, ToolCall, VisionOutput
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.serve.chat.generation import Answers
from inkwash.serve.chat.schema import ChatBody
from inkwash.serve.errors import described
from inkwash.serve.event_stream import json_event, text_event

LEAST_LOGPROB = -9999.0  # stands for never, as in the OpenAI API
_ENDS = {"stop": "stop", "repetition": "stop", "cancelled": "stop", "length": "length", "tool_calls": "tool_calls"}
DONE = "[DONE]"


class Completion:
    """One request's answers as the route sends them."""

    def __init__(self, body: ChatBody, answers: Answers) -> None:
        self.body, self.answers, self.settings = body, answers, answers.chat.settings
        self.id, self.created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    def whole(self, outputs: Sequence[VisionOutput]) -> dict[str, Any]:
        """The JSON of finished answers."""
        choices = []
        for index, output in enumerate(outputs):
            message = {"role": "assistant", **whole_text(output, apart=self.settings.reasoning), "refusal": None}
            calls = self._kept(output.tool_calls)
            if calls:
                message["content"] = message["content"] or None
                message["tool_calls"] = [whole_call(call) for call in calls]
            choices.append(
                {"index": index, "message": message, **end_of(output), "logprobs": self._noted(output.logprobs)}
            )
        return {**self._head("chat.completion"), "choices": choices, "usage": usage_of(outputs)}

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The chunks; an error after the first byte is an event too."""
        outputs: list[VisionOutput] = []
        texts = [PieceText(apart=self.settings.reasoning) for _ in range(self.answers.request.n)]
        try:
            for index in range(len(texts)):
                yield self._chunk(index, {"role": "assistant", "content": ""})
            async for index, item in self.answers.items():
                if isinstance(item, Delta):
                    if (fields := self._piece(item, texts[index])) is not None:
                        noted = self._noted(item.logprobs) if item.logprobs else None
                        yield self._chunk(index, fields, logprobs=noted)
                    continue
                outputs.append(item)
                if rest := texts[index].rest():
                    yield self._chunk(index, {"content": rest})
                yield self._chunk(index, {}, **end_of(item))
            if self.body.include_usage:
                yield json_event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_of(outputs)})
        except Exception as error:
            for event in self.last_events(error)[:1]:
                yield event
        yield text_event(DONE)

    @staticmethod
    def last_events(error: Exception) -> list[ServerSentEvent]:
        """How a stream ends that failed."""
        return [json_event({"error": described(error)[1].model_dump()}), text_event(DONE)]

    def _kept(self, calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
        return calls if self.answers.request.parallel else calls[:1]

    def _piece(self, delta: Delta, text: PieceText) -> dict[str, Any] | None:
        if delta.call is None:
            return text.fields(delta)
        if delta.call.index and not self.answers.request.parallel:
            return None
        return {"tool_calls": [call_piece(delta.call)]}

    def _noted(self, logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not self.body.logprobs:
            return None
        return {"content": tokens_of(self.answers.chat.pipe, logprobs), "refusal": None}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.settings.served_name}

    def _chunk(self, index: int, delta: dict[str, Any], **end: Any) -> ServerSentEvent:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **end}
        return json_event({**self._head("chat.completion.chunk"), "choices": [choice]})


class PieceText:
    """Where the words of a stream go: thoughts beside the content, or within it as the model wrote them."""

    def __init__(self, *, apart: bool) -> None:
        self.apart = apart
        self._thinking = False

    def fields(self, delta: Delta) -> dict[str, str]:
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


def whole_text(output: VisionOutput, *, apart: bool) -> dict[str, Any]:
    """The text fields of a finished message."""
    thoughts, content = output.thoughts, output.content
    if not apart and thoughts:
        return {"content": f"<think>{thoughts}</think>\n{content}"}
    return {"content": content} | ({"reasoning_content": thoughts} if thoughts else {})


def end_of(output: VisionOutput) -> dict[str, Any]:
    """The field's reason, and ours where the field has no word for it: the stop text, or why we stopped."""
    reason = output.finish_reason
    ours = reason if reason in ("repetition", "cancelled") else output.stopped_by
    return {"finish_reason": _ENDS[reason], "stop_reason": ours}


def new_call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def whole_call(call: ToolCall) -> dict[str, Any]:
    """A finished call."""
    return {
        "id": new_call_id(),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    }


def call_piece(piece: CallPiece) -> dict[str, Any]:
    """A piece of a call: its name and id first, then its arguments."""
    if piece.name is None:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": new_call_id(), "type": "function", "function": function}


def tokens_of(pipe: GlmVisionPipeline, logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Tokens with their likelihoods, and the likeliest beside each."""
    return [
        {**_token(pipe, noted.token, noted.logprob), "top_logprobs": [_token(pipe, *each) for each in noted.top]}
        for noted in logprobs
    ]


def _token(pipe: GlmVisionPipeline, token: int, logprob: float) -> dict[str, Any]:
    text, content = pipe.token_text(token)
    return {"token": text, "logprob": max(logprob, LEAST_LOGPROB), "bytes": list(content)}


def usage_of(outputs: Sequence[VisionOutput]) -> dict[str, Any]:
    """Tokens of all answers; the prompt counts once."""
    prompt = max((output.usage.prompt_tokens for output in outputs), default=0)
    completion = sum(output.usage.completion_tokens for output in outputs)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min((o.usage.cached_tokens for o in outputs), default=0)},
        "completion_tokens_details": {"reasoning_tokens": sum(o.usage.thinking_tokens for o in outputs)},
    }
