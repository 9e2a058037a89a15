"""The description of the API: bodies that routes read by themselves, and the shape of every error."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from inkwash import __version__
from inkwash.serve.answers import ImagesAnswer
from inkwash.serve.errors import ErrorAnswer
from inkwash.serve.files import ROUTE
from inkwash.serve.schemas import MAX_REFERENCES, EditBody, GenerationBody
from inkwash.serve.worker import JobAnswer

_REFERENCE = "#/components/schemas/{model}"
_ERRORS = {
    "400": "A field is invalid; `param` says which.",
    "401": "The API key is missing or wrong.",
    "403": "An address that this server may not fetch.",
    "404": "There is no such thing.",
    "408": "The request was not finished within its deadline.",
    "413": "The request or a picture is too large.",
    "415": "The body is of a kind that is not read.",
    "429": "The queue or a limit is full; `Retry-After` says when to come back.",
    "500": "A failure of the server.",
    "503": "The server is starting or shutting down.",
}
_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "description": "A JSON object."}},
    "required": ["event", "data"],
}
_DESCRIPTION = "The OpenAI images API, drawn by a GLM-Image checkpoint. Fields beyond it are described in place."


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    document = get_openapi(
        title="Inkwash", version=__version__, description=_DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    more: dict[str, Any] = getattr(app.state, "bodies", {})  # of routes that were added to the application
    kinds = [(each, "validation") for each in (GenerationBody, EditBody, *more.values())]
    answers = [(each, "serialization") for each in (ImagesAnswer, JobAnswer, ErrorAnswer)]
    _, definitions = models_json_schema([*kinds, *answers], ref_template=_REFERENCE)  # type: ignore[list-item]
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(definitions["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    paths = document["paths"]
    generations, edits = paths["/v1/images/generations"]["post"], paths["/v1/images/edits"]["post"]
    generations["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref("GenerationBody")}}}
    edits["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _form(schemas["EditBody"])},
            "application/json": {"schema": _ref("EditBody")},
        },
    }
    for path, body in more.items():
        content = {"application/json": {"schema": _ref(body.__name__)}}
        paths[path]["post"]["requestBody"] = {"required": True, "content": content}
    for operation in (generations, edits):
        operation["responses"]["200"] = {
            "description": "The pictures, or a stream of events.",
            "content": {
                "application/json": {"schema": _ref("ImagesAnswer")},
                "text/event-stream": {"schema": _EVENT},
            },
        }
        operation["responses"]["202"] = {
            "description": "A job that is drawn in the background.",
            "content": {"application/json": {"schema": _ref("JobAnswer")}},
        }
    for path, operations in paths.items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for status, words in _ERRORS.items():
                if path != "/health":
                    content = {"application/json": {"schema": _ref("ErrorAnswer")}}
                    operation["responses"].setdefault(status, {"description": words, "content": content})
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    if app.state.service.settings.api_keys:
        for path, operations in paths.items():
            if path != "/health" and not path.startswith(ROUTE):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
    return document


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


def _form(edit: dict[str, Any]) -> dict[str, Any]:
    """The edit's fields as parts of a form, with its pictures as files."""
    file = {"type": "string", "format": "binary"}
    fields = {name: value for name, value in edit["properties"].items() if name not in ("images", "mask", "markup")}
    files = {"image": {"type": "array", "items": file, "minItems": 1, "maxItems": MAX_REFERENCES}}
    return {
        "type": "object",
        "properties": {**fields, **files, "mask": file, "markup": file},
        "required": ["prompt", "image"],
    }
