"""What a file is to a model that sees, by its suffix: a picture, a film or a document. Loads nothing at import."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

FileKind = Literal["image", "video", "file"]
PDF, SLIDES = ".pdf", frozenset({".pptx", ".ppt"})
DOCUMENTS = frozenset({PDF, *SLIDES})
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".wmv", ".flv", ".webm", ".mpeg", ".mpg", ".m4v"})


def kind_of(path: Path) -> FileKind:
    """Film or document by the suffix, anything else a picture."""
    suffix = path.suffix.lower()
    return "video" if suffix in VIDEOS else "file" if suffix in DOCUMENTS else "image"
