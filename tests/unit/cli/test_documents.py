"""Every command in the documents is one that the command line takes, and every Python block imports what is there."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from inkwash.cli.app import COMMANDS, build, load_command
from inkwash.recipes.table import RECIPES
from tests.documents import PAGES, ROOT, blocks, commands

FOLDERS = ("src/inkwash", "tests", "bench", "runs", "examples", "integrations")
THEIRS = {"evaluate_images.py", "viescore/vie_prompts.py"}  # files of the benchmarks' own repositories
WITH_COMMANDS = [page for page in PAGES if commands(page)]
WITH_PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


def parse(arguments: list[str]) -> None:
    """Read a command line as `inkwash` does, without running it."""
    if arguments[0].startswith("-"):
        return
    command: Any = load_command(arguments[0]) if arguments[0] in COMMANDS else build().resolve_command(None, arguments)
    name, rest, parent = arguments[0], arguments[1:], None
    while True:
        context = command.make_context(name, list(rest), parent=parent)
        if not hasattr(command, "resolve_command") or not (rest := [*context._protected_args, *context.args]):
            return
        name, command, rest = command.resolve_command(context, rest)
        parent = context


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_parsed(page: Path) -> None:
    for arguments in commands(page):
        try:
            parse(arguments)
        except typer.TyperException as error:
            raise AssertionError(f"inkwash {' '.join(arguments)}: {error.format_message()}") from error
        if arguments[0] == "train" and len(arguments) > 1 and not arguments[1].startswith("-"):
            assert arguments[1] in RECIPES, arguments


def test_a_wrong_command_is_found() -> None:
    for wrong in (["generate", "a", "--stepz", "3"], ["generate", "a", "--steps", "x"], ["data", "chek", "folder"]):
        with pytest.raises(typer.TyperException):
            parse(wrong)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_every_python_block_parses_and_imports_names_that_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inkwash"):
                module = importlib.import_module(node.module or "")
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                for name in missing:
                    importlib.import_module(f"{node.module}.{name}")


def test_blocks_that_are_not_run_say_why() -> None:
    assert sum(not block.runs for page in PAGES for block in blocks(page)) > 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    there = {path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    named = re.findall(r"`([\w/]+\.py)(?::[\w.]+)?`", page.read_text(encoding="utf-8"))
    missing = sorted({name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in there)} - THEIRS)
    assert not missing
