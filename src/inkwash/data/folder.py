"""A user's own pictures with their words: a folder or a JSONL file, read as a list of examples.

A folder holds pictures, each with a text file of the same name beside it (`cat.png` + `cat.txt`), or one
`metadata.jsonl`. A JSONL file has one object per line, paths relative to the file:

    {"prompt": "A poster that says \\"SALE\\"", "image": "sale.png"}
    {"instruction": "Make the background blue", "references": ["sale.png"], "image": "sale_blue.png"}

`text` and `file_name` are read as `prompt` and `image` (the image-folder layout of other libraries).
Pictures are not opened here; a missing caption is an error before any work begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import DataError

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".ppm"})
METADATA = "metadata.jsonl"
PROMPT_KEYS = ("prompt", "instruction", "text")
IMAGE_KEYS = ("image", "file_name")
KNOWN_KEYS = frozenset({*PROMPT_KEYS, *IMAGE_KEYS, "references"})
MAX_REFERENCES = 8
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn: the words, the picture they ask for, and the pictures an instruction starts from."""

    prompt: str
    image: Path
    references: tuple[Path, ...] = ()

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The picture to draw, then its references."""
        return (self.image, *self.references)


def read_source(source: str | Path) -> list[Example]:
    """All examples of a folder or JSONL file, in an order that depends on names and lines only.

    Raises DataError for a source that does not exist or is empty, a picture without a caption, or a malformed line.
    """
    path = Path(source)
    if path.is_file():
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            raise DataError(f"{path} is no training data: give a folder of pictures or a .jsonl file.")
        examples = list(_lines(path))
    elif path.is_dir():
        metadata = path / METADATA
        examples = list(_lines(metadata)) if metadata.is_file() else _pairs(path)
    else:
        raise DataError(f"{path} does not exist: give a folder of pictures or a .jsonl file.")
    if not examples:
        raise DataError(f"{path} holds no examples: expected pictures with captions, or lines of JSON.")
    return examples


def _pairs(folder: Path) -> list[Example]:
    """Pictures at any depth with the text files beside them; hidden folders (.git, .cache) hold nothing to learn."""
    pictures = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    without = [path for path in pictures if not path.with_suffix(".txt").is_file()]
    if without:
        names = ", ".join(str(path) for path in without[:_SHOWN])
        more = f" and {len(without) - _SHOWN} more" if len(without) > _SHOWN else ""
        raise DataError(
            f"No caption for {names}{more}: write it into {without[0].with_suffix('.txt').name} beside the picture, "
            f"or describe the folder in {METADATA}."
        )
    return [Example(prompt=_caption(path.with_suffix(".txt")), image=path) for path in pictures]


def _caption(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The caption {path} cannot be read ({error}): save it as UTF-8 text.") from error
    if not text:
        raise DataError(f"The caption {path} is empty: write what the picture shows.")
    return " ".join(text.split())


def _lines(path: Path) -> Iterator[Example]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _example(line, f"{path}, line {number}", path.parent)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): save it as UTF-8 text.") from error


def _example(line: str, where: str, base: Path) -> Example:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON ({error}): write one object per line.") from error
    if not isinstance(entry, dict):
        raise DataError(f'{where} is no JSON object: write it like {{"prompt": ..., "image": ...}}.')
    if unknown := sorted(set(entry) - KNOWN_KEYS):
        raise DataError(f"{where} has the unknown key {unknown[0]!r}: known are {', '.join(sorted(KNOWN_KEYS))}.")
    prompt, image = _one(entry, PROMPT_KEYS, where), _one(entry, IMAGE_KEYS, where)
    references = entry.get("references", [])
    names = [references] if isinstance(references, str) else references
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{where}: references must be a list of picture paths, got {references!r}.")
    if len(names) > MAX_REFERENCES:
        raise DataError(f"{where} has {len(names)} references: at most {MAX_REFERENCES} are read.")
    if "instruction" in entry and not names:
        raise DataError(f"{where} has an instruction without references: name the pictures it starts from.")
    return Example(prompt=prompt, image=base / image, references=tuple(base / name for name in names))


def _one(entry: dict[str, Any], keys: tuple[str, ...], where: str) -> str:
    """The text under the one of the keys that is there."""
    found = [key for key in keys if key in entry]
    what = " or ".join(repr(key) for key in keys)
    if len(found) != 1:
        raise DataError(f"{where} has {'no' if not found else 'more than one'} {what}: give exactly one of them.")
    value = entry[found[0]]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {found[0]} must be a text, got {value!r}.")
    return value.strip()
