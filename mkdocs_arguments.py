"""For the API pages: the lines `name: meaning` of a docstring become a list, which Markdown would run together."""

from __future__ import annotations

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"^(\w+(?:, \w+)*): (?=\S)", flags=re.MULTILINE)


class ArgumentLists(griffe.Extension):
    """Rewrites the docstrings of classes and functions while they are read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every object that the pages may show."""
        if obj.docstring is not None and not obj.is_module:
            obj.docstring.value = as_lists(obj.docstring.value)


def as_lists(docstring: str) -> str:
    """The docstring with a list in place of its lines about arguments; the first line is prose."""
    summary, line_end, rest = docstring.partition("\n")
    if not (found := ARGUMENT.search(rest)):
        return docstring
    prose, arguments = rest[: found.start()], rest[found.start() :]
    arguments = ARGUMENT.sub(lambda each: f"- {', '.join(f'`{name}`' for name in each[1].split(', '))}: ", arguments)
    return f"{summary}{line_end}{prose}\n{arguments}"
