"""What `describe` and `chat` share: files told apart and checked, the pipeline opened, an answer streamed.

Nothing here loads torch before the model is opened.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from inkwash.engine.request import CancelToken
    from inkwash.engine.see.media import MediaRules
    from inkwash.engine.see.output import Delta, VisionOutput
    from inkwash.engine.see.pipeline import GlmVisionPipeline
    from inkwash.media.kinds import FileKind

Model = Annotated[str, typer.Option("--model", help="nano-v, a released name, or a checkpoint folder.")]
Think = Annotated[
    bool | None, typer.Option("--think/--no-think", help="Thoughts on or off, where the model has a switch.")
]
BudgetTokens = Annotated[
    int | None, typer.Option("--budget", metavar="N", help="At most N tokens of thought, then the answer; 0: none.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="Tokens of the answer, thoughts included.")]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="0 is greedy [default: the model's own setting].")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same sampled answer.")]
Pages = Annotated[str | None, typer.Option("--pages", help="Pages of documents, such as 1-3,7 [default: all].")]
Password = Annotated[str | None, typer.Option("--password", help="Opens PDF files that are locked.")]
Dpi = Annotated[float, typer.Option("--dpi", help="Dots per inch of document pages.")]
Fps = Annotated[float | None, typer.Option("--fps", help="Frames per second of videos [default: the model's rule].")]
Frames = Annotated[int | None, typer.Option("--max-frames", help="At most so many frames of each video.")]
Start = Annotated[float | None, typer.Option("--start", help="Second at which videos begin.")]
End = Annotated[float | None, typer.Option("--end", help="Second at which videos end.")]
Quantize = Annotated[
    str | None, typer.Option("--quantize", metavar="KIND", help="Round the decoder's weights: int8, int4 or fp8.")
]
Fence = Annotated[bool, typer.Option("--fence-html", help="Put raw HTML of answers between Markdown fences.")]


@dataclass(frozen=True, kw_only=True)
class SeeingOptions:
    """Settings of answers that are checked before a model is opened."""

    model: str = "nano-v"
    device: str | None = None
    dtype: str | None = None
    think: bool | None = None
    budget: int | None = None
    max_tokens: int = 1024
    temperature: float | None = None
    seed: int | None = None
    pages: str | None = None
    password: str | None = None
    dpi: float = 180
    fps: float | None = None
    max_frames: int | None = None
    start: float | None = None
    end: float | None = None
    loras: tuple[tuple[Path, float], ...] = ()
    fence_html: bool = False
    quantize: str | None = None

    @classmethod
    def of(cls, options: Any) -> SeeingOptions:
        """From a command's options of the same names; what the command does not offer stays as it is here."""
        from inkwash.cli.options import read_loras

        values = {field.name: getattr(options, field.name) for field in fields(cls) if hasattr(options, field.name)}
        return cls(**values, loras=read_loras(options.lora))

    def __post_init__(self) -> None:
        from inkwash.core import limits

        if self.quantize is not None:
            from inkwash.engine.quantize import parse_kind

            parse_kind(self.quantize)
        if self.budget is not None and self.budget < 0:
            raise RequestError(f"--budget is {self.budget}, but must be 0 or more.", param="budget")
        if self.max_tokens < 1:
            raise RequestError(f"--max-tokens is {self.max_tokens}, but must be at least 1.", param="max_tokens")
        if self.temperature is not None:
            limits.check_temperature(self.temperature)
        if self.seed is not None:
            limits.check_seed(self.seed)
        for name, value in (("--fps", self.fps), ("--max-frames", self.max_frames), ("--dpi", self.dpi)):
            if value is not None and not 0 < value < float("inf"):
                raise RequestError(f"{name} is {value}, but must be above 0.", param=name.lstrip("-"))

    def answer_options(self) -> dict[str, Any]:
        """What the pipeline takes for one answer."""
        return {
            "enable_thinking": self.think,
            "thinking_budget": self.budget,
            "max_new_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "fence_html": self.fence_html,
        }


def file_part(path: Path, kind: FileKind | None = None, **more: Any) -> dict[str, Any]:
    """A file as a part of a message, checked as far as its header tells."""
    from inkwash.cli.media import media_reader
    from inkwash.core.errors import MediaError
    from inkwash.media.kinds import kind_of

    kind = kind or kind_of(path)
    if path.is_dir() or not path.exists():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise MediaError(f"The file {str(path)!r} {problem}: give the path of a picture, a video or a document.")
    if kind == "image":
        media_reader().picture_size(path)
    elif kind == "video":
        media_reader().video(path)
    elif path.suffix.lower() == ".pdf":
        media_reader().document(path, pages=more.get("pages"), password=more.get("password"))
    return {"type": kind, kind: path, **{name: value for name, value in more.items() if value is not None}}


def check_model(name: str) -> None:
    """Raises WeightsError for an unknown name or a folder that cannot see, before torch is loaded."""
    from inkwash.models.glm_v.folder import find_vision

    find_vision(name)


def media_rules(settings: SeeingOptions, roots: tuple[Path, ...] | None = None) -> MediaRules:
    """How media are read under the settings; `roots` are the folders that files must lie in, None is anywhere."""
    from inkwash.cli.media import media_reader
    from inkwash.engine.see.media import MediaRules

    return MediaRules(
        roots=roots,
        reader=media_reader(),
        pages=settings.pages,
        password=settings.password,
        dpi=settings.dpi,
        fps=settings.fps,
        max_frames=settings.max_frames,
        start=settings.start,
        end=settings.end,
    )


def open_pipeline(settings: SeeingOptions) -> GlmVisionPipeline:
    """The pipeline with the rules that the settings make."""
    from inkwash.engine.open import LoadOptions, open_vision_pipeline

    options = LoadOptions(
        model=settings.model,
        device=settings.device,
        dtype=settings.dtype,
        quantize=settings.quantize,
        loras=settings.loras,
    )
    pipe = open_vision_pipeline(options, media_rules(settings))
    if pipe.ranks is not None and not pipe.ranks.first:
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (one prints, to the end)
    return pipe


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[CancelToken]:
    """Ctrl-C ends the answer that is being made, and what was said stays; a second one ends the program."""
    from inkwash.engine.request import CancelToken

    token = CancelToken()

    def stop(*_: Any) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    try:
        before = signal.signal(signal.SIGINT, stop)
    except ValueError:  # not the main thread, which has no signals
        yield token
        return
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, before)


class AnswerPrinter:
    """Prints an answer while it comes: thoughts on a line that is folded to their length once the answer begins.

    Where the stream is no terminal, thoughts are left out and only the answer is printed.
    """

    def __init__(self, out: TextIO, *, folded: bool = True) -> None:
        self.out = out
        self.live = out.isatty()
        self.folded = folded
        self._thought = ""
        self._answered = False

    def show(self, kind: str, text: str) -> None:
        """One piece."""
        if kind == "thought":
            self._thought += text
            if self.live and self.folded:
                last = " ".join(self._thought.split())[-60:]
                self._write(f"\r\x1b[2K\x1b[2m… {last}\x1b[0m")
            elif not self.folded:
                self._write(text)
            return
        self._fold()
        self._answered = self._answered or bool(text.strip())
        self._write(text)

    def end(self) -> None:
        """After the last piece; an answer of nothing leaves no empty line."""
        self._fold()
        if self._answered:
            self._write("\n")

    def _fold(self) -> None:
        if self._thought and self.live and self.folded:
            self._write(f"\r\x1b[2K\x1b[2m[thought: {len(self._thought.split())} words]\x1b[0m\n")
        elif self._thought and not self.folded:
            self._write("\n\n")
        self._thought = ""

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def finished(
    stream: Generator[Delta, None, VisionOutput], show: Callable[[Delta], None] = lambda delta: None
) -> VisionOutput:
    """The whole answer; each piece is shown when it comes."""
    while True:
        try:
            show(next(stream))
        except StopIteration as end:
            output: VisionOutput = end.value
            return output


def answer(
    pipe: GlmVisionPipeline, messages: Sequence[Any], settings: SeeingOptions, screen: AnswerPrinter | None
) -> VisionOutput:
    """One answer, shown while it comes."""
    with stop_on_interrupt() as cancel:
        stream = pipe.stream(messages, cancel=cancel, **settings.answer_options())
        output = (
            finished(stream) if screen is None else finished(stream, lambda piece: screen.show(piece.kind, piece.text))
        )
    if screen is not None:
        screen.end()
    if output.finish_reason in ("length", "repetition", "cancelled"):
        reasons = {
            "length": "the answer is cut: it reached --max-tokens",
            "repetition": "the answer was stopped: it repeated itself",
            "cancelled": "stopped",
        }
        print(f"inkwash: {reasons[output.finish_reason]}.", file=sys.stderr)
    elif not output.text.strip() or not (output.content.strip() or output.tool_calls):
        thought = "; --thoughts shows what it thought" if output.thoughts.strip() else ""
        why = "it may know nothing of what is shown, or need another question"
        print(f"inkwash: the model gave no answer: {why}{thought}.", file=sys.stderr)
    return output
