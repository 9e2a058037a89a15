"""What Typer's help texts lack: whole summaries of a group's commands."""

from __future__ import annotations

from typing import Any

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
