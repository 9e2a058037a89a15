"""What a judge read in which picture, or answered about it, cached in a JSON-lines file so that nothing is asked twice.

A line is keyed by the picture's pixels, the judge's full name (version and settings) and the question, so a cache can
be shared by runs, survives a kill in the middle of a line, and never answers for another judge. Readings are lines of
text and have no question.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from inkwash.core.errors import MediaError


class TextReader(Protocol):
    """Anything that names itself and reads the lines of a picture; `ocr.Reader` is the one we ship."""

    name: str

    def texts(self, image: Image.Image) -> list[str]: ...


def picture_hash(image: Image.Image) -> str:
    """Digest of size and RGB pixels: file format and metadata do not matter."""
    picture = image.convert("RGB")
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()[:32]


class AnswerCache:
    """Answers of one judge by picture and question; without a path only in memory. Safe to use from many threads."""

    def __init__(self, judge: str, path: Path | None = None) -> None:
        self.judge = judge
        self.path = path
        self._known: dict[tuple[str, str], Any] = _load(path, judge) if path else {}
        self._earlier = set(self._known)  # answers of an earlier run
        self._earlier_ignored = False
        self.used_earlier = False  # whether an answer of an earlier run was used
        self._writing = threading.Lock()

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._known and not (self._earlier_ignored and key in self._earlier)

    def get(self, picture: str, question: str = "") -> Any:
        """The answer about a picture (by its hash); KeyError where there is none."""
        self.used_earlier |= (picture, question) in self._earlier
        return self._known[picture, question]

    @contextmanager
    def earlier_ignored(self) -> Iterator[None]:
        """Inside, answers of an earlier run do not count: the judge is asked again."""
        self._earlier_ignored = True
        try:
            yield
        finally:
            self._earlier_ignored = False

    def get_or_ask(self, picture: str, question: str, ask: Callable[[], Any]) -> Any:
        """The cached answer, else that of `ask`, which is then cached."""
        if (picture, question) not in self:
            self.put(picture, question, ask())
        return self.get(picture, question)

    def put(self, picture: str, question: str, answer: Any) -> None:
        """Keep an answer, in the file too."""
        with self._writing:
            self._known[picture, question] = answer
            self._earlier.discard((picture, question))
            if self.path:
                self._append(self.path, _entry(picture, self.judge, question, answer))

    def _append(self, path: Path, line: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                torn = size > 0 and file.read(1) != b"\n"  # an earlier run was killed inside a line
                file.write((("\n" if torn else "") + line + "\n").encode())
        except OSError as problem:
            raise MediaError(f"cannot write the predictions to {path}: {problem.strerror}.") from problem


class Predictions:
    """Reads pictures through a judge and caches the answers; without a path only in memory."""

    def __init__(self, judge: TextReader, path: Path | None = None) -> None:
        self.judge = judge
        self.cache = AnswerCache(judge.name, path)

    def texts(self, image: Image.Image) -> tuple[str, ...]:
        """The lines of a picture."""
        lines = self.cache.get_or_ask(picture_hash(image), "", lambda: list(self.judge.texts(image)))
        return tuple(str(text) for text in lines)

    def keep(self, image: Image.Image, lines: Iterable[str]) -> None:
        """Cache a reading that the judge gave elsewhere."""
        key = picture_hash(image)
        if (key, "") not in self.cache:
            self.cache.put(key, "", list(lines))


def _entry(picture: str, judge: str, question: str, answer: Any) -> str:
    entry = {"question": question, "answer": answer} if question else {"lines": answer}
    return json.dumps({"picture": picture, "judge": judge, **entry}, ensure_ascii=False)


def _load(path: Path, judge: str) -> dict[tuple[str, str], Any]:
    known: dict[tuple[str, str], Any] = {}
    if not path.exists():
        return known
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            entry = json.loads(line)
            if entry["judge"] == judge:
                answer = entry["answer"] if "question" in entry else list(entry["lines"])
                known[entry["picture"], entry.get("question", "")] = answer
        except (ValueError, KeyError, TypeError):
            continue  # a line torn by a kill: its picture is simply asked about again
    return known
