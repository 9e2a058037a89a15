"""The gate for chat messages: whatever clients of the field send, in one form, before any template sees it.

Contents are texts, or lists with media parts; nothing is null. `developer` is `system`, `function` is `tool`; arguments
of tool calls are objects. What the template of a checkpoint cannot say is refused in one sentence: a template that is
asked with marked messages (`Ability`) shows what it leaves out. Media parts are told by their type alone, because a
template only marks their places; and a model that repeats its history word for word gets no old thoughts to read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inkwash.core.errors import InkwashError, RequestError
from inkwash.models.glm_v.answer import Style, history_text
from inkwash.models.glm_v.positions import PICTURE, VIDEO_FRAME

KINDS = {"image": PICTURE, "image_url": PICTURE, "video": VIDEO_FRAME, "video_url": VIDEO_FRAME}
NAMES = {PICTURE: "image", VIDEO_FRAME: "video"}
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXTS = ("text", "input_text", "output_text")
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking")  # parts of an assistant's content in other protocols
_OF_ASSISTANTS = ("tool_calls", "function_call", "reasoning_content", "reasoning")
_JOINTS = {"assistant": ""}  # the pieces of an answer are one text; elsewhere parts are paragraphs

Message = Mapping[str, Any]


def normal_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages with known roles, contents that are no null, calls with objects; raises `RequestError`.

    Contents of text alone are one text, except a user's list; media parts stay as they are.
    """
    if isinstance(messages, str | bytes | Mapping) or not messages:
        raise RequestError("messages must be a list of at least one message.", param="messages")
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError("Every message must be an object with a role and a content.", param="messages")
    name = message["role"]
    role = ROLES.get(name)
    if role is None:
        raise RequestError(
            f"A message has the role {name[:40]!r}, but must have system, developer, user, assistant or tool.",
            param="messages",
        )
    if role != "assistant" and "content" not in message:
        raise RequestError(
            f"A message of the role {name!r} has no content: send a text or a list of parts.", param="messages"
        )
    found = {key: value for key, value in message.items() if key not in _OF_ASSISTANTS}
    found |= {"role": role, "content": _content(message.get("content"), role)}
    if role == "assistant":
        found |= _assistant(message)
    if role == "tool" and "tool_call_id" in found and not isinstance(found["tool_call_id"], str | None):
        raise RequestError("The tool_call_id of a tool message must be a text.", param="messages")
    return found


def _content(content: Any, role: str) -> str | list[Any]:
    if content is None:
        return ""
    if isinstance(content, str):
        return _whole(content)
    parts = [content] if isinstance(content, Mapping) else content
    if not isinstance(parts, list | tuple):
        raise RequestError(
            f"The content of a message must be text or a list of parts, got {type(content).__name__}.", param="messages"
        )
    found = [part for part in map(_part, parts) if part is not None]
    if role == "user" and found:
        return found
    if all(part.get("type") == "text" for part in found):
        return _JOINTS.get(role, "\n").join(part["text"] for part in found)
    return found


def _part(part: Any) -> dict[str, Any] | None:
    """A part with its text in one place; None for thoughts of other protocols, which no later turn reads."""
    if isinstance(part, str):
        return {"type": "text", "text": _whole(part)}
    if not isinstance(part, Mapping):
        raise RequestError(
            f"A part of a message must be a text or an object, got {type(part).__name__}.", param="messages"
        )
    kind = part.get("type", "text" if "text" in part else None)
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return {"type": "text", "text": _whole(part["refusal"])}
    if kind in _THOUGHTS:
        return None
    if kind in _TEXTS:
        text = part.get("text")
        if not isinstance(text, str | None):
            raise RequestError(
                f"The text of a part of a message must be a text, got {type(text).__name__}.", param="messages"
            )
        return {"type": "text", "text": _whole(text or "")}
    return dict(part)


def _whole(text: str) -> str:
    """A text without halves of surrogate pairs, which clients leave where they cut one: no tokenizer reads them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _assistant(message: Message) -> dict[str, Any]:
    """An assistant's thoughts under one name, and its calls in the form of today."""
    found: dict[str, Any] = {}
    thoughts = message.get("reasoning_content", message.get("reasoning"))
    if thoughts is not None:
        if not isinstance(thoughts, str):
            raise RequestError(
                f"The reasoning_content of a message must be a text, got {type(thoughts).__name__}.", param="messages"
            )
        found["reasoning_content"] = _whole(thoughts)
    calls = message.get("tool_calls") or []
    if message.get("function_call"):
        calls = [*calls, message["function_call"]]
    if not isinstance(calls, list | tuple):
        raise RequestError("The tool_calls of a message must be a list.", param="messages")
    found["tool_calls"] = [_call(call) for call in calls]
    return found


def _call(call: Any) -> dict[str, Any]:
    """A tool call whose arguments, a JSON text in the protocol of the field, are an object."""
    inner = call.get("function", call) if isinstance(call, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(name, str) or not name:
        raise RequestError("Every tool call of a message must have a function with a name.", param="messages")
    arguments = inner.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(_whole(arguments)) if arguments.strip() else {}
        except (ValueError, RecursionError):
            raise RequestError(
                f"The arguments of the tool call {name[:80]!r} are not JSON; send a JSON object.", param="messages"
            ) from None
    if arguments is not None and not isinstance(arguments, Mapping):
        raise RequestError(
            f"The arguments of the tool call {name[:80]!r} must be a JSON object, got {type(arguments).__name__}.",
            param="messages",
        )
    made = {"name": _whole(name), "arguments": dict(arguments or {})}
    return {**{k: v for k, v in call.items() if k not in made}, "type": "function", "function": made}


def template_message(message: Message, style: Style) -> dict[str, Any]:
    """A message of `normal_messages` as chat templates expect it: media by type, no thoughts to repeat."""
    found = dict(message)
    forget = found.get("role") == "assistant" and style == "tagged"  # templates of the plain style do this themselves
    content = found["content"]
    if isinstance(content, str):
        found["content"] = history_text(content) if forget else content
        return found
    parts = []
    for part in content:
        kind = part.get("type")
        if kind == "text":
            parts.append({"type": "text", "text": history_text(part["text"]) if forget else part["text"]})
        elif kind in KINDS:
            parts.append({"type": NAMES[KINDS[kind]]})
        else:
            raise RequestError(
                f"A part of a message must be of type text, image or video, got {kind!r}.", param="messages"
            )
    found["content"] = parts
    return found


@dataclass(frozen=True, kw_only=True)
class Ability:
    """What a chat template can say, found by asking it."""

    system: bool
    tools: bool  # offered tools, calls and their results

    @classmethod
    def of(cls, render: Callable[..., str]) -> Ability:
        """`render` takes messages and tools."""
        mark = "zqxmark"
        user = {"role": "user", "content": "a"}
        call = {"id": "b", "type": "function", "function": {"name": f"{mark}1", "arguments": {f"{mark}2": f"{mark}3"}}}
        turns: list[Message] = [
            user,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": f"{mark}4", "tool_call_id": "b"},
        ]
        tool = {"type": "function", "function": {"name": f"{mark}5", "description": "c", "parameters": {}}}

        def says(marks: Sequence[int], messages: Sequence[Message], tools: Sequence[Message]) -> bool:
            try:
                text = render(messages=messages, tools=tools)
            except (InkwashError, TypeError, AttributeError):
                return False
            return all(f"{mark}{number}" in text for number in marks)

        return cls(
            system=says((0,), [{"role": "system", "content": f"{mark}0"}, user], ()),
            tools=says((1, 2, 3, 4, 5), turns, (tool,)),
        )

    def check(self, messages: Sequence[Message], tools: Sequence[Any]) -> None:
        """Raises `RequestError` for what the template would leave out."""
        if not self.tools:
            kinds = {
                "offered tools": bool(tools),
                "tool calls of earlier turns": any(message.get("tool_calls") for message in messages),
                "results of tools": any(message["role"] == "tool" for message in messages),
            }
            for kind, found in kinds.items():
                if found:
                    raise RequestError(
                        f"The chat template of this model cannot say {kind}: leave them out, or describe them in a "
                        "message.",
                        code="unsupported_parameter",
                        param="tools" if kind == "offered tools" else "messages",
                    )
        if not self.system and any(message["role"] == "system" for message in messages):
            raise RequestError(
                "The chat template of this model has no system messages: put the text into the first user message.",
                param="messages",
            )


def check_media(messages: Sequence[Message], queues: Mapping[int, list[Any]]) -> None:
    """As many media parts as media, of each kind."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    kinds = [KINDS.get(str(part.get("type"))) for part in parts if isinstance(part, Mapping)]
    for kind, queue in queues.items():
        if kinds.count(kind) != len(queue):
            raise RequestError(
                f"The messages have {kinds.count(kind)} {NAMES[kind]} parts, but {len(queue)} were given.",
                param="messages",
            )


def check_places(messages: Sequence[Message], counts: Mapping[int, int], tokens: Mapping[int, str]) -> None:
    """As many places in the rendered text as media parts, of each kind: none left out, none written by hand."""
    for kind, count in counts.items():
        roles = [
            message["role"]
            for message in messages
            if isinstance(message["content"], list)
            for part in message["content"]
            if KINDS.get(str(part.get("type"))) == kind
        ]
        if count > len(roles):
            raise RequestError(
                f"The messages hold the control token {tokens[kind]} outside of their {NAMES[kind]} parts; remove it.",
                param="messages",
            )
        if count < len(roles):
            where = next((role for role in roles if role != "user"), "user")
            raise RequestError(
                f"The chat template of this model does not show the {NAMES[kind]} parts of {where} messages: put them "
                "into a user message, or leave them out.",
                param="messages",
            )
