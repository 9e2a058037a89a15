"""Drawing many pictures for an evaluation: in batches, each with its own seed, resumable from a folder.

`draw_all` knows nothing about models: it is given a function from picture numbers to pictures. With a folder, every
picture is written as soon as it is drawn and a second run draws only what is missing; the folder remembers its settings
and refuses to mix pictures of two runs. `load_all` takes the pictures of such a folder, or of any other generator.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.media.images import load_image, save_image

Draw = Callable[[Sequence[int]], Sequence[Image.Image]]
Progress = Callable[[int, int], None]  # pictures done, pictures in all

SETTINGS_FILE = "settings.json"
_HASHED_BYTES = 2**29
SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Pictures in order, and what drawing cost; `seconds` is nan when all of them were there already."""

    images: tuple[Image.Image, ...]
    seconds: float  # per picture drawn in this run


def draw_all(
    open_draw: Callable[[], Draw],
    count: int,
    *,
    batch: int = 4,
    folder: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """Pictures 0..count-1; those already in `folder` are taken from there, the others drawn `batch` at a time.

    `open_draw` makes the drawing function; it is called once, and only when a picture is missing.
    """
    if folder is not None:
        claim_folder(folder, settings or {})
    images = {i: load_image(path) for i, path in _present(folder, count).items()}
    missing = [i for i in range(count) if i not in images]
    report = progress or (lambda done, total: None)
    report(len(images), count)
    if not missing:
        return Drawn(images=tuple(images[i] for i in range(count)), seconds=math.nan)
    draw = open_draw()
    start = time.perf_counter()
    for first in range(0, len(missing), batch):
        numbers = missing[first : first + batch]
        for i, image in zip(numbers, draw(numbers), strict=True):
            images[i] = image
            if folder is not None:
                save_image(image, folder / f"{i:05d}.png")
        report(len(images), count)
    seconds = (time.perf_counter() - start) / len(missing)
    return Drawn(images=tuple(images[i] for i in range(count)), seconds=seconds)


def load_all(folder: Path, count: int) -> Drawn:
    """Pictures 0..count-1 of a folder, matched by the number in their name (00000.png, 1.webp ...); none may miss."""
    paths = check_folder(folder, count)
    return Drawn(images=tuple(load_image(paths[i]) for i in range(count)), seconds=math.nan)


def check_folder(folder: Path, count: int) -> dict[int, Path]:
    """The files of pictures 0..count-1; MediaError when the folder or one of them is not there."""
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder; give the folder that holds the pictures 00000.png, 00001.png ...")
    present = _present(folder, count)
    absent = [i for i in range(count) if i not in present]
    if absent:
        raise MediaError(
            f"{folder} lacks {len(absent)} of the {count} pictures, first {absent[0]:05d}.png; "
            f"draw them, or score fewer with -n (a missing picture would flatter the score)."
        )
    return present


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings beside the pictures, or hold them against those of an earlier run."""
    if check_settings(folder, settings):
        return
    wanted = json.dumps(dict(settings), indent=2, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS_FILE).write_text(wanted + "\n", encoding="utf-8")
    except OSError as problem:
        raise MediaError(
            f"cannot write into {folder}: {problem.strerror}; give a folder you may write to."
        ) from problem


def check_settings(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether an earlier run left its settings in the folder; ConfigError when they are others than these."""
    earlier = read_settings(folder)
    if earlier is None:
        return False
    wanted = json.loads(json.dumps(dict(settings)))
    different = sorted(key for key in wanted if key in earlier and earlier[key] != wanted[key])
    if different:
        key = different[0]
        raise ConfigError(
            f"{folder} holds pictures of another run: {key} is {earlier[key]!r} there and {wanted[key]!r} here; "
            f"give another folder or the same settings."
        )
    return True


def read_settings(folder: Path) -> dict[str, Any] | None:
    """The settings an earlier run left in a folder; None where there are none."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ConfigError(f"{path} is not JSON ({problem}); delete it or give another folder.") from problem
    return found if isinstance(found, dict) else {}


def fingerprint(folder: Path) -> str:
    """A short name for the weights of a checkpoint folder: of their content, or of size and date if large."""
    files = sorted(folder.rglob("*.safetensors"))
    small = sum(file.stat().st_size for file in files) <= _HASHED_BYTES
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode())
        if small:
            digest.update(file.read_bytes())
        else:
            digest.update(f"{file.stat().st_size}:{file.stat().st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _present(folder: Path | None, count: int) -> dict[int, Path]:
    if folder is None or not folder.is_dir():
        return {}
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.stem.isdecimal() and int(path.stem) < count:
            found.setdefault(int(path.stem), path)
    return found
