"""What Typer's help texts lack: whole summaries of a group's commands, and plain names for what may be given again."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args, get_origin

from typer.core import TyperGroup


class WholeSummaries(TyperGroup):
    """A group whose overview has the first paragraph of each command in full; Typer cuts it to one line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands in their order."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(command.help or "")) for name, command in found if command is not None])


def summary(text: str) -> str:
    """The first paragraph of a help text, on one line."""
    return " ".join(text.strip().split("\n\n")[0].split())


def name_items(command: Any) -> None:
    """Let parameters that hold several values be shown with the type of one: `<path>`, not `<list[Path]>`."""
    for each in (command, *getattr(command, "commands", {}).values()):
        for parameter in each.params:
            annotation = parameter.type_descriptor.annotation
            if get_origin(annotation) is list:
                parameter.bare_type = partial(str, get_args(annotation)[0].__name__.lower())
