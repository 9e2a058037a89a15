"""Shards: plain tar files anyone can read, and our own index beside them for access in any order.

    NAME.tar    KEY.json (prompt, texts, source), KEY.tokens.npy, KEY.latents.npy ...   the WebDataset naming
    NAME.json   where each member lies (offset, size, CRC-32), which pictures were skipped and why
    index.json  all shards with their counts, grouped by canvas; what the numbers were made with

A shard holds one group (canvas, with or without references), so that a batch never mixes shapes. It appears under
its name when it is whole: the tar is moved into place first, its index second, and only what has an index counts.
"""

from __future__ import annotations

import fnmatch
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inkwash.core.errors import DataError
from inkwash.core.files import atomic_path, write_json

INDEX = "index.json"
FORMAT = "inkwash-shards"
VERSION = 1
OPEN_FILES = 32

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one example became: facts as JSON and arrays by name. The key is its name inside the tar (no dots)."""

    key: str
    facts: dict[str, Any]
    arrays: dict[str, Array]


@dataclass(frozen=True, kw_only=True)
class TarMember:
    """One file inside a tar: where its bytes lie."""

    offset: int
    size: int
    crc: int


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The sidecar of one shard. `samples` are (key, members by suffix); `skipped` are {"file", "reason"}."""

    name: str
    group: str
    bytes: int
    samples: tuple[tuple[str, dict[str, TarMember]], ...]
    skipped: tuple[dict[str, str], ...] = ()


def write_shard(
    folder: Path, name: str, group: str, samples: Iterable[Sample], skipped: Sequence[dict[str, str]] = ()
) -> ShardIndex:
    """Write `name`.tar and its index, whole or not at all; equal samples give equal bytes.

    `skipped` is read after the samples, so that a generator of samples may still add to it.
    """
    target = folder / f"{name}.tar"
    try:
        with atomic_path(target, sync=True) as partial:
            with tarfile.open(partial, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for sample in samples:
                    _add(tar, sample)
            index = scan_shard(partial, name=name, group=group, skipped=skipped)
        write_json(folder / f"{name}.json", _sidecar(index), indent=None, sync=True)
    except OSError as error:
        raise DataError(
            f"The shard {target} cannot be written ({error.strerror or error}): free space or fix its permissions and "
            "run the same command again; finished shards are kept."
        ) from error
    return index


def _add(tar: tarfile.TarFile, sample: Sample) -> None:
    if "." in sample.key or "/" in sample.key:
        raise ValueError(f"a key must hold no dot and no slash, got {sample.key!r}")
    files = {"json": json.dumps(sample.facts, ensure_ascii=False, sort_keys=True).encode()}
    for name, array in sample.arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
    for suffix, content in files.items():
        entry = tarfile.TarInfo(f"{sample.key}.{suffix}")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def scan_shard(path: Path, *, name: str, group: str, skipped: Sequence[dict[str, str]] = ()) -> ShardIndex:
    """The index of a tar, from the tar itself; DataError where it is damaged or cut short."""
    samples: dict[str, dict[str, TarMember]] = {}
    try:
        with tarfile.open(path, mode="r:") as tar, path.open("rb") as file:
            for entry in tar:
                key, _, suffix = entry.name.partition(".")
                file.seek(entry.offset_data)
                content = file.read(entry.size)
                if len(content) != entry.size:
                    raise tarfile.ReadError(f"{entry.name} is cut short")
                member = TarMember(offset=entry.offset_data, size=entry.size, crc=zlib.crc32(content))
                samples.setdefault(key, {})[suffix] = member
    except tarfile.TarError as error:
        raise DataError(f"The shard {path} is damaged ({error}): {_MEND}.") from error
    if without := [key for key, members in samples.items() if "json" not in members]:
        raise DataError(f"The shard {path} has no {without[0]}.json: a sample needs its facts; {_MEND}.")
    size = path.stat().st_size
    return ShardIndex(name=name, group=group, bytes=size, samples=tuple(samples.items()), skipped=tuple(skipped))


_MEND = "delete it and its .json and run inkwash data encode again, which writes only what is missing"


def _sidecar(index: ShardIndex) -> dict[str, Any]:
    samples = [
        {"key": key, "members": {suffix: [m.offset, m.size, m.crc] for suffix, m in members.items()}}
        for key, members in index.samples
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": index.name,
        "group": index.group,
        "bytes": index.bytes,
        "samples": samples,
        "skipped": list(index.skipped),
    }


def read_sidecar(path: Path) -> ShardIndex:
    """The index of one shard from its JSON file."""
    entry = read_json(path)
    try:
        samples = tuple(
            (one["key"], {suffix: TarMember(offset=o, size=s, crc=c) for suffix, (o, s, c) in one["members"].items()})
            for one in entry["samples"]
        )
        return ShardIndex(
            name=entry["name"],
            group=entry["group"],
            bytes=entry["bytes"],
            samples=samples,
            skipped=tuple(entry["skipped"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The shard index {path} is damaged ({error!r}): {_MEND}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the format; DataError in one sentence otherwise."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: run inkwash data encode again, it goes on where it stopped.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it and run inkwash data encode again.") from error
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise DataError(f"{path} is no index of Inkwash shards: write one with inkwash data encode.")
    if entry.get("version") != VERSION:
        raise DataError(
            f"{path} has version {entry.get('version')}, this Inkwash reads version {VERSION}: encode again."
        )
    return entry


def write_index(folder: Path, shards: Sequence[ShardIndex], meta: Mapping[str, Any]) -> None:
    """`index.json`: what makes a folder of shards a data set."""
    groups: dict[str, list[list[Any]]] = {}
    for shard in shards:
        if shard.samples:
            groups.setdefault(shard.group, []).append([shard.name, len(shard.samples)])
    content = {"format": FORMAT, "version": VERSION, "meta": dict(meta), "groups": groups}
    try:
        write_json(folder / INDEX, content, indent=None, sync=True)
    except OSError as error:
        raise DataError(
            f"{folder / INDEX} cannot be written ({error.strerror or error}): free space, run again."
        ) from error


def _read_at(file: io.BufferedReader, offset: int, size: int) -> bytes:
    """Bytes from a place, without moving the file's position: processes that were forked from this one share it."""
    if not hasattr(os, "pread"):  # a system without forks
        file.seek(offset)
        return file.read(size)
    pieces: list[bytes] = []
    while size > 0 and (piece := os.pread(file.fileno(), size, offset)):
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return b"".join(pieces)


@dataclass(eq=False)
class ShardSet:
    """A folder of shards, read at random: `read(group, shard, offset)`. Cheap to send to another process."""

    folder: Path
    meta: dict[str, Any] = field(init=False)
    groups: dict[str, list[tuple[str, int]]] = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        content = read_json(self.folder / INDEX)
        try:
            self.meta = dict(content["meta"])
            self.groups = {
                group: [(str(name), int(count)) for name, count in shards]
                for group, shards in content["groups"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{self.folder / INDEX} is damaged ({error!r}): run inkwash data encode again.") from error
        for shards in self.groups.values():
            for name, _ in shards:
                if not (self.folder / f"{name}.tar").is_file():
                    raise DataError(f"The shard {self.folder / name}.tar is missing: copy it again, or {_MEND}.")
        self._opened: dict[str, tuple[io.BufferedReader, ShardIndex]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}

    def __len__(self) -> int:
        return sum(count for shards in self.groups.values() for _, count in shards)

    def read(self, group: str, shard: int, offset: int, arrays: Sequence[str] | None = None) -> Sample:
        """Sample `offset` of shard number `shard` of a group; `arrays` names those to read (None: all).

        Patterns are allowed: "reference*.tokens".
        """
        name = self.groups[group][shard][0]
        file, index = self._open(name)
        key, members = index.samples[offset]
        wanted = [suffix for suffix in members if suffix != "json" and _is_wanted(suffix.removesuffix(".npy"), arrays)]
        found = {suffix: self._bytes(name, file, key, suffix, members[suffix]) for suffix in ("json", *wanted)}
        loaded = {
            suffix.removesuffix(".npy"): np.load(io.BytesIO(content), allow_pickle=False)
            for suffix, content in found.items()
            if suffix != "json"
        }
        return Sample(key=key, facts=json.loads(found["json"]), arrays=loaded)

    def _open(self, name: str) -> tuple[io.BufferedReader, ShardIndex]:
        if name in self._opened:
            return self._opened[name]
        path = self.folder / f"{name}.tar"
        index = read_sidecar(self.folder / f"{name}.json")
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataError(f"The shard {path} cannot be opened ({error.strerror or error}): copy it again.") from error
        if (size := os.fstat(file.fileno()).st_size) != index.bytes:
            file.close()
            raise DataError(f"The shard {path} is damaged: {size} bytes in place of {index.bytes}; {_MEND}.")
        while len(self._opened) >= OPEN_FILES:
            self._opened.pop(next(iter(self._opened)))[0].close()
        self._opened[name] = (file, index)
        return self._opened[name]

    def _bytes(self, name: str, file: io.BufferedReader, key: str, suffix: str, member: TarMember) -> bytes:
        content = _read_at(file, member.offset, member.size)
        if zlib.crc32(content) != member.crc:
            raise DataError(f"The shard {self.folder / name}.tar is damaged at {key}.{suffix} (checksum): {_MEND}.")
        return content

    def close(self) -> None:
        """Close the open tars."""
        while self._opened:
            self._opened.popitem()[1][0].close()

    def __del__(self) -> None:
        if hasattr(self, "_opened"):
            self.close()


def _is_wanted(name: str, wanted: Sequence[str] | None) -> bool:
    return wanted is None or any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)


def check_shards(folder: Path) -> list[str]:
    """Everything that is wrong with a folder of shards, one sentence each; every byte is read."""
    shards = ShardSet(folder)
    problems = []
    for group, members in shards.groups.items():
        for name, count in members:
            try:
                kept = read_sidecar(folder / f"{name}.json")
                found = scan_shard(folder / f"{name}.tar", name=name, group=group, skipped=kept.skipped)
                if len(found.samples) != count:
                    problems.append(f"The shard {name}.tar holds {len(found.samples)} samples in place of {count}.")
                elif found != kept:
                    problems.append(f"The shard {folder / name}.tar does not agree with its index: {_MEND}.")
            except DataError as error:
                problems.append(error.message)
    return problems
