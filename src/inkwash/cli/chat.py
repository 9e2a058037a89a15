"""`inkwash chat`: a conversation about pictures, videos and documents, turn by turn."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from inkwash.cli import options as o
from inkwash.cli import seeing as s
from inkwash.cli.options import command
from inkwash.core.errors import InkwashError, RequestError

if TYPE_CHECKING:
    from inkwash.engine.see.pipeline import GlmVisionPipeline
    from inkwash.media.kinds import FileKind

Files = Annotated[list[Path] | None, typer.Argument(help="Files to begin with.")]
System = Annotated[str | None, typer.Option("--system", help="What the model is told before the conversation.")]
HELP = """\
/image FILE...        show pictures with the next question
/video FILE           show a video
/pdf FILE [PAGES]     show a PDF or PPTX, or some of its pages (1-3,7)
/think on|off|N       thoughts on, off, or at most N tokens of them
/boxes FILE           draw the boxes of the last answer on the last picture
/thoughts             print the thoughts of the last answer
/clear                begin anew
/quit                 leave (so does Ctrl-D); Ctrl-C stops an answer"""


@dataclass(frozen=True, kw_only=True)
class ConversationOptions:
    """What a conversation begins with, and how answers are made."""

    files: Files = None
    model: s.Model = "nano-v"
    system: System = None
    think: s.Think = None
    budget: s.BudgetTokens = None
    max_tokens: s.MaxTokens = 2048
    temperature: s.Temperature = None
    seed: s.Seed = None
    fps: s.Fps = None
    max_frames: s.Frames = None
    dpi: s.Dpi = 180
    device: o.DeviceName = None
    dtype: o.Dtype = None
    quantize: s.Quantize = None
    lora: o.Loras = None
    fence_html: s.Fence = False


def _chat(options: ConversationOptions) -> None:
    """Talk about pictures, videos and documents; /help lists the commands.

    Example: inkwash chat photo.jpg
    """
    settings = s.SeeingOptions.of(options)
    waiting = [s.file_part(file) for file in options.files or []]
    s.check_model(options.model)
    conversation = ChatSession(s.open_pipeline(settings), settings, options.system, waiting)
    if sys.stdin.isatty():
        print("/help lists the commands.", file=sys.stderr)
    while (line := _read_line(conversation.pipe)) is not None:
        try:
            if not conversation.take(line):
                return
        except InkwashError as error:  # nothing is lost: the conversation goes on
            print(f"inkwash: {error.message}", file=sys.stderr)


chat = command(_chat, ConversationOptions)


def _read_line(pipe: GlmVisionPipeline) -> str | None:
    """The next line of the user; None at the end. Of several processes that share a model the first one reads."""
    if pipe.ranks is not None:
        return cast("str | None", pipe.ranks.share(_typed() if pipe.ranks.first else None))
    return _typed()


def _typed() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        return None


class ChatSession:
    """What has been said, what waits to be shown, and what each command does."""

    def __init__(
        self, pipe: GlmVisionPipeline, settings: s.SeeingOptions, system: str | None, waiting: list[dict[str, Any]]
    ) -> None:
        self.pipe, self.settings, self.system, self.waiting = pipe, settings, system, waiting
        self.messages: list[dict[str, Any]] = []
        self.last: Any = None
        self.picture: Path | None = next((part["image"] for part in reversed(waiting) if "image" in part), None)
        self.clear()

    def clear(self) -> None:
        """Forget everything said and shown."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []
        self.last = None

    def take(self, line: str) -> bool:
        """One line; False when the conversation is to end."""
        text = line.strip()
        if not text:
            return True
        if not text.startswith("/"):
            self.ask(text)
            return True
        name, _, rest = text.partition(" ")
        if name in ("/quit", "/exit"):
            return False
        commands = {
            "/help": lambda: print(HELP),
            "/image": lambda: self.show(rest, "image"),
            "/video": lambda: self.show(rest, "video"),
            "/pdf": lambda: self.show_pages(rest),
            "/file": lambda: self.show(rest, None),
            "/think": lambda: self.think(rest.strip()),
            "/boxes": lambda: self.boxes(rest.strip()),
            "/thoughts": self.thoughts,
            "/clear": self.forget,
        }
        if name not in commands:
            raise RequestError(f"There is no command {name}: /help lists them; a question does not begin with a slash.")
        commands[name]()
        return True

    def ask(self, text: str) -> None:
        """A question with what waits to be shown; a turn that fails leaves no trace."""
        parts = [*self.waiting, {"type": "text", "text": text}]
        turn = {"role": "user", "content": parts}
        output = s.answer(self.pipe, [*self.messages, turn], self.settings, s.AnswerPrinter(sys.stdout))
        self.messages += [turn, output.message]
        self.waiting, self.last = [], output
        if output.boxes and self.picture is not None:
            from inkwash.cli.media import media_reader

            for box in output.pixel_boxes(*media_reader().picture_size(self.picture)):
                print(f"box: {box[0]},{box[1]} to {box[2]},{box[3]} px of {self.picture.name}")

    def show(self, rest: str, kind: FileKind | None) -> None:
        """Files for the next question, checked now."""
        paths = [Path(word).expanduser() for word in _words(rest)]
        if not paths:
            raise RequestError("Say which file, for example: /image photo.jpg")
        self._wait([s.file_part(path, kind) for path in paths])

    def show_pages(self, rest: str) -> None:
        """A document, whole or some pages of it."""
        words = _words(rest)
        if not 1 <= len(words) <= 2:
            raise RequestError("Say which file, and pages if you like, for example: /pdf paper.pdf 1-3")
        self._wait([s.file_part(Path(words[0]).expanduser(), "file", pages=words[1] if len(words) == 2 else None)])

    def _wait(self, parts: list[dict[str, Any]]) -> None:
        probe = [{"role": "user", "content": parts}]
        cost = self.pipe.cost(probe)
        self.waiting += parts
        self.picture = next((part["image"] for part in reversed(parts) if "image" in part), self.picture)
        print(f"{cost.media_tokens} tokens; goes with your next question.", file=sys.stderr)

    def think(self, wanted: str) -> None:
        """The switch, or a budget."""
        if wanted in ("on", "off"):
            if wanted == "off" and not self.pipe.can_switch_thinking:
                self.settings = dataclasses.replace(self.settings, think=None, budget=0)
            else:
                self.settings = dataclasses.replace(self.settings, think=wanted == "on", budget=None)
        elif wanted.isdecimal():
            self.settings = dataclasses.replace(self.settings, think=None, budget=int(wanted))
        else:
            raise RequestError(f"/think takes on, off or a number of tokens, got {wanted!r}.")

    def boxes(self, target: str) -> None:
        """The last picture with the boxes of the last answer."""
        from inkwash.cli.media import media_reader
        from inkwash.media.images import check_output, save_output
        from inkwash.media.marks import draw_boxes

        if self.last is None or not self.last.boxes or self.picture is None:
            raise RequestError("There is no picture with an answer that names boxes: ask where something is.")
        words = _words(target) or ["boxes.png"]
        if len(words) > 1:
            raise RequestError("Say one file, for example: /boxes marked.png")
        wanted = Path(words[0]).expanduser()
        check_output(wanted)
        image = media_reader().picture(self.picture)
        path = save_output(draw_boxes(image, self.last.pixel_boxes(*image.size)), wanted)
        print(f"{path} written.", file=sys.stderr)

    def thoughts(self) -> None:
        """What the model thought before its last answer."""
        print(self.last.thoughts or "(none)" if self.last is not None else "(none)")

    def forget(self) -> None:
        self.clear()
        self.waiting, self.picture = [], None
        self.pipe.forget()


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise RequestError(f"The command cannot be read ({error}): close the quotation marks.") from None
