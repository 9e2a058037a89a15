"""Commands whose options are the fields of dataclasses: an option is declared once, and a command receives objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_type_hints

import typer


def command(function: Callable[..., None], *groups: type, doc: str | None = None) -> Callable[..., None]:
    """`function(*objects)`, one object of each group, as a command with the options of all groups."""

    def call(**given: Any) -> None:
        function(*(_object(group, given) for group in groups))

    parameters = [parameter for group in groups for parameter in _parameters(group)]
    call.__doc__ = doc or function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _object(group: type, given: dict[str, Any]) -> Any:
    values = {each.name: given[each.name] for each in fields(group)}
    for each in fields(group):
        if isinstance(each.default, tuple):
            values[each.name] = tuple(part.strip() for part in values[each.name].split(","))
    return group(**values)


def _parameters(group: type) -> Sequence[inspect.Parameter]:
    """A keyword for each field; a field of `eval.benchmarks.benchmark.option` has its help text in its metadata."""
    hints = get_type_hints(group, include_extras=True)
    found = []
    for each in fields(group):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        annotation = hints[each.name]
        if each.metadata:
            kind = str if isinstance(default, tuple) else annotation
            default = ",".join(default) if isinstance(default, tuple) else default
            name, details = "--" + each.name.replace("_", "-"), each.metadata
            annotation = Annotated[kind, typer.Option(name, metavar=details["metavar"], help=details["help"])]
        found.append(
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return found
