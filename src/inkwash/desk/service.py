"""The assistant behind its page: one object for what the page, the tray and the hotkeys can do.

It knows no toolkit and no web framework. `routes.py` puts it on HTTP, `shell.py` gives it a window, a tray and keys.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.desk import attachments, hotkeys
from inkwash.desk.endpoints import Endpoints, Piece, ask
from inkwash.desk.history import History, Medium, Message
from inkwash.desk.places import ScreenBox
from inkwash.desk.recorder import Clip, Recorder, RecordSettings
from inkwash.desk.screen import Screen, find_monitor, find_window
from inkwash.media.kinds import kind_of
from inkwash.media.reader import MediaReader

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 512 * 2**20
NEWS = 50  # things that happened and the page has not heard of yet


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file that waits to be sent with the next question."""

    digest: str
    name: str
    kind: str
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the page sends."""

    text: str
    conversation: int | None = None
    media: tuple[Medium, ...] = ()
    endpoint: str = ""
    instead_of: int | None = None  # a turn that this one, and what follows it, takes the place of


class Desk:
    """The assistant; any thread may call it."""

    def __init__(
        self,
        folder: Path,
        endpoints: Endpoints,
        reader: MediaReader,
        open_screen: Callable[[bool], Screen],
        *,
        start_local: Callable[[], None] = lambda: None,
        hide: Callable[[], None] = lambda: None,
    ) -> None:
        """open_screen: with the pointer or without. start_local: called before the local endpoint is asked.
        hide: takes our own window off the screen before a picture of it is taken."""
        self.folder, self.endpoints, self.reader = folder, endpoints, reader
        self.history = History(folder)
        self._open_screen, self._start_local, self.hide = open_screen, start_local, hide
        self._settings_file = folder / "settings.json"
        self._recorder: tuple[Recorder, Screen] | None = None
        self._running: dict[int, threading.Event] = {}
        self._news: deque[dict[str, Any]] = deque(maxlen=NEWS)
        self._changed = threading.Condition()
        self._count = 0

    def close(self) -> None:
        """Stop what is running, and close the history, also where the recording cannot be finished."""
        for stop in list(self._running.values()):
            stop.set()
        try:
            if self._recorder is not None:
                self.stop_recording()
        finally:
            self.history.close()

    # -- what happens outside of the page -----------------------------------------------------------------------------

    def tell(self, kind: str, **more: Any) -> None:
        """Something the page should hear of: a hotkey, a recording that ended."""
        with self._changed:
            self._count += 1
            self._news.append({"number": self._count, "kind": kind, **more})
            self._changed.notify_all()

    def news(self, after: int, timeout: float = 20.0) -> list[dict[str, Any]]:
        """What happened after that number; waits a while for something."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > after, timeout)
            return [one for one in self._news if one["number"] > after]

    # -- settings -----------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Hotkeys and how many conversations are kept."""
        stored: dict[str, Any] = {}
        if self._settings_file.exists():
            try:
                stored = json.loads(self._settings_file.read_text(encoding="utf-8"))
            except ValueError:
                log.warning("%s is no JSON and is not used", self._settings_file)
        return {"hotkeys": hotkeys.usual(), "keep": 1000, **stored}

    def change(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change settings; RequestError for one that cannot be."""
        now = self.settings()
        if unknown := sorted(set(changes) - set(now)):
            raise RequestError(f"There is no setting {unknown[0]!r}: they are {', '.join(now)}.", param="settings")
        now |= changes
        now["hotkeys"] = hotkeys.checked(now["hotkeys"])
        if not isinstance(now["keep"], int) or not 1 <= now["keep"] <= 1_000_000:
            raise RequestError(f"keep is {now['keep']!r}, but must be from 1 to 1000000.", param="keep")
        self._settings_file.write_text(json.dumps(now, indent=1), encoding="utf-8")
        return now

    # -- the screen ---------------------------------------------------------------------------------------------------

    def places(self) -> dict[str, Any]:
        """Monitors and windows to choose from."""
        with closing(self._open_screen(False)) as screen:
            return {
                "monitors": [{"number": one.number, **asdict(one.box)} for one in screen.monitors()],
                "windows": [{"title": one.title, "program": one.program} for one in screen.windows() if one.title],
            }

    def shoot(self, *, monitor: int | None = None, window: str | None = None, region: str | None = None) -> Attached:
        """A picture of the screen, waiting to be sent."""
        self.hide()
        with closing(self._open_screen(False)) as screen:
            shot = screen.shoot(_find(screen, monitor, window, region))
        buffer = io.BytesIO()
        shot.image.save(buffer, "PNG")
        return self.attach(buffer.getvalue(), time.strftime("shot-%H%M%S.png"))

    def crop(self, digest: str, corners: Any) -> Attached:
        """A part of a kept picture: left, top, right, bottom in its pixels, in any order."""
        image = self.reader.picture(self.history.file(digest))
        if not isinstance(corners, list) or len(corners) != 4 or not all(isinstance(side, int) for side in corners):
            raise RequestError("A region is four whole numbers: left, top, right, bottom.", param="corners")
        left, right = sorted(min(max(side, 0), image.width) for side in corners[::2])
        top, bottom = sorted(min(max(side, 0), image.height) for side in corners[1::2])
        if right - left < 2 or bottom - top < 2:
            raise RequestError("The region is empty: drag over a part of the picture.", param="corners")
        buffer = io.BytesIO()
        image.crop((left, top, right, bottom)).save(buffer, "PNG")
        return self.attach(buffer.getvalue(), time.strftime("region-%H%M%S.png"))

    def record(self, *, monitor: int | None = None, window: str | None = None, region: str | None = None) -> None:
        """Begin a recording."""
        if self._recorder is not None and self._recorder[0].going_on:
            raise RequestError("A recording is under way: stop it first.", status=409, param="record")
        screen = self._open_screen(True)
        try:
            box = _find(screen, monitor, window, region)
            path = self.folder / time.strftime("recording-%Y%m%d-%H%M%S.mp4")
            recorder = Recorder(screen, box, path, RecordSettings(), on_end=lambda: self.tell("recorded"))
            recorder.start()
        except BaseException:
            screen.close()
            raise
        self._recorder = recorder, screen

    def pause_recording(self) -> dict[str, Any]:
        """Pause, or go on."""
        recorder = self._recording()[0]
        (recorder.resume if recorder.paused else recorder.pause)()
        return self.recording()

    def recording(self) -> dict[str, Any]:
        """Whether something is recorded, for how long, and how large it is."""
        if self._recorder is None:
            return {"on": False}
        recorder = self._recorder[0]
        size = recorder.path.stat().st_size if recorder.path.exists() else 0
        seconds = round(recorder.seconds, 1)
        return {"on": True, "going": recorder.going_on, "paused": recorder.paused, "seconds": seconds, "bytes": size}

    def stop_recording(self) -> tuple[Clip, Attached]:
        """End it; the video waits to be sent."""
        (recorder, screen), self._recorder = self._recording(), None
        try:
            clip = recorder.stop()
        finally:
            screen.close()
        attached = self.attach(clip.path.read_bytes(), clip.path.name)
        clip.path.unlink()
        return clip, attached

    def _recording(self) -> tuple[Recorder, Screen]:
        if self._recorder is None:
            raise RequestError("Nothing is being recorded.", status=409, param="record")
        return self._recorder

    # -- files --------------------------------------------------------------------------------------------------------

    def attach(self, content: bytes, name: str) -> Attached:
        """Keep a file; MediaError for one that cannot be shown."""
        if len(content) > MAX_FILE_BYTES:
            raise RequestError(
                f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: cut it.", status=413, param="file"
            )
        medium = self.history.keep(content, name)
        found = attachments.cost(self.history.file(medium.digest), self.reader)
        return Attached(digest=medium.digest, name=medium.name, kind=found.kind, pictures=found.pictures)

    def attach_folder(self, folder: str) -> list[Attached]:
        """All files of a folder that can be shown."""
        paths = attachments.files_of(Path(folder).expanduser())
        return [self.attach(path.read_bytes(), path.name) for path in paths]

    # -- talking ------------------------------------------------------------------------------------------------------

    def ask(self, question: Question) -> Iterator[dict[str, Any]]:
        """Events of an answer: begun (with the conversation), pieces, then done or failed. What was said is kept."""
        known = self.endpoints.all()
        if not known:
            raise RequestError("There is no endpoint to ask: add one under Settings.", param="endpoint")
        endpoint = self.endpoints.find(question.endpoint or known[0].name)
        if not question.text.strip():
            raise RequestError("The question is empty: write what you want to know.", param="text")
        talk = question.conversation
        if talk is None:
            talk = self.history.begin(question.text)
        elif question.instead_of is not None:
            self.history.cut(talk, question.instead_of)
        if talk in self._running:
            raise RequestError("An answer is still being written here: stop it first.", status=409, param="text")
        number = self.history.add(talk, Message(role="user", text=question.text, media=question.media))
        stop = self._running[talk] = threading.Event()
        reply = {"thought": "", "answer": ""}
        try:
            yield {"kind": "begun", "conversation": talk, "message": number}
            if self.endpoints.local is not None and endpoint.name == self.endpoints.local.name:
                self._start_local()
            messages = self._messages(talk, video=endpoint.video)
            for piece in ask(endpoint, messages, self.endpoints.keys.get(endpoint.name), cancelled=stop.is_set):
                reply[piece.kind] += piece.text
                yield _piece(piece)
            yield {"kind": "done", "message": self._answered(talk, reply)}
        except Cancelled:
            yield {"kind": "stopped", "message": self._answered(talk, reply)}
        except InkwashError as error:
            yield {"kind": "failed", "error": error.message}
        finally:
            stop.set()
            self._running.pop(talk, None)

    def stop(self, conversation: int) -> None:
        """End the answer of a conversation; what was said stays."""
        if (running := self._running.get(conversation)) is not None:
            running.set()

    def _answered(self, talk: int, reply: dict[str, str]) -> int:
        answer = Message(role="assistant", text=reply["answer"].strip(), thoughts=reply["thought"].strip())
        number = self.history.add(talk, answer)
        self.history.keep_newest(self.settings()["keep"])
        return number

    def _messages(self, talk: int, *, video: bool) -> list[dict[str, Any]]:
        """A conversation for the API: no thoughts are sent back."""
        sent = []
        for turn in self.history.messages(talk):
            files = [self.history.file(medium.digest) for medium in turn.media]
            media = [part for file in files for part in attachments.parts(file, self.reader, video=video)]
            sent.append(attachments.message(turn.role, turn.text, media))
        return sent


def _find(screen: Screen, monitor: int | None, window: str | None, region: str | None) -> ScreenBox:
    if region is not None:
        return ScreenBox.parse(region)
    if window is not None:
        return find_window(screen.windows(), window).box
    return find_monitor(screen, monitor or 0)


def _piece(piece: Piece) -> dict[str, Any]:
    return {"kind": piece.kind, "text": piece.text}


def attached(medium: Medium, path: Path) -> dict[str, Any]:
    """A kept file for the page."""
    return {"digest": medium.digest, "name": medium.name, "kind": kind_of(path)}
