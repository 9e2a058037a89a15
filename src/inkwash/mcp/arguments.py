"""Arguments of a tool: a dataclass with help texts becomes a JSON schema, and a call becomes the dataclass.

The fields are those of the command line (`Annotated[int | None, typer.Option(help=...)]`), so that an option of a
drawing is declared once. What is wrong with a call is one sentence: the field, the value and what is allowed.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from inkwash.core.errors import RequestError
from inkwash.core.text import did_you_mean

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


@cache
def model_of(arguments: type) -> type[BaseModel]:
    """The pydantic model with a dataclass's fields, defaults and help texts."""
    hints = get_type_hints(arguments, include_extras=True)
    found: dict[str, Any] = {}
    for each in sorted(fields(arguments), key=lambda field: field.default is not MISSING):  # required ones first
        kind, text = _described(hints[each.name])
        default = ... if each.default is MISSING else each.default
        found[each.name] = (kind, Field(default, description=text))
    return create_model(arguments.__name__, __config__=ConfigDict(extra="forbid"), **found)


def schema_of(arguments: type) -> dict[str, Any]:
    """The JSON schema of a tool's arguments."""
    schema = model_of(arguments).model_json_schema()
    return {**schema, "title": arguments.__name__}


def read_arguments(arguments: type, values: Mapping[str, Any]) -> Any:
    """The dataclass of a call; RequestError in one sentence for an unknown, missing or impossible value."""
    known = [each.name for each in fields(arguments)]
    for name in values:
        if name not in known:
            near = did_you_mean(name, known)
            hint = f"{near} The arguments are" if near else "the arguments are"
            raise RequestError(f"There is no argument {name!r}: {hint} {', '.join(known)}.", param=name)
    try:
        checked = model_of(arguments).model_validate(dict(values))
    except ValidationError as error:
        raise _refused(error) from None
    return arguments(**{name: getattr(checked, name) for name in known})


def _described(hint: Any) -> tuple[Any, str | None]:
    """A type without its annotations, and the help text among them."""
    if get_origin(hint) is not Annotated:
        return hint, None
    kind, *notes = get_args(hint)
    texts = (note if isinstance(note, str) else getattr(note, "help", None) for note in notes)
    return kind, next((text for text in texts if text), None)


def _refused(error: ValidationError) -> RequestError:
    """The first complaint as one sentence."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "arguments"
    place = ".".join(str(part) for part in first["loc"] if not _is_branch(part)) or name
    if first["type"] == "missing":
        return RequestError(f"The argument {place} is missing: it is required.", param=name)
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    return RequestError(f"{place} is {_SHORT.repr(first['input'])}: {reason[:1].lower()}{reason[1:]}.", param=name)


def _is_branch(part: int | str) -> bool:
    """Whether a step of a place is pydantic's name for the branch of a union."""
    return isinstance(part, str) and (part in ("str", "int", "float", "bool") or "[" in part)
