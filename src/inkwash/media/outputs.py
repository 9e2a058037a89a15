"""Where pictures are written: no file is overwritten unasked, and missing folders are made.

A name that is taken gets a number: `out.png`, then `out-1.png`, `out-2.png`. Several pictures are numbered from the
start, and numbers go on after the highest one there. A name is claimed by creating the file, so that two commands at
the same time never write to one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.types import PathLike
from inkwash.media.images import check_writable, save_image

_ATTEMPTS = 100


def free_names(output: PathLike, count: int = 1, *, overwrite: bool = False) -> list[Path]:
    """The files of `count` pictures; with `overwrite` those that a run into an empty folder would write."""
    target = Path(output)
    if count == 1 and (overwrite or not os.path.lexists(target)):
        return [target]
    first = 1 if overwrite else _highest(target) + 1
    return [target.with_stem(f"{target.stem}-{first + i}") for i in range(count)]


def check_output(output: PathLike, count: int = 1, *, overwrite: bool = False) -> None:
    """Raises MediaError unless the pictures can be written, missing folders included; leaves all as it is."""
    if Path(output).is_dir():
        check_writable(output)
    for name in free_names(output, count, overwrite=overwrite):
        check_writable(name, make_folders=True)


def save_outputs(
    image: Image.Image,
    name: Path,
    base: PathLike,
    *,
    overwrite: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a picture under a name of `free_names(base, ...)`, or the next free one if it was taken meanwhile."""
    check_writable(name, make_folders=True)
    name.parent.mkdir(parents=True, exist_ok=True)
    if overwrite:
        return save_image(image, name, metadata=metadata)
    name = _claim(name, base)
    try:
        return save_image(image, name, metadata=metadata)
    except BaseException:
        name.unlink(missing_ok=True)  # the empty file that held the name
        raise


def save_output(
    image: Image.Image, output: PathLike, *, overwrite: bool = False, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Writes one picture; returns the file, which has a number if `output` is taken."""
    return save_outputs(
        image, free_names(output, overwrite=overwrite)[0], output, overwrite=overwrite, metadata=metadata
    )


def _claim(name: Path, base: PathLike) -> Path:
    for _ in range(_ATTEMPTS):
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return name
        except FileExistsError:
            target = Path(base)
            name = target.with_stem(f"{target.stem}-{_highest(target) + 1}")
        except OSError:
            return name  # save_image says why
    return name


def _highest(target: Path) -> int:
    """The highest number that a sibling of the target has, 0 without one."""
    numbered = re.compile(re.escape(target.stem) + r"-(\d{1,9})" + re.escape(target.suffix))
    try:
        found = [numbered.fullmatch(entry) for entry in os.listdir(target.parent)]
    except OSError:
        return 0
    return max((int(match[1]) for match in found if match), default=0)
