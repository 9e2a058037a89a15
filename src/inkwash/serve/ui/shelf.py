"""Finished pictures of the page, kept as files with their settings inside, the oldest dropped when there are many."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.media.images import save_image

KEPT = 500


class Shelf:
    """A folder of pictures whose names cannot be guessed: whoever drew one knows where it is, nobody else does."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self.folder, self.kept = folder, kept
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ".secret").unlink(missing_ok=True)  # earlier editions kept the key of the history here
        except OSError as error:
            raise ConfigError(
                f"The page's folder {str(folder)!r} cannot be made ({error.strerror}): choose another one with --state."
            ) from error

    def put(self, picture: Image.Image, metadata: Mapping[str, Any]) -> Path:
        """Write a picture; raises MediaError where the folder takes none."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = save_image(picture, self.folder / f"inkwash-{stamp}-{secrets.token_hex(8)}.png", metadata=metadata)
        self._drop()
        return path

    def find(self, name: str) -> Path | None:
        """The file of this name, if it is one of ours and still there."""
        path = self.folder / name
        return path if Path(name).name == name and name.startswith("inkwash-") and path.is_file() else None

    def _drop(self) -> None:
        with self._lock:
            files = sorted(self.folder.glob("inkwash-*.png"))
            for old in files[: max(0, len(files) - self.kept)]:
                old.unlink(missing_ok=True)
