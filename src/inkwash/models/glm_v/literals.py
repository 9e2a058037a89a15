"""JSON and Python literals in the midst of a text, read as models write them.

Seen in replies and accepted: Python's spelling, a real line break in a text, leading zeros (`[100, 020]`), a missing
last bracket.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

MAX_ENDS = 16  # closing brackets at which a value may end
MAX_STARTS = 32  # brackets that open nothing readable, after which no more is looked for
_ZEROS = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<![\w.])0+(?=\d)""")
_CLOSING = {"[": "]", "{": "}"}
_DECODER = json.JSONDecoder(strict=False)


def read_literal(text: str) -> Any:
    """The value that a text is; raises ValueError where it is none."""
    for source in (text, _ZEROS.sub(lambda found: found[1] or "", text)):
        for read in (_json, python_value):
            try:
                return read(source)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    raise ValueError("neither JSON nor a Python literal")


def find_literals(text: str, opening: str = "[{") -> Iterator[tuple[Any, int, int]]:
    """The lists and objects in a text, one behind the other, each with its place."""
    at = failed = 0
    while failed < MAX_STARTS and (start := _first(text, opening, at)) is not None:
        found = _value_at(text, start, open_end=not failed)
        if found is None:
            at, failed = start + 1, failed + 1
            continue
        yield found[0], start, found[1]
        at = found[1]


def _first(text: str, opening: str, at: int) -> int | None:
    places = [place for mark in opening if (place := text.find(mark, at)) >= 0]
    return min(places) if places else None


def _value_at(text: str, start: int, *, open_end: bool) -> tuple[Any, int] | None:
    """The value that begins there, up to its own closing bracket; with `open_end` its last brackets may lack."""
    try:
        return _DECODER.raw_decode(text, start)  # sound JSON, whatever brackets its texts hold
    except (ValueError, RecursionError):
        pass
    closing = _CLOSING[text[start]]
    end, depth = text.find(closing, start) + 1, 1
    if end == 0:
        return _completed(text, start) if open_end else None
    for _ in range(MAX_ENDS):
        depth = text.count(text[start], start, end) - text.count(closing, start, end)
        if depth <= 0:
            try:
                return read_literal(text[start:end]), end
            except ValueError:
                pass
        following = text.find(closing, end) + 1
        if following == 0:
            break
        end = following
    return _completed(text, start) if open_end and depth > 0 else None


def _completed(text: str, start: int) -> tuple[Any, int] | None:
    """A value at the end of a text whose last brackets are missing."""
    for brackets in ("}", "]}", "]]}", "]", "]]") if text[start] == "{" else ("]", "]]", "}]"):
        try:
            return read_literal(text[start:].rstrip() + brackets), len(text)
        except ValueError:
            continue
    return None


def _json(text: str) -> Any:
    return json.loads(text, strict=False)


def python_value(text: str) -> Any:
    """The value of a Python literal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd backslash in a foreign text is no warning of ours
        return ast.literal_eval(text)
