"""Answers in the format of responses: items in the order in which they were made, whole or as events."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from sse_starlette import ServerSentEvent

from inkwash.engine.request import SAMPLING_FIELDS
from inkwash.engine.see.output import Delta, VisionOutput
from inkwash.serve.chat.completion import new_call_id, tokens_of
from inkwash.serve.chat.generation import Answers
from inkwash.serve.chat.response_schema import ResponseBody
from inkwash.serve.errors import described
from inkwash.serve.event_stream import json_event

Event = dict[str, Any]


class ResponseAnswer:
    """One request's answer as the route sends it."""

    def __init__(self, body: ResponseBody, answers: Answers) -> None:
        self.body, self.answers = body, answers
        self.id, self.created = f"resp_{uuid.uuid4().hex}", int(time.time())
        self._number = 0  # of the last event

    def whole(self, outputs: Sequence[VisionOutput]) -> dict[str, Any]:
        """The JSON of a finished answer."""
        output = outputs[0]
        calls = output.tool_calls if self.answers.request.parallel else output.tool_calls[:1]
        items: list[dict[str, Any]] = []
        if output.thoughts:
            items.append(_reasoning(output.thoughts))
        if output.content or not calls:
            status = "incomplete" if output.finish_reason == "length" else "completed"
            items.append(self.message_item(output.content, output.logprobs, status=status))
        items += [_call(call.name, call.arguments_json) for call in calls]
        return self._object(items, output)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events of a stream; an error after the first byte is an event too."""
        try:
            begun = self._object([], None)
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
            items = _Items(self)
            async for _, item in self.answers.items():
                for fields in items.add(item) if isinstance(item, Delta) else items.end(item):
                    yield self._event(**fields)
                if isinstance(item, VisionOutput):
                    done = self._object(items.done, item)
                    yield self._event(f"response.{done['status']}", response=done)
        except Exception as error:
            for event in self.last_events(error):
                yield event

    def last_events(self, error: Exception) -> list[ServerSentEvent]:
        """How a stream ends that failed."""
        body = described(error)[1]
        return [self._event("error", code=body.code, message=body.message, param=body.param)]

    def _event(self, type: str, **fields: Any) -> ServerSentEvent:
        number, self._number = self._number, self._number + 1
        return json_event({"type": type, "sequence_number": number, **fields}, name=type)

    def message_item(
        self, text: str, logprobs: Sequence[Any], *, status: str, own_id: str | None = None
    ) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": self.tokens(logprobs)}
        item_id = own_id or f"msg_{uuid.uuid4().hex}"
        return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": [part]}

    def tokens(self, logprobs: Sequence[Any]) -> list[dict[str, Any]]:
        return tokens_of(self.answers.chat.pipe, logprobs)

    def _object(self, items: list[dict[str, Any]], output: VisionOutput | None) -> dict[str, Any]:
        body, cut = self.body, output is not None and output.finish_reason == "length"
        status = "in_progress" if output is None else "incomplete" if cut else "completed"
        form = body.text.format
        choice: Any = body.tool_choice
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self.answers.chat.settings.served_name,
            "output": items,
            "parallel_tool_calls": body.parallel_tool_calls,
            "previous_response_id": None,
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "store": False,
            "text": {"format": {"type": "text"} if form is None else form.model_dump(by_alias=True, exclude_none=True)},
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
            "tools": [tool.model_dump() for tool in body.tools],
            **{name: getattr(body, name) for name in SAMPLING_FIELDS},
            "truncation": body.truncation,
            "usage": None if output is None else _usage(output),
            "metadata": body.metadata,
        }


class _Items:
    """The items of a stream: one is open at a time, except calls, which are told apart by their index."""

    def __init__(self, answer: ResponseAnswer) -> None:
        self.answer = answer
        self.done: list[dict[str, Any]] = []
        self._kind = ""  # of the open item
        self._id = ""
        self._text = ""
        self._noted: list[Any] = []
        self._call: dict[str, Any] = {}

    def add(self, delta: Delta) -> Iterator[Event]:
        """The events of a piece."""
        if delta.call is not None:
            if delta.call.index and not self.answer.answers.request.parallel:
                return
            if delta.call.name is not None:
                yield from self._close("completed")
                self._kind, self._text = "call", ""
                self._call = _call(delta.call.name, "", status="in_progress")
                self._id = self._call["id"]
                yield self._place("response.output_item.added", item=dict(self._call), whole=True)
            if delta.call.arguments:
                self._text += delta.call.arguments
                yield self._place("response.function_call_arguments.delta", delta=delta.call.arguments)
            return
        kind = "thought" if delta.kind == "thought" else "answer"
        if kind == "answer" and self._kind != "answer" and not delta.text.strip():
            return  # blanks between the items
        if kind != self._kind:
            yield from self._close("completed")
            yield from self._open(kind)
        self._text += delta.text
        self._noted += delta.logprobs
        if kind == "thought":
            yield self._place("response.reasoning_text.delta", content_index=0, delta=delta.text)
        else:
            tokens = self.answer.tokens(delta.logprobs)
            yield self._place("response.output_text.delta", content_index=0, delta=delta.text, logprobs=tokens)

    def end(self, output: VisionOutput) -> Iterator[Event]:
        """The events of the end."""
        if not self.done and not self._kind:
            yield from self._open("answer")
        yield from self._close("incomplete" if output.finish_reason == "length" else "completed")

    def _open(self, kind: str) -> Iterator[Event]:
        self._kind, self._text, self._noted = kind, "", []
        self._id = f"{'rs' if kind == 'thought' else 'msg'}_{uuid.uuid4().hex}"
        if kind == "thought":
            item: dict[str, Any] = {**_reasoning("", own_id=self._id), "content": [], "status": "in_progress"}
            part: dict[str, Any] = {"type": "reasoning_text", "text": ""}
        else:
            item = {**self.answer.message_item("", (), status="in_progress", own_id=self._id), "content": []}
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield self._place("response.output_item.added", item=item, whole=True)
        yield self._place("response.content_part.added", content_index=0, part=part)

    def _close(self, status: str) -> Iterator[Event]:
        """The last events of the open item, if one is open."""
        kind, self._kind = self._kind, ""
        if not kind:
            return
        if kind == "call":
            item = {**self._call, "arguments": self._text, "status": status}
            name = {"arguments": self._text, "name": self._call["name"]}
            yield self._place("response.function_call_arguments.done", **name)
        elif kind == "thought":
            item = _reasoning(self._text, own_id=self._id)
            yield self._place("response.reasoning_text.done", content_index=0, text=self._text)
            yield self._place("response.content_part.done", content_index=0, part=item["content"][0])
        else:
            item = self.answer.message_item(self._text, self._noted, status=status, own_id=self._id)
            part = item["content"][0]
            done = {"content_index": 0, "text": self._text, "logprobs": part["logprobs"]}
            yield self._place("response.output_text.done", **done)
            yield self._place("response.content_part.done", content_index=0, part=part)
        yield self._place("response.output_item.done", item=item, whole=True)
        self.done.append(item)

    def _place(self, type: str, *, whole: bool = False, **fields: Any) -> Event:
        place: Event = {"type": type, "output_index": len(self.done)}
        return place | ({} if whole else {"item_id": self._id}) | fields


def _reasoning(thoughts: str, *, own_id: str | None = None) -> dict[str, Any]:
    return {
        "id": own_id or f"rs_{uuid.uuid4().hex}",
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": thoughts}],
        "status": "completed",
    }


def _call(name: str, arguments: str, *, status: str = "completed") -> dict[str, Any]:
    return {
        "id": f"fc_{uuid.uuid4().hex}",
        "type": "function_call",
        "call_id": new_call_id(),
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def _usage(output: VisionOutput) -> dict[str, Any]:
    usage = output.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
