"""For the page of the command line: the help of every command and the environment variables, read from the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from inkwash.cli.app import COMMANDS, load_command
from inkwash.core import env


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    if page.file.src_uri != "commands.md":
        return markdown
    helps = "\n".join(text for name in COMMANDS for text in sections(load_command(name), f"inkwash {name}", None))
    variables = (env.__doc__ or "").partition("\n\n")[2]
    return markdown.replace("<!-- commands -->", helps).replace("<!-- environment -->", block(variables))


def sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    """The help of a command and of its commands, each under a heading."""
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=100)
    yield f"{'#' * (2 if parent is None else 3)} {context.command_path}\n\n{block(command.get_help(context))}"
    if hasattr(command, "list_commands"):
        for each in command.list_commands(context):
            yield from sections(command.get_command(context, each), each, context)


def block(text: str) -> str:
    """The text as it is."""
    return f"```text\n{text.strip()}\n```\n"
