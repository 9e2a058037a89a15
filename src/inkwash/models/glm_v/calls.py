"""Function calls in the midst of a text, such as `type(content='It's fine')`, read as models write them.

A call that Python can read is read so. Others are read from the right: the last quotation mark before a closing
bracket ends the last argument, so quotation marks and line breaks inside of a text do no harm. Arguments without a name
stand in their order.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_ENDS = 64  # closing brackets at which a call may end
MAX_CALLS = 64
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\'": "'", '\\"': '"', "\\\\": "\\"}
_QUOTES = ("'", '"', "\u2018", "\u2019", "\u201c", "\u201d")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: its name, its arguments by name, and its words in the text."""

    name: str
    arguments: dict[str, Any]
    words: str


def find_calls(text: str, known: Mapping[str, Sequence[str]]) -> list[Call]:
    """The calls of known functions, in order; `known` tells the arguments of each.

    A call of a function that has arguments must give one, so that "press the key(s)" is none.
    """
    names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
    starts = list(re.finditer(rf"(?<![\w.])({names})\(", text))[:MAX_CALLS]
    calls: list[Call] = []
    at = 0
    for number, start in enumerate(starts):
        if start.start() < at:
            continue  # inside of a call's text
        call = _by_python(text, start, known[start[1]])
        if call is None:
            end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
            call = _from_the_right(text[: max(end, start.end())], start, known[start[1]])
        if call is not None:
            calls.append(call)
            at = start.start() + len(call.words)
    return calls


def _by_python(text: str, start: re.Match[str], names: Sequence[str]) -> Call | None:
    end = start.end() - 1
    for _ in range(MAX_ENDS):
        end = text.find(")", end) + 1
        if end == 0:
            return None
        words = text[start.start() : end]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd backslash in a foreign text is no warning of ours
                tree = ast.parse(words, mode="eval").body
                if not isinstance(tree, ast.Call) or len(tree.args) > len(names):
                    continue
                found = {name: ast.literal_eval(value) for name, value in zip(names, tree.args, strict=False)}
                found |= {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg}
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if bool(names) and not set(names) & set(found):
            return None
        return Call(name=start[1], arguments=found, words=words)
    return None


def _from_the_right(text: str, start: re.Match[str], names: Sequence[str]) -> Call | None:
    """A call that ends at the last closing bracket behind a quotation mark, a bracket or a number."""
    ends = [found.start() for found in re.finditer(r"\)", text[start.end() :])]
    for end in reversed(ends[-MAX_ENDS:]):
        inner = text[start.end() : start.end() + end]
        kept = inner.rstrip()
        if not kept or not (kept.endswith((*_QUOTES, "]", ")")) or kept[-1].isdigit()):
            continue
        found = _arguments(kept, names)
        if found:
            return Call(name=start[1], arguments=found, words=text[start.start() : start.end() + end + 1])
    return None


def _arguments(inner: str, names: Sequence[str]) -> dict[str, Any]:
    if not names:
        return {}
    keys = list(re.finditer(rf"(?:^|,)\s*({'|'.join(names)})\s*=\s*", inner))
    if not keys:
        return _in_order(inner.strip(), names)
    found: dict[str, Any] = {}
    for number, key in enumerate(keys):
        end = keys[number + 1].start() if number + 1 < len(keys) else len(inner)
        found.setdefault(key[1], _value(inner[key.end() : end]))
    return found


def _in_order(inner: str, names: Sequence[str]) -> dict[str, Any]:
    """Arguments without names: texts, lists and numbers between commas."""
    if not inner.startswith((*_QUOTES, "[", "(")) and not inner[:1].isdigit():
        return {}
    if len(names) == 1:
        return {names[0]: _value(inner)}
    parts = re.split(r",\s*(?=['\"\[(])|(?<=['\"\])]),\s*", inner)
    return {name: _value(part) for name, part in zip(names, parts, strict=False)}


def _value(text: str) -> Any:
    """A text without its quotation marks, a number, or what else is written."""
    text = text.strip().rstrip(",").strip()
    if text.startswith(_QUOTES):
        body = text[1:-1] if len(text) > 1 and text.endswith(_QUOTES) else text[1:]
        return re.sub(r"\\[ntr'\"\\]", lambda found: _ESCAPES[found[0]], body)
    return int(text) if re.fullmatch(r"\d{1,9}", text) else text
