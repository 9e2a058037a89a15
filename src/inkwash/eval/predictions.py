"""What a judge read in which picture, kept in a JSON-lines file so that nothing is read twice.

A line is keyed by the picture's pixels and the judge's full name (version and settings), so a cache can be shared by
runs, survives a kill in the middle of a line, and never answers for another judge.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Protocol

from PIL import Image

from inkwash.core.errors import MediaError


class Judge(Protocol):
    """Anything that names itself and reads the lines of a picture; `ocr.Reader` is the one we ship."""

    name: str

    def texts(self, image: Image.Image) -> list[str]: ...


def picture_hash(image: Image.Image) -> str:
    """Digest of size and RGB pixels: file format and metadata do not matter."""
    picture = image.convert("RGB")
    digest = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()[:32]


class Predictions:
    """Reads pictures through a judge and remembers the answers; without a path only in memory."""

    def __init__(self, judge: Judge, path: Path | None = None) -> None:
        self.judge = judge
        self.path = path
        self._known: dict[str, tuple[str, ...]] = _load(path, judge.name) if path else {}

    def texts(self, image: Image.Image) -> tuple[str, ...]:
        key = picture_hash(image)
        if key not in self._known:
            self._known[key] = tuple(self.judge.texts(image))
            if self.path:
                self._append(self.path, key)
        return self._known[key]

    def _append(self, path: Path, key: str) -> None:
        line = json.dumps({"picture": key, "judge": self.judge.name, "lines": self._known[key]}, ensure_ascii=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 1))
                torn = size > 0 and file.read(1) != b"\n"  # an earlier run was killed inside a line
                file.write((("\n" if torn else "") + line + "\n").encode())
        except OSError as problem:
            raise MediaError(f"cannot write the predictions to {path}: {problem.strerror}.") from problem


def _load(path: Path, judge: str) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    if not path.exists():
        return known
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            if entry["judge"] == judge:
                known[entry["picture"]] = tuple(str(text) for text in entry["lines"])
        except (ValueError, KeyError, TypeError):
            continue  # a line torn by a kill: its picture is simply read again
    return known
