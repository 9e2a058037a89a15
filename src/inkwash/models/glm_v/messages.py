"""Chat messages of the field's protocol, made ready for a chat template.

Media parts are told by their type alone, because the template only marks their places; arguments of tool calls
become objects; and a model that repeats its history word for word gets no old thoughts to read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.models.glm_v.answer import Style, history_text
from inkwash.models.glm_v.positions import FILM, PICTURE

KINDS = {"image": PICTURE, "image_url": PICTURE, "video": FILM, "video_url": FILM}
NAMES = {PICTURE: "image", FILM: "video"}

Message = Mapping[str, Any]


def normal_message(message: Message, style: Style) -> dict[str, Any]:
    """A message as chat templates expect it: media by type, arguments of calls as objects, no thoughts to repeat."""
    found = dict(message)
    forget = found.get("role") == "assistant" and style == "tagged"  # templates of the plain style do this themselves
    if isinstance(content := found.get("content"), list | tuple):
        parts = [_part(part) for part in content]
        for part in parts:
            if forget and "text" in part:
                part["text"] = history_text(part["text"])
        found["content"] = parts
    elif isinstance(content, str) and forget:
        found["content"] = history_text(content)
    if calls := found.get("tool_calls"):
        found["tool_calls"] = [_call(call) for call in calls]
    return found


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if kind not in KINDS:
        raise RequestError(f"A part of a message must be of type text, image or video, got {kind!r}.", param="messages")
    return {"type": NAMES[KINDS[kind]]}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A tool call whose arguments, a JSON text in the protocol of the field, are an object."""
    inner = dict(call.get("function", call))
    if isinstance(inner.get("arguments"), str):
        try:
            inner["arguments"] = json.loads(inner["arguments"] or "{}")
        except ValueError:
            raise RequestError(
                f"The arguments of the tool call {inner.get('name')!r} are not JSON; send a JSON object.",
                param="messages",
            ) from None
    return {**call, "function": inner} if "function" in call else inner


def check_media(messages: Sequence[Message], queues: Mapping[int, list[Any]]) -> None:
    """As many media parts as media, of each kind."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    kinds = [KINDS.get(str(part.get("type"))) for part in parts if isinstance(part, Mapping)]
    for kind, given in queues.items():
        if kinds.count(kind) != len(given):
            raise RequestError(
                f"The messages have {kinds.count(kind)} {NAMES[kind]} parts, but {len(given)} were given.",
                param="messages",
            )
