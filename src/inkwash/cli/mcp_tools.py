"""The tools of `inkwash mcp`: what `generate`, `edit` and `describe` do, and reading words, for an assistant.

Arguments are the options of the commands (`options.py`, `seeing.py`); a drawing is the same `DrawJob`. Models are
opened by the first call that needs them and kept, and each serves one call at a time.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from inkwash.cli import seeing as s
from inkwash.cli.options import DrawOptions, VerifyOptions
from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.agent.model import Model
    from inkwash.cli.options import DrawJob
    from inkwash.engine.open import LoadOptions
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import DrawRequest
    from inkwash.engine.see.pipeline import GlmVisionPipeline
    from inkwash.eval.ocr import Reader
    from inkwash.mcp.tool import McpTool, ToolInvocation, ToolResult

T = TypeVar("T")
WAIT_S = 0.1
SHOWN_SIDE = 1568  # pixels: what most assistants look at in any case
_FILE = "the path of a file on the machine of this server, or a data: URL"


@dataclass(frozen=True, kw_only=True)
class _Checked(VerifyOptions):
    """The options of a verified drawing, told without the command line's words."""

    verify: Annotated[bool, "Read each picture back and try again until its quoted texts are right."] = False
    tries: Annotated[int | None, "With verify: at most so many attempts [default: 4]."] = None
    best_of: Annotated[int | None, "With verify: draw so many attempts in any case and keep the best one."] = None


@dataclass(frozen=True, kw_only=True)
class DrawArguments(DrawOptions, _Checked):
    """Arguments of `draw`."""

    prompt: Annotated[str, "What to draw; put the words to be written in quotation marks."]


@dataclass(frozen=True, kw_only=True)
class EditArguments(DrawOptions, _Checked):
    """Arguments of `edit`."""

    prompt: Annotated[str, "What to change, or what to draw from the pictures; new words stand in quotation marks."]
    images: Annotated[list[str], f"The pictures to start from; each is {_FILE}."]
    mask: Annotated[str | None, f"White (or transparent) where the first picture may change, of its size; {_FILE}."] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class DescribeArguments:
    """Arguments of `describe`."""

    files: Annotated[list[str], f"Pictures, videos, PDF, PPTX or DOCX files to ask about; each is {_FILE}."]
    question: Annotated[str, "What to ask."] = "Describe what you see."
    think: s.Think = None
    budget: s.BudgetTokens = None
    max_tokens: s.MaxTokens = 1024
    temperature: s.Temperature = None
    seed: s.Seed = None
    pages: s.Pages = None
    password: s.Password = None
    fps: s.Fps = None
    max_frames: s.Frames = None
    start: s.Start = None
    end: s.End = None


@dataclass(frozen=True, kw_only=True)
class ReadArguments:
    """Arguments of `read_text`."""

    image: Annotated[str, f"The picture whose words are read: {_FILE}."]


@dataclass(frozen=True, kw_only=True)
class ShotArguments:
    """Arguments of `shot`."""

    monitor: Annotated[int | None, "Monitor 1, 2, ...; 0 is all of them [default: 0]."] = None
    region: Annotated[str | None, "A region of the screen as LEFT,TOP,WIDTHxHEIGHT, like 100,80,640x480."] = None
    window: Annotated[str | None, "The foremost window whose title or program contains this."] = None
    max_side: Annotated[int, "The picture in the answer is scaled down to this; the file has every pixel."] = SHOWN_SIDE


@dataclass(frozen=True, kw_only=True)
class ActArguments:
    """Arguments of `act`."""

    task: Annotated[str, "What to do, in one or two sentences."]
    url: Annotated[str | None, "The page to begin at; without one, the screen of this machine."] = None
    mode: Annotated[
        Literal["dry", "auto"], "dry shows the first act and sends nothing; auto acts, in the places that are allowed."
    ] = "dry"
    steps: Annotated[int, "Most steps."] = 15


class Kept(Generic[T]):
    """Something that takes long to open: opened by the first call, lent to one call at a time."""

    def __init__(self, open_it: Callable[[], T]) -> None:
        self._open, self._lock = open_it, threading.Lock()
        self._kept: list[T] = []

    @contextlib.contextmanager
    def lent(self, call: ToolInvocation) -> Iterator[T]:
        """The thing, once nobody else has it; a cancelled call stops waiting."""
        while not self._lock.acquire(timeout=WAIT_S):
            call.cancel.check()
        try:
            if not self._kept:
                call.move(0.0, "loading the model")
                self._kept.append(self._open())
            call.cancel.check()
            yield self._kept[0]
        finally:
            self._lock.release()


class Toolbox:
    """The models, where pictures go, and which files may be read."""

    def __init__(
        self,
        *,
        drawing: LoadOptions,
        seeing: s.SeeingOptions,
        folder: Path,
        roots: tuple[Path, ...] | None,
        allow: tuple[str, ...] = (),
    ) -> None:
        """roots: folders that files are read from, None is anywhere. allow: places that `act` may act in."""
        self.allow = allow
        self.drawing, self.seeing, self.folder, self.roots = drawing, seeing, folder, roots
        self._drawer: Kept[GlmImagePipeline] = Kept(self._open_drawer)
        self._seer: Kept[GlmVisionPipeline] = Kept(lambda: s.open_pipeline(seeing))
        self._reader: Kept[Reader] = Kept(_open_reader)

    def tools(self) -> list[McpTool]:
        """Every tool, as the protocol lists it."""
        from inkwash.mcp.tool import McpTool

        return [
            McpTool(
                name="draw",
                title="Draw pictures",
                description="Draw pictures from a prompt; words in quotation marks are written into them. A picture "
                "takes seconds to minutes. The answer holds the pictures, their files and seeds, and notes.",
                arguments=DrawArguments,
                run=self.draw,
                effect="files",
            ),
            McpTool(
                name="edit",
                title="Edit pictures",
                description="Draw a new picture from one or several pictures and an instruction; with a mask, only the "
                "white part changes. The pictures given stay as they are.",
                arguments=EditArguments,
                run=self.edit,
                effect="files",
            ),
            McpTool(
                name="describe",
                title="Look at pictures, videos and documents",
                description="Answer a question about pictures, videos and documents. Boxes in the answer are given in "
                "pixels, and drawn on the picture.",
                arguments=DescribeArguments,
                run=self.describe,
            ),
            McpTool(
                name="read_text",
                title="Read the words of a picture",
                description="Read all lines of text in a picture with OCR, each with its box in pixels and a score.",
                arguments=ReadArguments,
                run=self.read_text,
            ),
            McpTool(
                name="shot",
                title="Look at the screen",
                description="Take a picture of the screen, a monitor, a window or a region, where this server runs.",
                arguments=ShotArguments,
                run=self.shot,
                effect="files",
            ),
            McpTool(
                name="act",
                title="Operate a page or the screen",
                description="Have the model that sees work on a task, step by step, on a page or on the screen. Acts "
                "are sent in mode auto only, in places that the server was started with (--act-allow).",
                arguments=ActArguments,
                run=self.act,
                effect="screen",
            ),
        ]

    def draw(self, arguments: DrawArguments, call: ToolInvocation) -> ToolResult:
        """Pictures from a prompt."""
        return self._draw(self._request(arguments), arguments, call)

    def edit(self, arguments: EditArguments, call: ToolInvocation) -> ToolResult:
        """Pictures from pictures and a prompt."""
        if not arguments.images:
            raise RequestError("images is empty: give at least one picture to start from.", param="images")
        request = self._request(arguments)  # before a picture is read
        pictures = tuple(self._picture(each, "images") for each in arguments.images)
        mask = None if arguments.mask is None else self._picture(arguments.mask, "mask", form="mask")
        if mask is not None and mask.size != pictures[0].size:
            raise RequestError(
                f"The mask is {mask.size[0]}x{mask.size[1]}, but the first picture is "
                f"{pictures[0].size[0]}x{pictures[0].size[1]}: both must have the same size.",
                param="mask",
            )
        return self._draw(replace(request, images=pictures, mask=mask), arguments, call)

    def describe(self, arguments: DescribeArguments, call: ToolInvocation) -> ToolResult:
        """An answer about files."""
        from inkwash.mcp.tool import ToolResult
        from inkwash.media.marks import draw_boxes

        if not arguments.files or not arguments.question.strip():
            empty = "question" if arguments.files else "files"
            raise RequestError(f"{empty} is empty: name a file and ask something about it.", param=empty)
        overrides = {name: value for name, value in vars(arguments).items() if name not in ("files", "question")}
        settings = replace(self.seeing, **overrides)
        parts = [self._part(each) for each in arguments.files]
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": arguments.question}]}]
        with self._seer.lent(call) as pipe:
            rules = s.media_rules(settings, self.roots)
            stream = pipe.stream(messages, cancel=call.cancel, media=rules, **settings.answer_options())
            pieces = itertools.count(1)
            output = s.finished(
                stream,
                lambda piece: call.move(min(99.0, 100 * next(pieces) / arguments.max_tokens), "writing the answer"),
            )
        call.cancel.check()
        text, marked, data = output.content.strip() or "(The model gave no answer.)", [], output.to_dict()
        pictures = [each for each, part in zip(arguments.files, parts, strict=True) if part["type"] == "image"]
        if output.boxes and len(pictures) == 1:
            image = self._picture(pictures[0], "files")
            boxes = output.pixel_boxes(*image.size)
            marked, data["pixel_boxes"] = [draw_boxes(image, boxes)], [list(box) for box in boxes]
        if output.finish_reason in ("length", "repetition"):
            text += f"\n(The answer was cut: {output.finish_reason}.)"
        return ToolResult(text=text, pictures=tuple(marked), data={"model": settings.model, **data})

    def read_text(self, arguments: ReadArguments, call: ToolInvocation) -> ToolResult:
        """The lines of a picture."""
        from inkwash.mcp.tool import ToolResult

        image = self._picture(arguments.image, "image")
        with self._reader.lent(call) as reader:
            lines = reader.read(image)
        data = [
            {"text": line.text, "score": round(line.score, 3), "box": [round(side) for side in line.box]}
            for line in lines
        ]
        text = "\n".join(line.text for line in lines) or "(No text was found.)"
        return ToolResult(text=text, data={"lines": data, "width": image.width, "height": image.height})

    def shot(self, arguments: ShotArguments, call: ToolInvocation) -> ToolResult:
        """A part of the screen."""
        from inkwash.cli.shot import Target
        from inkwash.core import limits
        from inkwash.desk.screen import fitted, open_screen
        from inkwash.mcp.tool import ToolResult
        from inkwash.media.images import save_output

        limits.check_whole("max_side", arguments.max_side, 64, 8192)
        target = Target(monitor=arguments.monitor, region=arguments.region, window=arguments.window)
        with contextlib.closing(open_screen()) as screen:
            taken = screen.shoot(target.find(screen))
            titles = [window.title for window in screen.windows() if window.title]
        metadata = {"software": "inkwash mcp", "region": str(taken.box), "scale": taken.scale}
        path, seen = (
            save_output(taken.image, self.folder / "shot.png", metadata=metadata),
            fitted(taken.image, arguments.max_side),
        )
        size = f"{taken.image.width}x{taken.image.height}"
        scaled = "" if seen is taken.image else f", shown here at {seen.width}x{seen.height}"
        data = {"path": str(path), "size": size, "shown": f"{seen.width}x{seen.height}", **metadata, "windows": titles}
        return ToolResult(text=f"{path}: {size} of the screen's {taken.box}{scaled}.", pictures=(seen,), data=data)

    def act(self, arguments: ActArguments, call: ToolInvocation) -> ToolResult:
        """A task on a page or the screen, guarded as `inkwash act` is; nobody confirms, so risky acts are refused."""
        from PIL import Image

        from inkwash.agent.policy import Policy, origin_of
        from inkwash.agent.running import running
        from inkwash.cli.hand_over import Errand, step_line, stopped_by
        from inkwash.mcp.tool import ToolResult

        allow = self.allow
        if arguments.mode == "dry" and arguments.url is not None:
            allow = (*allow, origin_of(arguments.url) or arguments.url)  # nothing is sent: to look is enough
        if arguments.mode == "auto" and not allow:
            raise RequestError(
                "mode is 'auto', but no place is allowed: start the server with --act-allow PLACE, or use dry.",
                param="mode",
            )
        errand = Errand(
            task=arguments.task,
            url=arguments.url,
            policy=Policy(mode=arguments.mode, allow=allow, max_steps=arguments.steps),
        )
        steps: list[str] = []

        def tell(event: dict[str, Any]) -> None:
            if event["type"] == "step":
                steps.append(step_line(event))
                call.move(min(99.0, 100 * len(steps) / arguments.steps), steps[-1])

        with self._seer.lent(call) as pipe, running() as stop, stopped_by(stop, call.cancel.is_cancelled):
            outcome, png = errand.run(self._agent_model(pipe), stop, tell)
        call.cancel.check()
        seen = []
        if png:
            with Image.open(io.BytesIO(png)) as picture:
                seen.append(fitted_copy(picture))
        data = {**outcome.to_dict(), "log": steps}
        summary = outcome.answer or outcome.reason
        return ToolResult(text="\n".join([*steps, f"{outcome.status}: {summary}"]), pictures=tuple(seen), data=data)

    def _agent_model(self, pipe: GlmVisionPipeline) -> Model:
        from inkwash.agent.model import Local

        return Local(pipe, self.seeing.model)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _request(self, arguments: DrawArguments | EditArguments) -> DrawRequest:
        return arguments.of_model(self.drawing.model).request(arguments.prompt)

    def _draw(self, request: DrawRequest, arguments: DrawArguments | EditArguments, call: ToolInvocation) -> ToolResult:
        from inkwash.cli.draw import drawing_notes, open_reader, paint
        from inkwash.cli.options import DrawJob

        job = DrawJob(request=request, load=self.drawing, output=self.folder / "picture.png", verify=arguments.rules())
        notes = drawing_notes(job)
        read = None if job.verify is None else open_reader()
        with self._drawer.lent(call) as pipe:
            made = paint(job, pipe, read, progress=call, cancel=call.cancel, attempted=call.attempted)
        call.cancel.check()
        return self._drawn(job, [(one.picture, one.metadata) for one in made], notes)

    def _drawn(self, job: DrawJob, made: list[tuple[Image.Image, dict[str, Any]]], notes: list[str]) -> ToolResult:
        from inkwash.mcp.tool import ToolResult
        from inkwash.media.images import save_output

        rows = []
        for index, (picture, more) in enumerate(made):
            metadata = {**job.metadata(index, picture.size), **more}
            rows.append({"path": str(save_output(picture, job.output, metadata=metadata)), **metadata})
        lines = [f"{one['path']}: {one['size']}, seed {one['seed']}, drawn by {one['model']}." for one in rows]
        lines += [_read_back(one["verify"]) for one in rows if "verify" in one]
        lines += [f"Note: {note}" for note in notes]
        data = {"pictures": rows, "notes": notes}
        return ToolResult(text="\n".join(lines), pictures=tuple(picture for picture, _ in made), data=data)

    def _open_drawer(self) -> GlmImagePipeline:
        from inkwash.engine.open import open_pipeline

        return open_pipeline(self.drawing)

    # -- files --------------------------------------------------------------------------------------------------------

    def _picture(self, source: str, param: str, form: Any = "rgb") -> Image.Image:
        from inkwash.cli.media import media_reader
        from inkwash.engine.see.media import content_of

        if not source.strip():
            raise RequestError(f"{param} holds an empty name: give {_FILE}.", param=param)
        return media_reader().picture(content_of(source, s.media_rules(self.seeing, self.roots), "image"), form=form)

    def _part(self, source: str) -> dict[str, Any]:
        """A file as a part of a message; a data URL says itself what it is."""
        from inkwash.media.data_url import is_data_url
        from inkwash.media.kinds import kind_of

        if is_data_url(source):
            kind = source[5:].partition("/")[0].lower()
            kind = kind if kind in ("image", "video") else "file"
            return {"type": kind, kind: source}
        path = Path(source.removeprefix("file://")).expanduser()
        return s.file_part(path) if self.roots is None else {"type": kind_of(path), kind_of(path): path}


def _open_reader() -> Reader:
    from inkwash.eval.ocr import Reader

    return Reader()


def fitted_copy(picture: Image.Image) -> Image.Image:
    """A picture for an answer, apart from the file it came from."""
    from inkwash.desk.screen import fitted

    return fitted(picture.convert("RGB"), SHOWN_SIDE)


def _read_back(verified: dict[str, Any]) -> str:
    read = " / ".join(verified["read"]) or "nothing"
    state = "right" if verified["right"] else "still wrong"
    return f"Read back: {read}; the words are {state} after {verified['attempts']} attempts."
