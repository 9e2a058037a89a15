"""The `inkwash` command: a table of commands, each imported only when it is called, and one way to fail.

Help and usage errors load nothing heavy. Whatever goes wrong ends as one line on stderr with exit code 2 (usage, bad
input), 1 (failure), 3 (words still wrong after `--verify`) or 130 (interrupted); INKWASH_DEBUG=1 shows
the traceback too.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, get_args, get_origin

import typer
from typer.core import TyperGroup
from typer.main import get_command

from inkwash import __version__
from inkwash.core import env
from inkwash.core.errors import Cancelled, InkwashError
from inkwash.core.text import did_you_mean, one_line


class Entry(NamedTuple):
    """Where a command lives and what the overview says about it."""

    module: str
    summary: str


COMMANDS = {
    "generate": Entry("inkwash.cli.draw", "Draw pictures from a prompt."),
    "edit": Entry("inkwash.cli.draw", "Draw from a prompt and one or several pictures."),
    "serve": Entry("inkwash.cli.serve", "Serve the OpenAI images and chat APIs."),
    "ui": Entry("inkwash.cli.ui", "Draw, edit and ask on a page in the browser."),
    "describe": Entry("inkwash.cli.describe", "Ask about pictures, videos and documents."),
    "chat": Entry("inkwash.cli.chat", "Talk about pictures, videos and documents, turn by turn."),
    "act": Entry("inkwash.cli.act", "Let a model work on a task: in a browser, on this screen, on a phone."),
    "mcp": Entry("inkwash.cli.mcp", "Offer drawing, editing and looking as tools of an assistant (MCP)."),
    "desk": Entry("inkwash.cli.desk", "Ask about what is on the screen: the assistant of the desktop."),
    "shot": Entry("inkwash.cli.shot", "Take a picture of the screen, a window or a region."),
    "record": Entry("inkwash.cli.record", "Record the screen, a window or a region as a video."),
    "eval": Entry("inkwash.cli.eval", "Draw held-out scenes and read them back: word accuracy and more."),
    "data": Entry("inkwash.cli.data", "Encode pictures with captions for training; check data."),
    "train": Entry("inkwash.cli.train", "Run a training recipe."),
    "convert": Entry("inkwash.cli.convert", "Checkpoints in fewer bits or other types, LoRAs in other formats."),
    "rl": Entry("inkwash.cli.rl", "Reinforce a checkpoint by rewards on its own pictures."),
    "models": Entry("inkwash.cli.models", "List the models: sizes, where they are or come from."),
    "doctor": Entry("inkwash.cli.doctor", "Check this machine: versions, device, speed-ups, a test picture."),
}


class UnknownCommand(InkwashError):
    """The first word is none of the commands."""

    exit_code = 2


class LazyGroup(TyperGroup):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported now; None for an unknown name."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Adds the known names to the message about an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = did_you_mean(args[0].lower(), COMMANDS)
            hint = f"{near} The commands are" if near else "it must be one of"
            raise UnknownCommand(f"There is no command {args[0]!r}: {hint} {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The overview, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


def load_command(name: str) -> Any:
    """Imports one command: its module holds a Typer `app`, or a function of the command's name."""
    module = importlib.import_module(COMMANDS[name].module)
    app = getattr(module, "app", None)
    if not isinstance(app, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(getattr(module, name))
    command = get_command(app)
    command.name = name
    _name_items(command)
    return command


def _name_items(command: Any) -> None:
    """Let parameters that hold several values be shown with the type of one: `<path>`, not `<list[Path]>`."""
    for each in (command, *getattr(command, "commands", {}).values()):
        for parameter in each.params:
            annotation = parameter.type_descriptor.annotation
            if get_origin(annotation) is list:
                parameter.bare_type = partial(str, get_args(annotation)[0].__name__.lower())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"inkwash {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Draw pictures whose words can be read, with GLM-Image checkpoints of any size."""


def build() -> Any:
    """The root command."""
    app = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, callback=_root, name="inkwash")
    return get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns the exit code; never raises for what a user can cause."""
    words = list(arguments) or ["--help"]
    try:
        env.configure_logging()
        result = build().main(args=words, prog_name="inkwash", standalone_mode=False)
        if result == Cancelled.exit_code:  # Typer makes a code of KeyboardInterrupt
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except typer.TyperException as error:
        return _fail(_usage_line(error, words), error.exit_code, error)
    except InkwashError as error:
        return _fail(error.message, error.exit_code, error)
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail("Interrupted; nothing half-written was left.", Cancelled.exit_code, error)
    except BrokenPipeError:
        return 1
    except Exception as error:
        line = f"Unexpected failure: {type(error).__name__}: {one_line(error)} (INKWASH_DEBUG=1 shows where)."
        return _fail(line, 1, error)


def _usage_line(error: typer.TyperException, words: Sequence[str]) -> str:
    """The parser's message on one line, with the value it complains about and where help is."""
    message = " ".join(error.format_message().split()).rstrip(".")
    value = _value_of(getattr(getattr(error, "param", None), "opts", ()), words)
    context: Any = getattr(error, "ctx", None)
    sentence = message if value is None or repr(value) in message else f"{message}: got {value!r}"
    return f"{sentence}. See: {context.command_path} --help" if context is not None else f"{sentence}."


def _value_of(names: Sequence[str], words: Sequence[str]) -> str | None:
    """What the command line says for an option, written as `--name value`, `--name=value` or `-nvalue`."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        for name in names:
            if word == name:
                return following
            if word.startswith(f"{name}="):
                return word.removeprefix(f"{name}=")
            if not name.startswith("--") and name.startswith("-") and word.startswith(name):
                return word.removeprefix(name)
    return None


def _fail(line: str, code: int, error: BaseException) -> int:
    if env.debug():
        traceback.print_exception(error)
    print(f"inkwash: {line}", file=sys.stderr)
    return code
