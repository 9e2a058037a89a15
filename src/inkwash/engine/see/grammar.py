"""What an answer may be, as a grammar: JSON after a schema, calls of offered tools, one of several words, a pattern.

The grammars are texts in llguidance's own language (Lark with `%json`). Calls have the form in which the models write
them, so a forced call is what the model would have written; texts among their arguments are free up to the closing tag,
everything else follows the tool's schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.models.glm_v.arguments import admits
from inkwash.models.glm_v.tools import CALL, END_CALL, END_KEY, END_VALUE, KEY, VALUE

MAX_SCHEMA = 256 * 1024  # characters of one schema
MAX_CHOICES = 16 * 1024  # of all choices, or of a pattern: every token looks at what is left of them
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
_FREE = r"/(.|\n)*/"


@dataclass(frozen=True, kw_only=True)
class AnswerRule:
    """What the answer behind the thoughts must be; at least one of the fields is set."""

    schema: Mapping[str, Any] | bool | None = None  # JSON of this schema
    choices: tuple[str, ...] = ()  # one of these texts
    pattern: str | None = None  # a text that matches
    calls: tuple[Mapping[str, Any], ...] = ()  # calls of these tools; beside the others, either may come
    parallel: bool = True  # more than one call

    def grammar(self, tokens: Mapping[str, int]) -> str:
        """The rule in Lark; `tokens` are the ids of the format's tags."""
        if sum(map(len, self.choices)) + len(self.pattern or "") > MAX_CHOICES:
            raise RequestError(
                f"The choices or the pattern of the answer have more than {MAX_CHOICES} characters: send less.",
                param="guided_choice",
            )
        starts, lines = [], []
        if self.schema is not None:
            starts.append("answer")
            lines.append(f"answer: {_json(self.schema)}")
        if self.choices:
            starts.append("choice")
            lines.append(f"choice: {' | '.join(map(_quoted, self.choices))}")
        if self.pattern is not None:
            starts.append("PATTERN")
            lines.append(f"PATTERN: /{_slashed(self.pattern)}/")
        if self.calls:
            starts.append("call+" if self.parallel else "call")
            lines += _calls(self.calls, tokens)
        return "\n".join([f"start: {' | '.join(starts)}", *lines]) + "\n"


def _calls(tools: Sequence[Mapping[str, Any]], tokens: Mapping[str, int]) -> list[str]:
    tag = {name: f"<[{tokens[name]}]>" if name in tokens else _quoted(name) for name in (
        CALL, END_CALL, KEY, END_KEY, VALUE, END_VALUE)}  # fmt: skip
    lines = [f"call: {' | '.join(f'call{number}' for number in range(len(tools)))}"]
    for number, tool in enumerate(tools):
        function = tool.get("function", tool)
        whole = function.get("parameters") or {}
        properties, needed = whole.get("properties") or {}, whole.get("required") or []
        if not isinstance(properties, Mapping) or not isinstance(needed, list):
            raise RequestError("The parameters of a tool are no JSON schema of an object.", param="tools")
        parts = []
        for place, (key, schema) in enumerate(properties.items()):
            name = f"arg{number}x{place}"
            value = _argument(schema, whole, tag[END_VALUE].startswith("<"))
            pair = f'{tag[KEY]} {_quoted(key)} {tag[END_KEY]} "\\n" {tag[VALUE]} {name}v {tag[END_VALUE]} "\\n"'
            lines += [f"{name}: {pair}", f"{name}v: {value}"]
            parts.append(name if key in needed else f"{name}?")
        rule = " ".join([tag[CALL], _quoted(f"{function['name']}\n"), *parts, tag[END_CALL]])
        lines.append(f"call{number}: {rule}")
    return lines


def _argument(schema: Any, whole: Mapping[str, Any], closed: bool) -> str:
    """The value of an argument: words of an enumeration, a free text, or JSON."""
    free = _FREE if closed else r"/[^<]*/"
    if not isinstance(schema, Mapping):
        return free
    words = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return " | ".join(map(_quoted, words))
    if isinstance(words, list) or not admits(schema, "", whole):
        definitions = {name: whole[name] for name in ("$defs", "definitions") if name in whole}
        return _json({**definitions, **schema})
    longest = schema.get("maxLength")
    if schema.get("type") == "string" and isinstance(longest, int) and 0 <= longest <= 1000:
        return f"/(.|\\n){{0,{longest}}}/" if closed else f"/[^<]{{0,{longest}}}/"
    return free


def _json(schema: Mapping[str, Any] | bool) -> str:
    try:
        text = json.dumps({**schema, "x-guidance": _STYLE} if isinstance(schema, Mapping) else schema)
    except (ValueError, RecursionError):
        raise RequestError("The JSON schema is nested too deeply.", param="response_format") from None
    if len(text) > MAX_SCHEMA:
        raise RequestError(
            f"The JSON schema has {len(text)} characters, but at most {MAX_SCHEMA} are read.", param="response_format"
        )
    return f"%json {text}"


def _quoted(text: str) -> str:
    """A text as a Lark string."""
    return json.dumps(text, ensure_ascii=False)


def _slashed(pattern: str) -> str:
    """A regular expression between slashes."""
    return pattern.replace("\\/", "/").replace("/", "\\/").replace("\n", "\\n")
