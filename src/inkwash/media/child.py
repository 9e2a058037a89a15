"""The process that decodes: started by `media.process`, asked over a socket, ended with it.

    python -m inkwash.media.child DESCRIPTOR MEMORY_BYTES

Every request names what to do with the file that comes with it; a document stays open for its pages. The answer to a
request is its result, or an error as its class and sentence. What runs here has memory, time and no network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from inkwash.core.errors import InkwashError, MediaError, MissingExtraError, RequestError
from inkwash.media import documents, images, sandbox, videos
from inkwash.media.reader import Form, read_picture
from inkwash.media.sources import OpenFile
from inkwash.media.wire import ConnectionBroken, receive, send

PROCESSORS = 4  # threads that a video decoder may use at once

Reply = tuple[dict[str, Any], bytes | memoryview]


def serve(link: socket.socket) -> None:
    """Answer requests until the other side has gone."""
    child = Child()
    while True:
        try:
            message = receive(link, most=0)
        except ConnectionBroken:
            return
        header = message.header
        sandbox.limit_processor(PROCESSORS * float(header["seconds"]) + 5)
        try:
            with contextlib.ExitStack() as held:
                source = None
                if message.file is not None:
                    source = OpenFile(held.enter_context(os.fdopen(message.file, "rb")), header["name"])
                for reply, blob in child.answer(header, source):
                    send(link, reply, blob)
            last: dict[str, Any] = {"end": True}
        except ConnectionBroken:
            return
        except MemoryError:
            last = {"error": "memory"}
        except BaseException as error:  # this process must not fall silent whatever foreign code raises
            last = _described(error, header)
        sandbox.give_back_memory()
        try:
            send(link, {**last, "resident": sandbox.resident_bytes()})
        except ConnectionBroken:
            return


class Child:
    """What can be asked for, and the document that was opened last."""

    def __init__(self) -> None:
        self.pages: list[documents.Page] = []
        self.token = ""
        self.tasks: dict[str, Callable[..., Iterator[Reply]]] = {
            "size": self.size,
            "picture": self.picture,
            "video": self.video,
            "frames": self.frames,
            "document": self.document,
            "page": self.page,
        }

    def answer(self, header: dict[str, Any], source: OpenFile | None) -> Iterator[Reply]:
        """The replies to one request."""
        if source is None:
            return self.tasks[header["task"]](**header["options"])
        return self.tasks[header["task"]](source, **header["options"])

    def size(self, source: OpenFile, *, max_bytes: int) -> Iterator[Reply]:
        """Width and height of a picture."""
        yield {"size": images.image_size(source, max_bytes=max_bytes)}, b""

    def picture(
        self, source: OpenFile, *, max_bytes: int, max_pixels: int, size: list[int] | None, form: Form
    ) -> Iterator[Reply]:
        """A picture, RGB, RGBA or grey."""
        read = read_picture(source, max_bytes, max_pixels, None if size is None else (size[0], size[1]), form)
        yield {"size": read.size, "mode": read.mode}, read.tobytes()

    def video(self, source: OpenFile) -> Iterator[Reply]:
        """What a video is."""
        yield {"facts": dataclasses.asdict(videos.probe_video(source))}, b""

    def frames(
        self, source: OpenFile, *, indices: list[int], facts: dict[str, Any], wanted: list[int] | None
    ) -> Iterator[Reply]:
        """Frames of a video, stack by stack."""
        known = videos.VideoFacts(**{**facts, "times": tuple(facts["times"])})
        size = None if wanted is None else (wanted[0], wanted[1])
        for stack in videos.read_frames(source, indices, facts=known, wanted=size):
            yield {"count": len(stack)}, memoryview(stack.reshape(-1))  # type: ignore[arg-type]

    def document(self, source: OpenFile, *, token: str, **options: Any) -> Iterator[Reply]:
        """The pages of a document, which stays open."""
        self.token, self.pages = "", []
        self.pages = documents.read_document(source, **options)
        self.token = token
        facts = [
            {"number": p.number, "width": p.width, "height": p.height, "text": p.text, "shown": p.load is not None}
            for p in self.pages
        ]
        yield {"pages": facts}, b""

    def page(self, *, token: str, place: int, size: list[int] | None) -> Iterator[Reply]:
        """One page of the open document as a picture."""
        assert token == self.token, "the document is opened first"
        load = self.pages[place].load
        assert load is not None
        read = load(None if size is None else (size[0], size[1]))
        yield {"size": read.size, "mode": read.mode}, read.tobytes()


def _described(error: BaseException, header: dict[str, Any]) -> dict[str, Any]:
    """An error as data."""
    if isinstance(error, MissingExtraError):
        return {"error": "extra", "message": error.message, "extra": error.extra}
    if isinstance(error, RequestError):
        fields = {"message": error.message, "status": error.status, "code": error.code, "param": error.param}
        return {"error": "request", **fields}
    if isinstance(error, InkwashError):
        return {"error": "media", "message": error.message}
    name = header.get("name", "The file")
    return {"error": "media", "message": MediaError(f"{name} cannot be read ({type(error).__name__}).").message}


def _leave_with(link: socket.socket) -> None:
    """End this process when the other side has gone, in the middle of its work too."""
    waiting = select.poll()
    waiting.register(link.fileno(), getattr(select, "POLLRDHUP", 0))
    waiting.poll()
    os._exit(0)


def main() -> None:
    """The descriptor of the socket and the memory limit are arguments."""
    descriptor, memory = int(sys.argv[1]), int(sys.argv[2])
    link = socket.socket(fileno=descriptor)
    sandbox.limit_memory(memory)
    sandbox.forbid_network()
    os.nice(5)
    threading.Thread(target=_leave_with, args=(link,), daemon=True).start()
    serve(link)


if __name__ == "__main__":
    main()
