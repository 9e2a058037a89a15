"""The type of a tool's argument: texts are written as they are and everything else as JSON, so its schema decides.

A schema is read as far as it tells kinds apart: `type`, `enum`, `const`, unions, `$ref`, `nullable`. Where it allows a
text, a text that also reads as a number or truth value stays a text; a list, an object or null that it allows too is
read as such.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inkwash.models.glm_v.literals import python_value

MAX_DEPTH = 16  # of unions and references
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
Schema = Mapping[str, Any]


def argument_schema(tools: Sequence[Mapping[str, Any]], name: str, key: str) -> tuple[Schema, Schema]:
    """The schema of one argument of a tool, and the whole one in which its references lie; empty where unknown."""
    for tool in tools:
        function = tool.get("function", tool)
        if isinstance(function, Mapping) and function.get("name") == name:
            whole = function.get("parameters")
            if not isinstance(whole, Mapping):
                break
            for part in _parts(whole, whole):
                properties = part.get("properties")
                if isinstance(properties, Mapping) and isinstance(properties.get(key), Mapping):
                    return properties[key], whole
            more = whole.get("additionalProperties")
            return (more if isinstance(more, Mapping) else {}), whole
    return {}, {}


def _parts(schema: Schema, whole: Schema, depth: int = 0) -> Iterator[Schema]:
    """A schema and what it is put together from."""
    if depth > MAX_DEPTH:
        return
    yield schema
    if (target := _target(schema, whole)) is not None:
        yield from _parts(target, whole, depth + 1)
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word) or () if isinstance(schema.get(word), list) else ():
            if isinstance(part, Mapping):
                yield from _parts(part, whole, depth + 1)


def _target(schema: Schema, whole: Schema) -> Schema | None:
    """What a local reference points to."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = whole
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def is_text(schema: Schema) -> bool:
    """Whether every value of an argument is a text, whatever is written."""
    return schema.get("type") == "string" and not {"enum", "const", "nullable", "anyOf", "oneOf", "allOf"} & set(schema)


def admits(schema: Any, value: Any, whole: Schema, depth: int = 0) -> bool:
    """Whether a value is of a kind that the schema allows; what lies inside of lists and objects is not looked at."""
    if isinstance(schema, bool) or not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return schema is not False
    if value is None and schema.get("nullable") is True:
        return True
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds is None and "const" not in schema and "enum" not in schema:
        kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else None
    if isinstance(kinds, list) and not any(_is(value, str(kind)) for kind in kinds):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if isinstance(schema.get("enum"), list) and not any(_same(value, each) for each in schema["enum"]):
        return False
    if "$ref" in schema and not admits(_target(schema, whole), value, whole, depth + 1):
        return False
    for word, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        parts = schema.get(word)
        if isinstance(parts, list) and not enough(admits(part, value, whole, depth + 1) for part in parts):
            return False
    return True


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON has it: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def typed_value(text: str, schema: Schema, whole: Schema) -> Any:
    """The value that a text between the tags of an argument stands for."""
    if is_text(schema):
        return text
    readings = list(_readings(text.strip()))
    if not schema:
        return readings[0] if readings else text
    plain = text.strip()
    exact = _json(plain)
    structures = [value for value in exact if value is None or isinstance(value, list | dict)]
    for value in (*structures, text, plain, *readings):
        if admits(schema, value, whole):
            return value
    return text if _names_texts(schema, whole) or not readings else readings[0]


def _names_texts(schema: Schema, whole: Schema) -> bool:
    """Whether some part of a schema speaks of texts, so that an unknown word of an enumeration stays one."""
    for part in _parts(schema, whole):
        kinds = part.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        listed = part.get("enum") if isinstance(part.get("enum"), list) else [part.get("const")]
        if "string" in kinds or any(isinstance(each, str) for each in listed or ()):
            return True
    return False


def _readings(text: str) -> Iterator[Any]:
    """What a text says as JSON, as JSON with escaped quotation marks, as a Python literal."""
    yield from _json(text)
    yield from _json(text.replace("\\n", "\n").replace('\\"', '"'))
    try:
        yield json.loads(json.dumps(python_value(text), allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return


def _json(text: str) -> list[Any]:
    """The one value that a text is as JSON (without NaN and infinity), or none."""
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)
    except (ValueError, RecursionError):
        return []
    return [found]


def python_literal(text: str) -> Any:
    """The JSON value or Python literal that a text is; None where it is neither."""
    return next(_readings(text), None)
