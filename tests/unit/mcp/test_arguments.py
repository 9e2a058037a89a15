"""Arguments of tools: the schema is the command's options, and what is wrong with a call is one sentence."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest
import typer

from inkwash.cli.mcp_tools import DescribeArguments, DrawArguments, EditArguments, ReadArguments, ShotArguments
from inkwash.cli.options import DrawOptions
from inkwash.core.errors import RequestError
from inkwash.mcp.arguments import read_arguments, schema_of


@dataclass(frozen=True, kw_only=True)
class Sample:
    name: Annotated[str, "A name."]
    steps: Annotated[int | None, typer.Option("--steps", help="How many.")] = None
    files: Annotated[list[str], "Files."] = ()  # type: ignore[assignment]


@pytest.mark.parametrize("arguments", [DrawArguments, EditArguments, DescribeArguments, ReadArguments, ShotArguments])
def test_every_argument_is_described_and_none_speaks_of_the_command_line(arguments: type) -> None:
    schema = schema_of(arguments)
    assert schema["additionalProperties"] is False and set(schema["properties"]) == {f.name for f in fields(arguments)}
    for name, each in schema["properties"].items():
        assert each["description"] and "--" not in each["description"] and "stdin" not in each["description"], name


def test_a_drawing_has_the_options_of_the_command() -> None:
    assert {f.name for f in fields(DrawOptions)} < set(schema_of(DrawArguments)["properties"])
    assert schema_of(DrawArguments)["required"] == ["prompt"]
    assert schema_of(EditArguments)["required"] == ["prompt", "images"]


def test_a_call_becomes_the_dataclass() -> None:
    assert read_arguments(Sample, {"name": "a", "steps": 3}) == Sample(name="a", steps=3)
    assert read_arguments(Sample, {"name": "a", "steps": None}) == Sample(name="a")


@pytest.mark.parametrize(
    ("given", "said", "param"),
    [
        ({}, "The argument name is missing: it is required.", "name"),
        (
            {"name": "a", "step": 3},
            "There is no argument 'step': did you mean 'steps'? The arguments are name, steps",
            "step",
        ),
        ({"name": "a", "zzz": 3}, "There is no argument 'zzz': the arguments are", "zzz"),
        ({"name": "a", "steps": "many"}, "steps is 'many': input should be a valid integer", "steps"),
        ({"name": 7}, "name is 7: input should be a valid string.", "name"),
        ({"name": "a", "files": ["b", 3]}, "files.1 is 3: input should be a valid string.", "files"),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(given: dict[str, Any], said: str, param: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_arguments(Sample, given)
    assert caught.value.message.startswith(said) and caught.value.param == param
    assert caught.value.message.count("\n") == 0 and caught.value.message.endswith(".")
