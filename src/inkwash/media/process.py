"""Files of strangers are decoded in processes of their own, with limits of memory and time and without a network.

    with MediaProcess() as media:
        reader = media.within(cancelled=lambda: left, seconds=120)
        picture = reader.picture(content, size=(448, 448))

The processes stay warm and are started anew when one dies. What dies with it is the request that it was working for:
its caller gets one sentence. A request that is cancelled, or takes too long, has its process killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from inkwash.core.errors import Cancelled, MediaError, MissingExtraError, RequestError
from inkwash.media import documents, images, sources, videos
from inkwash.media.reader import Form, Given, InProcess, MediaReader, PixelSize
from inkwash.media.wire import ConnectionBroken, WireMessage, receive, send

SECONDS = {"size": 15.0, "picture": 30.0, "video": 60.0, "frames": 240.0, "document": 200.0, "page": 30.0}
RESIDENT = 400 * 2**20  # a process that keeps more after its work is replaced
_TICK_S = 0.05
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """What one process may use, and how many there are."""

    memory_bytes: int = 3 * 2**30
    processes: int = 3
    answer_bytes: int = 2 * 2**30  # of one reply


class Worker:
    """One process and the socket to it."""

    def __init__(self, limits: MediaLimits) -> None:
        self.link, theirs = socket.socketpair()
        self.link.settimeout(_TICK_S)
        self.token = ""  # of the document that it has open
        self.settled = True  # it has answered whatever it was asked
        with theirs:
            environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
            command = [sys.executable, "-m", "inkwash.media.child", str(theirs.fileno()), str(limits.memory_bytes)]
            try:
                self.process = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the program, and what LibreOffice starts ends with it
                )
            except BaseException:
                self.link.close()
                raise

    def kill(self) -> None:
        """Kill the process and all that it has started."""
        if self.process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill it, and forget it; safe while another thread waits for its answer, and more than once."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2.0)
        self.link.close()


class MediaProcess:
    """The processes, shared by all requests of a server; safe for several threads."""

    def __init__(self, limits: MediaLimits | None = None) -> None:
        self.limits = limits or MediaLimits()
        self._free = threading.Condition()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._closed = False
        self.started = 0  # processes so far

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Have one process ready; returns before it is."""
        with self._free:
            if not self._idle and not self._busy and not self._closed:
                self._idle.append(self._start())

    def within(self, cancelled: Callable[[], bool] = lambda: False, seconds: float = 600.0) -> MediaReader:
        """A reader for one request."""
        return ProcessReader(self, cancelled, seconds) if supported() else InProcess()

    def close(self) -> None:
        """End all processes; what waits for one gets a sentence."""
        with self._free:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
            self._free.notify_all()
        with contextlib.ExitStack() as ends:  # the last one first
            for worker in (*idle, *busy):  # one whose frames nobody asks for any more has no thread to end it
                ends.callback(worker.end)
            for worker in busy:  # the thread that waits for its answer hears of its death
                ends.callback(worker.kill)

    @contextlib.contextmanager
    def lease(self, token: str, waiting: Callable[[], None]) -> Iterator[Worker]:
        """A process for one task, if possible the one that has the document open; ended if it has not settled."""
        worker = self._take(token, waiting)
        try:
            yield worker
        finally:
            with self._free:
                self._busy.discard(worker)
                kept = worker.settled and not self._closed
                if kept:
                    self._idle.append(worker)
                self._free.notify()
            if not kept:
                worker.end()

    def _take(self, token: str, waiting: Callable[[], None]) -> Worker:
        with self._free:
            while True:
                if self._closed:
                    raise MediaError("The server is shutting down and reads no more files.")
                for worker in [worker for worker in self._idle if worker.process.poll() is not None]:
                    self._idle.remove(worker)
                    worker.end()
                if self._idle:
                    opened = [w for w in self._idle if token and w.token == token]
                    found = (opened or [w for w in self._idle if not w.token] or self._idle)[0]
                    self._idle.remove(found)
                elif len(self._busy) < self.limits.processes:
                    found = self._start()
                else:
                    found = None
                if found is not None:
                    self._busy.add(found)
                    return found
                self._free.wait(_TICK_S)
                waiting()

    def _start(self) -> Worker:
        self.started += 1
        return Worker(self.limits)


class ProcessReader:
    """`MediaReader` by way of the processes, for one request."""

    def __init__(self, media: MediaProcess, cancelled: Callable[[], bool], seconds: float) -> None:
        self._media, self._cancelled = media, cancelled
        self._seconds, self._spent = seconds, 0.0

    def within(self, cancelled: Callable[[], bool], seconds: float) -> MediaReader:
        return ProcessReader(self._media, cancelled, seconds)

    def picture_size(self, source: Given, *, max_bytes: int = images.MAX_BYTES) -> PixelSize:
        with _file(source, "picture", max_bytes) as file:
            (reply,) = self._ask("size", file, {"max_bytes": max_bytes})
        width, height = reply.header["size"]
        return int(width), int(height)

    def picture(
        self,
        source: Given,
        *,
        max_bytes: int = images.MAX_BYTES,
        max_pixels: int = images.MAX_PIXELS,
        size: PixelSize | None = None,
        form: Form = "rgb",
    ) -> Image.Image:
        options = {"max_bytes": max_bytes, "max_pixels": max_pixels, "size": size, "form": form}
        with _file(source, "picture", max_bytes) as file:
            (reply,) = self._ask("picture", file, options)
        return _picture(reply)

    def video(self, source: Given) -> videos.VideoFacts:
        with _file(source, "video", videos.MAX_BYTES) as file:
            (reply,) = self._ask("video", file, {})
        facts = reply.header["facts"]
        return videos.VideoFacts(**{**facts, "times": tuple(facts["times"])})

    def frames(
        self, source: Given, indices: Sequence[int], *, facts: videos.VideoFacts, wanted: PixelSize | None = None
    ) -> Iterator[videos.Frames]:
        options = {"indices": list(indices), "facts": asdict(facts), "wanted": wanted}
        width, height = videos.decoded_size(facts, wanted)
        with _file(source, "video", videos.MAX_BYTES) as file:
            for reply in self._ask("frames", file, options):
                stack = np.frombuffer(reply.blob, np.uint8)
                yield stack.reshape(-1, 3, height, width)

    def document(
        self,
        source: Given,
        *,
        suffix: str | None = None,
        dpi: float = documents.DPI,
        pages: str | None = None,
        max_pages: int = documents.MAX_PAGES,
        password: str | None = None,
    ) -> list[documents.Page]:
        token = secrets.token_hex(16)
        kind = suffix or (Path(source).suffix if not isinstance(source, bytes) else None)
        options = {"suffix": kind, "dpi": dpi, "pages": pages, "max_pages": max_pages, "password": password}
        file = _file(source, "document", documents.MAX_BYTES)
        (reply,) = self._ask("document", file, {**options, "token": token}, token)

        def page_loader(place: int) -> documents.Load:
            def load(size: PixelSize | None = None) -> Image.Image:
                arguments = {"token": token, "place": place, "size": size}
                again = "document", {**options, "token": token}
                (made,) = self._ask("page", file, arguments, token, first=again)
                return _picture(made)

            return load

        return [
            documents.Page(
                number=page["number"],
                width=page["width"],
                height=page["height"],
                text=page["text"],
                load=page_loader(place) if page["shown"] else None,
            )
            for place, page in enumerate(reply.header["pages"])
        ]

    def _ask(
        self,
        task: str,
        file: _File,
        options: dict[str, Any],
        token: str = "",
        *,
        first: tuple[str, dict[str, Any]] | None = None,
    ) -> Iterator[WireMessage]:
        """The replies to a task, of a process that has done `first` (it opens the document of `token`)."""

        def waiting() -> None:
            if self._cancelled():
                raise Cancelled()

        with self._media.lease(token, waiting) as worker:
            began = time.monotonic()
            try:
                if first is not None and worker.token != token:
                    for _ in self._work(worker, *first, file, waiting):
                        pass
                    worker.token = token
                yield from self._work(worker, task, options, file if first is None else None, waiting, file.name)
                worker.token = token or worker.token
            finally:
                self._spent += time.monotonic() - began

    def _work(
        self,
        worker: Worker,
        task: str,
        options: dict[str, Any],
        file: _File | None,
        waiting: Callable[[], None],
        name: str = "",
    ) -> Iterator[WireMessage]:
        name = name if file is None else file.name
        allowed = min(SECONDS[task], max(0.5, self._seconds - self._spent))
        end = time.monotonic() + allowed

        def watch() -> None:
            waiting()
            if time.monotonic() > end:
                raise MediaError(
                    f"{name} takes longer than {allowed:.3g} s to decode: make it smaller or simpler, or send less."
                )

        header = {"task": task, "options": options, "name": name, "seconds": allowed}
        worker.settled = False
        try:
            send(worker.link, header, file=None if file is None else file.descriptor)
            while True:
                reply = receive(worker.link, most=self._media.limits.answer_bytes, waiting=watch)
                if "end" in reply.header or "error" in reply.header:
                    break
                yield reply
        except ConnectionBroken:
            raise MediaError(
                f"{name} cannot be read: the process that decoded it has died, as it does of damaged or hostile files; "
                "export it again."
            ) from None
        worker.settled = reply.header.get("error") != "memory" and reply.header["resident"] <= RESIDENT
        if "error" in reply.header:
            raise self._error(reply.header, name)

    def _error(self, header: dict[str, Any], name: str) -> Exception:
        kind, message = header["error"], str(header.get("message", ""))
        if kind == "memory":
            limit = self._media.limits.memory_bytes / 2**30
            return MediaError(f"{name} takes more than {limit:.1f} GiB to decode: make it smaller.")
        if kind == "request":
            fields = {key: header.get(key) for key in ("status", "code", "param")}
            return RequestError(message, **fields)  # type: ignore[arg-type]
        if kind == "extra":
            return MissingExtraError(message.partition(" needs the ")[0], extra=str(header.get("extra")))
        return MediaError(message)


class _File:
    """An open file that the process gets, closed with its last user."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor, self.name = descriptor, name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Once; what was sent stays open on the other side."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def supported() -> bool:
    """Whether this system can hand open files to a process."""
    return hasattr(socket, "send_fds") and hasattr(os, "killpg") and bool(sys.executable)


def _file(source: Given, what: str, max_bytes: int) -> _File:
    """A regular file, or bytes in memory that look like one."""
    name = sources.source_name(source, what)
    if not isinstance(source, bytes):
        with sources.open_source(source, what, max_bytes) as file:
            return _File(os.dup(file.fileno()), name)
    if len(source) > max_bytes:
        raise MediaError(sources.too_large(name, len(source), max_bytes))
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("inkwash-media")
    else:
        with tempfile.TemporaryFile() as made:
            descriptor = os.dup(made.fileno())
    with os.fdopen(os.dup(descriptor), "wb") as target:
        target.write(source)
    return _File(descriptor, name)


def _picture(reply: WireMessage) -> Image.Image:
    mode, (width, height) = reply.header["mode"], reply.header["size"]
    if mode not in ("L", "RGB", "RGBA") or len(reply.blob) != width * height * len(mode):
        raise MediaError("The process that decodes pictures has sent something else; try again.")
    return Image.frombytes(mode, (width, height), bytes(reply.blob))
