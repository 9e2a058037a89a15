"""Tool calls in the text of an answer, read as tolerantly as the models write them.

A call is ``<tool_call>name``, then pairs of ``<arg_key>`` and ``<arg_value>``, then ``</tool_call>``. Seen in the wild
and accepted: no new line after the name (or a written ``\\n``), no arguments at all, a stray ``</arg_value>``. A call
that is cut short is no call: its text stays in the content.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_NAME = re.compile(r"\s*(.*?)\s*(?:\n|\\n|<arg_key>|</arg_value>|$)", re.DOTALL)
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*(?:\\n)?\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call: the tool's name and its arguments by name."""

    name: str
    arguments: dict[str, Any]

    @property
    def arguments_json(self) -> str:
        """The arguments as the chat protocol of the field sends them."""
        return json.dumps(self.arguments, ensure_ascii=False)


def tool_call_text(function: Mapping[str, Any]) -> str:
    """A call as the models of the plain style write it: texts as they are, everything else as JSON."""
    said = f"<tool_call>{function['name']}\n"
    for key, value in (function.get("arguments") or {}).items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        said += f"<arg_key>{key}</arg_key>\n<arg_value>{shown}</arg_value>\n"
    return f"{said}</tool_call>"


def parse_tool_calls(text: str, tools: Sequence[Mapping[str, Any]] = ()) -> tuple[str, list[ToolCall]]:
    """The content around the calls and the calls in order.

    ``tools`` are the offered ones as JSON schemas; an argument whose type there is ``string`` stays text, any other
    is read as JSON or as a literal, and stays text if it is neither.
    """
    calls: list[ToolCall] = []

    def take(match: re.Match[str]) -> str:
        name = _NAME.match(match[1])
        if name is None or not name[1]:
            return match[0]  # not a call: leave the text alone
        types = _argument_types(tools, name[1])
        pairs = {key.strip(): _value(value.strip(), types.get(key.strip())) for key, value in _PAIR.findall(match[1])}
        calls.append(ToolCall(name=name[1], arguments=pairs))
        return ""

    content = _CALL.sub(take, text)
    return (content.strip() if calls else content), calls


def _argument_types(tools: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and function.get("name") == name:
            parameters = function.get("parameters")
            properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
            if isinstance(properties, Mapping):
                return {key: entry.get("type") for key, entry in properties.items() if isinstance(entry, Mapping)}
    return {}


def _value(text: str, kind: Any) -> Any:
    """A number, list, truth value and so on where the text reads as one that JSON can carry, and the text otherwise."""
    if kind == "string":
        return text
    unescaped = text.replace("\\n", "\n").replace('\\"', '"')
    for read, source in ((json.loads, text), (json.loads, unescaped), (_literal, text)):
        try:
            found = read(source)
            json.dumps(found, allow_nan=False)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return found
    return text


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd backslash in a foreign text is no warning of ours
        return ast.literal_eval(text)
