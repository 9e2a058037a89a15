"""The public names of `inkwash`: all there, imported lazily, the same for a type checker, all in the API reference."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import inkwash

SOURCE = Path(inkwash.__file__)
REFERENCE = Path(__file__).parents[2] / "docs" / "api"


@pytest.mark.parametrize("name", inkwash.__all__)
def test_every_public_name_is_there(name: str) -> None:
    found = getattr(inkwash, name)
    assert name in dir(inkwash)
    if isinstance(found, type) or callable(found):
        assert found.__name__ == name and found.__doc__
        assert "see the module" not in found.__doc__.lower(), "the API reference shows no module"


@pytest.mark.parametrize("name", inkwash.__all__)
def test_every_public_method_says_what_it_does(name: str) -> None:
    found = getattr(inkwash, name)
    members = vars(found).items() if isinstance(found, type) else ()
    public = {key: value for key, value in members if not key.startswith("_")}
    functions = {key: getattr(value, "fget", getattr(value, "__func__", value)) for key, value in public.items()}
    assert not [key for key, function in functions.items() if callable(function) and not function.__doc__]


def test_a_type_checker_sees_the_names_that_are_imported_lazily() -> None:
    blocks = [node for node in ast.parse(SOURCE.read_text("utf-8")).body if isinstance(node, ast.If)]
    typed = {
        alias.name: node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    lazy = {**inkwash._MODULE_OF, "events": "inkwash.engine"}
    assert typed == lazy and {*lazy, "__version__"} == set(inkwash.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Pipeline'"):
        _ = inkwash.Pipeline


def test_every_public_name_is_in_the_api_reference() -> None:
    pages = "".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    listed = re.findall(r"^::: inkwash\.(\w+)$", pages, flags=re.MULTILINE)
    assert sorted(listed) == sorted(set(inkwash.__all__) - {"__version__"})
