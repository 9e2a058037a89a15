"""Conversations about pictures and videos to learn from, in the message format of LLaMA-Factory.

A file is a JSON list, or JSONL with one object per line, paths relative to the file:

    {"messages": [{"role": "user", "content": "<image>Who is it?"},
                  {"role": "assistant", "content": "<think>A player.</think>\\n<answer>Kane</answer>"}],
     "images": ["1.jpg"]}

Tags `<image>` and `<video>` take `images` and `videos` in order, across turns; a video is a file or a list of frames.
The ShareGPT form (`conversations` of `from` and `value`, with `system` and `tools` beside them) means the same. An
example that cannot be used is told with its place and its reason, and the others are read.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import DataError

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "function_call": "call",
    "tool": "tool",
    "observation": "tool",
}
MEDIA = {"<image>": "image", "<video>": "video"}
KEYS = frozenset({"messages", "conversations", "images", "videos", "system", "tools", "id"})
ENDINGS = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class TrainingConversation:
    """Messages of the chat protocol, media parts filled with their paths; the answers in it are what is learnt."""

    where: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def answers(self) -> list[int]:
        """Which messages are answers."""
        return [place for place, message in enumerate(self.messages) if message["role"] == "assistant"]


@dataclass(frozen=True)
class SkippedExample:
    """An example that is left out, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class _Unusable(Exception):
    """The reason why an example is left out."""


def read_conversations(source: str | Path) -> tuple[list[TrainingConversation], list[SkippedExample]]:
    """All conversations of a file and those that cannot be used; media are not opened.

    Raises DataError for a file that is missing, no JSON at all, or without a single usable conversation.
    """
    path = Path(source)
    if not path.is_file() or path.suffix.lower() not in ENDINGS:
        problem = "is no file" if not path.is_file() else "is no conversation file"
        raise DataError(f"{path} {problem}: give a .json or .jsonl file of messages with images.")
    found: list[TrainingConversation] = []
    broken: list[SkippedExample] = []
    for where, entry in _entries(path):
        try:
            found.append(_conversation(entry, where, path.parent))
        except _Unusable as reason:
            broken.append(SkippedExample(where, str(reason)))
    if not found:
        first = f" (the first: {broken[0]})" if broken else ""
        raise DataError(f"{path} holds no conversation that can be used{first}.")
    return found, broken


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Every example with its place in the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): save it as UTF-8 text.") from error
    if path.suffix.lower() == ".json":
        try:
            entries = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path} is not JSON ({error}): it must be one list of examples.") from error
        if not isinstance(entries, list):
            raise DataError(f"{path} must be a list of examples, got {type(entries).__name__}.")
        yield from ((f"{path.name}, example {number}", entry) for number, entry in enumerate(entries, 1))
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except ValueError as error:
                entry = error
            yield f"{path.name}, line {number}", entry


def _conversation(entry: Any, where: str, base: Path) -> TrainingConversation:
    if isinstance(entry, Exception):
        raise _Unusable(f"not JSON ({entry})")
    if not isinstance(entry, dict):
        raise _Unusable("no JSON object")
    if unknown := sorted(set(entry) - KEYS):
        raise _Unusable(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(KEYS))}")
    present = [key for key in ("messages", "conversations") if key in entry]
    if len(present) != 1 or not isinstance(entry[present[0]], list) or not entry[present[0]]:
        raise _Unusable("there must be one list, 'messages' or 'conversations'")
    media = {kind: _paths(entry.get(f"{kind}s"), kind, base) for kind in MEDIA.values()}
    messages = [_message(message, media) for message in entry[present[0]]]
    if left := [kind for kind, paths in media.items() if paths]:
        raise _Unusable(f"{len(media[left[0]])} of its {left[0]}s have no <{left[0]}> tag")
    system = entry.get("system")
    if isinstance(system, str) and system.strip():
        messages.insert(0, {"role": "system", "content": system})
    _check_order(messages)
    return TrainingConversation(where=where, messages=tuple(messages), tools=_tools(entry.get("tools")))


def _paths(named: Any, kind: str, base: Path) -> list[Any]:
    """What the tags of a kind stand for, in order; taken from the front."""
    names = [named] if isinstance(named, str) else named or []
    if not isinstance(names, list):
        raise _Unusable(f"{kind}s must be a list of paths")
    return [_path(name, kind, base) for name in names]


def _path(name: Any, kind: str, base: Path) -> Path | list[Path]:
    if kind == "video" and isinstance(name, list) and name:
        frames = [_path(frame, "image", base) for frame in name]
        return [frame for frame in frames if isinstance(frame, Path)]
    if not isinstance(name, str) or not name:
        raise _Unusable(f"{kind}s must be a list of paths, but holds {name!r}")
    path = base / name
    if not path.is_file():
        raise _Unusable(f"the {kind} {name} does not exist beside the file")
    return path


def _message(message: Any, media: dict[str, list[Any]]) -> dict[str, Any]:
    """One turn, in either form."""
    if not isinstance(message, dict):
        raise _Unusable("a message is no JSON object")
    raw_role = message.get("role", message.get("from"))
    role = ROLES.get(str(raw_role))
    content = message.get("content", message.get("value"))
    if role is None:
        raise _Unusable(f"unknown role {raw_role!r}; known are {', '.join(ROLES)}")
    calls = message.get("tool_calls")
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise _Unusable(f"the content of a message must be text with tags, got {type(content).__name__}")
    if role == "call":
        return {"role": "assistant", **_called(content)}
    if role == "assistant":
        if any(tag in content for tag in MEDIA):
            raise _Unusable("an answer holds a media tag; pictures stand in questions")
        return {"role": role, "content": content} | ({"tool_calls": calls} if calls else {})
    return {"role": role, "content": _parts(content, media)}


def _parts(content: str, media: dict[str, list[Any]]) -> str | list[dict[str, Any]]:
    """Text with its tags replaced by what they stand for."""
    pieces = [piece for piece in re.split("(<image>|<video>)", content) if piece]
    if not any(piece in MEDIA for piece in pieces):
        return content
    parts: list[dict[str, Any]] = []
    for piece in pieces:
        kind = MEDIA.get(piece)
        if kind is None:
            parts.append({"type": "text", "text": piece})
        elif not media[kind]:
            raise _Unusable(f"there are more <{kind}> tags than {kind}s")
        else:
            parts.append({"type": kind, kind: media[kind].pop(0)})
    return parts


def _called(content: str) -> dict[str, Any]:
    """A `function_call` turn: thoughts if there are any, then one call or a list of them as JSON."""
    before, end, rest = content.rpartition("</think>")
    try:
        calls = json.loads(rest)
    except ValueError as error:
        raise _Unusable(f"a function call is not JSON ({error})") from error
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in calls):
        raise _Unusable("a function call needs a name and arguments")
    functions = [{"name": call["name"], "arguments": call.get("arguments") or {}} for call in calls]
    return {"content": before + end, "tool_calls": [{"type": "function", "function": each} for each in functions]}


def _tools(tools: Any) -> tuple[dict[str, Any], ...]:
    """The offered tools: a list, or the same as JSON text."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools) if tools.strip() else []
        except ValueError as error:
            raise _Unusable(f"tools are not JSON ({error})") from error
    if not isinstance(tools or [], list) or not all(isinstance(tool, dict) for tool in tools or []):
        raise _Unusable("tools must be a list of objects")
    return tuple(tools or [])


def _check_order(messages: list[dict[str, Any]]) -> None:
    """A question before every answer, and an answer at the end."""
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns or turns[0] != "user":
        raise _Unusable("the first turn must be the user's")
    if turns[-1] != "assistant":
        raise _Unusable("the last turn must be an answer")
    for before, role in itertools.pairwise(turns):
        if role == "system" or (role == "tool" and before == "user") or (role == before and role != "tool"):
            raise _Unusable(f"a turn of {role} follows one of {before}")
        if role == "user" and before == "tool":
            raise _Unusable("a tool's reply has no answer")
