"""The help texts of all commands: nothing is cut, said twice, or named after an option that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from inkwash.cli.app import build
from inkwash.cli.help import summary


def commands() -> Iterator[tuple[str, Any, Any]]:
    """Name, command and context of every command, groups included."""

    def visit(command: Any, words: tuple[str, ...], parent: Any) -> Iterator[tuple[str, Any, Any]]:
        context = command.make_context(words[-1], [], parent=parent, resilient_parsing=True, terminal_width=80)
        yield " ".join(words), command, context
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                yield from visit(command.get_command(context, name), (*words, name), context)

    return visit(build(), ("inkwash",), None)


ALL = list(commands())
NAMES = [name for name, _, _ in ALL]


@pytest.mark.parametrize(("name", "command", "context"), ALL, ids=NAMES)
def test_a_help_text_is_plain(name: str, command: Any, context: Any) -> None:
    text = context.get_help()
    assert "list[" not in text and command.help and command.help.strip()
    described = [" ".join(parameter.get_help_record(context)) for parameter in command.get_params(context)]
    assert not [each for each in described if each.count("[default") > 1]


@pytest.mark.parametrize(("name", "command", "context"), ALL, ids=NAMES)
def test_a_help_text_names_only_options_of_its_command(name: str, command: Any, context: Any) -> None:
    own = {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)}
    for parameter in command.get_params(context):
        for option in re.findall(r"With (--[a-z-]+)", parameter.help or ""):
            assert option in own, f"{name} {parameter.opts[0]} depends on {option}, which is not there"


def test_an_overview_has_whole_summaries() -> None:
    for _, command, context in ALL:
        if hasattr(command, "list_commands"):
            text = " ".join(context.get_help().split())
            assert "... " not in text.replace("[ARGS]... ", "") and not text.endswith("...")
            for name in command.list_commands(context) if context.parent else ():
                assert summary(command.get_command(context, name).help) in text
