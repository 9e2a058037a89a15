"""Tool calls in the text of an answer, whole or in pieces, read as tolerantly as the models write them.

A call is `<tool_call>name`, then pairs of `<arg_key>` and `<arg_value>`, then `</tool_call>`. Seen in the wild
and accepted: no new line after the name (or a written `\\n`), no arguments at all, a stray `</arg_value>`, a JSON
object instead of the pairs or of name and pairs. A value is what stands between its tags, blanks and other tags
included; `arguments.py` decides its type. A call that is cut short is no call: its text stays in the content.
`ToolCallStream` reads pieces cut anywhere and `parse_tool_calls` is the same machine on the whole.

Time is linear in the text: calls are read in pieces, nothing is looked for behind the last closing tag, and an answer
full of openings that lead nowhere is given up after `MAX_TRIES` of them; the rest of it is content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from inkwash.models.glm_v.answer import overlap
from inkwash.models.glm_v.arguments import argument_schema, is_text, python_literal, typed_value

CALL, END_CALL = "<tool_call>", "</tool_call>"
KEY, END_KEY, VALUE, END_VALUE = "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"
MAX_NAME = 256
MAX_TRIES = 64  # of reading what turns out to be no call, in one answer
LONG_TRY = 8  # tries that a call of more than one piece costs
PIECE = 1024  # characters that a call is read in at first
_BLANK = re.compile(r"(?:\s|\\n)*")
_AFTER_VALUE = re.compile(rf"{_BLANK.pattern}(?:{KEY}|{END_CALL}|{END_VALUE})")


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call: the tool's name and its arguments by name."""

    name: str
    arguments: dict[str, Any]

    @property
    def arguments_json(self) -> str:
        """The arguments as the chat protocol of the field sends them."""
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True)
class CallPiece:
    """What a stream of pieces tells of a call: its name first, then the JSON text of its arguments in parts."""

    index: int
    name: str | None
    arguments: str


class _CallState(Enum):
    NAME = 0
    PAIRS = 1
    VALUE = 2
    JSON = 3
    DONE = 4
    FAILED = 5


class _Patience:
    """How many more tries an answer has: of JSON that is none, and of long calls that come to nothing."""

    def __init__(self) -> None:
        self.left = MAX_TRIES

    def lose(self, tries: int = 1) -> None:
        self.left -= tries


class _CallReader:
    """One call from behind its opening tag on. `take` returns what is certain of the arguments' JSON text."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], patience: _Patience) -> None:
        self.tools, self.patience = tools, patience
        self.state = _CallState.NAME
        self.name: str | None = None
        self.arguments: dict[str, Any] = {}
        self.raw = ""  # all of it, for a call that is none
        self.rest = ""  # what follows the closing tag
        self._held = ""
        self._schema: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
        self._key = ""
        self._value = ""  # text of the open value that was told already
        self._written = 0  # arguments in the JSON text
        self._searched = 0

    @property
    def held(self) -> int:
        """Characters that are not decided yet."""
        return len(self._held)

    @property
    def ended(self) -> bool:
        return self.state in (_CallState.DONE, _CallState.FAILED)

    @property
    def call(self) -> ToolCall:
        return ToolCall(name=self.name or "", arguments=self.arguments)

    def take(self, text: str, *, last: bool = False) -> str:
        """The next piece of the text; `last` says that none follows."""
        self.raw += text
        self._held += text
        out: list[str] = []
        steps = {
            _CallState.NAME: self._read_name,
            _CallState.PAIRS: self._read_pairs,
            _CallState.VALUE: self._read_value,
            _CallState.JSON: self._read_json,
        }
        while (step := steps.get(self.state)) and step(out, last):
            pass
        if last and self.state is not _CallState.DONE:
            self.state = _CallState.FAILED
        return "".join(out)

    def _read_name(self, out: list[str], last: bool) -> bool:
        begun = self._held.lstrip()
        if begun.startswith("{"):
            self.state = _CallState.JSON
            return True
        ends = [place for mark in ("\n", "\\n", "{", "<") if (place := begun.find(mark)) >= 0]
        if not ends:
            if len(begun) > MAX_NAME:
                self.state = _CallState.FAILED
            return False
        name, ending = begun[: min(ends)].rstrip(), begun[min(ends) :]
        tags = (KEY, END_VALUE, END_CALL)
        stray = ending.startswith("<") and not ending.startswith(tags)
        if stray and not last and any(tag.startswith(ending) for tag in tags):
            return False
        if stray or not 0 < len(name) <= MAX_NAME:
            self.state = _CallState.FAILED
        else:
            self.name, self._held, self.state = name, ending, _CallState.PAIRS
        return True

    def _read_pairs(self, out: list[str], last: bool) -> bool:
        """To the next value, or the end; whatever else stands between the tags is left out."""
        if not self._written and self._held.lstrip().startswith("{"):
            self.state = _CallState.JSON
            return True
        end, key = self._held.find(END_CALL), self._held.find(KEY)
        if end >= 0 and not 0 <= key < end:
            out.append("}" if self._written else "{}")
            self.state, self.rest = _CallState.DONE, self._held[end + len(END_CALL) :]
            return False
        name, closed, after = self._held[key + len(KEY) :].partition(END_KEY)
        if key < 0 or not closed:
            return False
        value, following = after.find(VALUE), [place for tag in (KEY, END_CALL) if (place := after.find(tag)) >= 0]
        if value < 0 and not following:
            return False
        if value < 0 or (following and min(following) < value):  # a key without a value
            self._held = after
            return True
        self._key, self._value = name.strip(), ""
        self._schema = argument_schema(self.tools, self.name or "", self._key)
        self._held, self.state = after[value + len(VALUE) :], _CallState.VALUE
        if is_text(self._schema[0]):
            out.append(f'{self._opening()}"')
        return True

    def _opening(self) -> str:
        self._written += 1
        return f"{'{' if self._written == 1 else ', '}{json.dumps(self._key, ensure_ascii=False)}: "

    def _read_value(self, out: list[str], last: bool) -> bool:
        """A value ends at the closing tag behind which the call goes on; one that is never closed, with the call."""
        plain = is_text(self._schema[0])
        at, closed = self._value_end(last)
        if plain:
            out.append(json.dumps(self._held[:at], ensure_ascii=False)[1:-1])
        if closed is None:
            if plain:
                self._value += self._held[:at]
                self._held, self._searched = self._held[at:], 0
            return False
        value = self._value + self._held[:at]
        self.arguments[self._key] = typed_value(value, *self._schema)
        if plain:
            out.append('"')
        else:
            out.append(self._opening() + json.dumps(self.arguments[self._key], ensure_ascii=False))
        self._held, self.state, self._searched = self._held[at + len(closed) :], _CallState.PAIRS, 0
        return True

    def _value_end(self, last: bool) -> tuple[int, str | None]:
        """How much of what is held is the value, and what closes it (None: not known yet)."""
        at = self._held.find(END_VALUE, self._searched)
        while at >= 0:
            behind = at + len(END_VALUE)
            if _AFTER_VALUE.match(self._held, behind):
                return at, END_VALUE
            if not last and _may_go_on(self._held, behind):
                self._searched = at
                break
            at = self._held.find(END_VALUE, at + 1)
        end = self._held.find(END_CALL)
        if last and end >= 0:
            return end, ""
        places = [place for place in (at, end) if place >= 0]
        self._searched = max(self._searched, len(self._held) - len(END_VALUE)) if at < 0 else at
        return min([*places, len(self._held) - overlap(self._held, (END_VALUE, END_CALL))]), None

    def _read_json(self, out: list[str], last: bool) -> bool:
        """A JSON object up to a closing tag behind which it is whole: of the arguments, or of name and arguments."""
        while (end := self._held.find(END_CALL, self._searched)) >= 0 and self.patience.left > 0:
            self._searched = end + 1
            found = python_literal(self._held[:end].strip())
            if not isinstance(found, dict):
                self.patience.lose()
                continue
            if self.name is None:
                found = found.get("function", found)
                name = found.get("name") if isinstance(found, dict) else None
                if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME:
                    break
                self.name, found = name.strip(), found.get("arguments", found.get("parameters", {}))
                found = python_literal(found) if isinstance(found, str) else found
            if not isinstance(found, dict):
                break
            self.arguments = {str(key): value for key, value in found.items()}
            out.append(self.call.arguments_json)
            self.state, self.rest = _CallState.DONE, self._held[end + len(END_CALL) :]
            return False
        if end >= 0:
            self.state = _CallState.FAILED
        else:
            self._searched = max(self._searched, len(self._held) - len(END_CALL))
        return False


def _read_call(
    text: str, start: int, tools: Sequence[Mapping[str, Any]], patience: _Patience
) -> tuple[_CallReader, int]:
    """The call behind an opening tag of a whole text, and where what follows it begins."""
    reader, at = _CallReader(tools, patience), start
    while not reader.ended:
        piece = text[at : at + max(PIECE, reader.held)]
        at += len(piece)
        reader.take(piece, last=at >= len(text))
    if reader.state is _CallState.DONE:
        return reader, at - len(reader.rest)
    if at - start > PIECE:
        patience.lose(LONG_TRY)
    return reader, start


class ToolCallStream:
    """The text of an answer in pieces to content and calls in pieces."""

    def __init__(self, tools: Sequence[Mapping[str, Any]] = ()) -> None:
        self.tools = tools
        self.calls: list[ToolCall] = []
        self.unfinished = ""  # the text of a call that was told of already, where the answer ended inside of it
        self._held = ""
        self._reader: _CallReader | None = None
        self._named = False
        self._patience = _Patience()

    def feed(self, text: str, *, last: bool = False) -> list[str | CallPiece]:
        """Content (str) and pieces of calls that are certain now."""
        out: list[str | CallPiece] = []
        text, self._held, at, start = self._held + text, "", 0, -1
        while True:
            if self._reader is None:
                at = start = self._open(text, at, out, last)
            reader = self._reader
            if reader is None:
                return out
            at = self._read(reader, text, at, out, last)
            if not reader.ended:
                return out
            self._reader = None
            if reader.state is _CallState.DONE:
                self.calls.append(reader.call)
                at -= len(reader.rest)
            elif self._named:
                self.unfinished = CALL + reader.raw
            else:
                out.append(CALL)
                if len(reader.raw) > PIECE:
                    self._patience.lose(LONG_TRY)
                text, at = (text, start) if start >= 0 else (reader.raw + text[at:], 0)

    def _open(self, text: str, at: int, out: list[str | CallPiece], last: bool) -> int:
        """Content up to the next call, and the place behind its opening tag; no reader where none begins."""
        place = text.find(CALL, at) if self._patience.left > 0 else -1
        if last and place > text.rfind(END_CALL):
            place = -1
        certain = place if place >= 0 else len(text) - (0 if last else overlap(text[-len(CALL) :], (CALL,)))
        if certain > at:
            out.append(text[at:certain])
        if place < 0:
            self._held = text[max(at, certain) :]
            return len(text)
        self._reader, self._named = _CallReader(self.tools, self._patience), False
        return place + len(CALL)

    def _read(self, reader: _CallReader, text: str, at: int, out: list[str | CallPiece], last: bool) -> int:
        """Read on in the open call, piece by piece; how far the text was read."""
        while not reader.ended:
            piece = text[at : at + max(PIECE, reader.held)]
            at += len(piece)
            arguments = reader.take(piece, last=last and at >= len(text))
            failed = reader.state is _CallState.FAILED
            if reader.name is not None and not failed and (arguments or not self._named):
                out.append(CallPiece(len(self.calls), None if self._named else reader.name, arguments))
                self._named = True
            if at >= len(text):
                break
        return at


def tool_call_text(function: Mapping[str, Any]) -> str:
    """A call as the models of the plain style write it: texts as they are, everything else as JSON."""
    out = f"{CALL}{function['name']}\n"
    for key, value in (function.get("arguments") or {}).items():
        written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        out += f"{KEY}{key}{END_KEY}\n{VALUE}{written}{END_VALUE}\n"
    return f"{out}{END_CALL}"


def parse_tool_calls(text: str, tools: Sequence[Mapping[str, Any]] = ()) -> tuple[str, list[ToolCall]]:
    """The content around the calls and the calls in order; `tools` are the offered ones as JSON schemas."""
    content: list[str] = []
    calls: list[ToolCall] = []
    at, last, patience = 0, text.rfind(END_CALL), _Patience()
    while at <= (opening := text.find(CALL, at)) < last and patience.left > 0:
        content.append(text[at:opening])
        reader, at = _read_call(text, opening + len(CALL), tools, patience)
        if reader.state is _CallState.DONE:
            calls.append(reader.call)
        else:
            content.append(CALL)
    content.append(text[at:])
    whole = "".join(content)
    return (whole.strip() if calls else whole), calls


def _may_go_on(text: str, behind: int) -> bool:
    """Whether the text behind a closing tag may yet show that the call goes on."""
    blank = _BLANK.match(text, behind)
    begun = text[blank.end() if blank else behind :][: len(END_VALUE)]
    return begun == "\\" or any(tag.startswith(begun) for tag in (KEY, END_CALL, END_VALUE))
