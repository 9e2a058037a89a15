"""Pre-encoding: a user's pictures become shards of semantic tokens, latents and token ids, once.

The work is cut into jobs before it begins, one per shard, by names and sizes alone. A job that was finished is not
done again, so that an interrupted command goes on where it stopped and one machine, many processes or a cluster write
the same shards. The networks arrive as a callable (`recipes.encode`), because this package knows none.

Broken, tiny and overlong pictures are counted, listed in `skipped.jsonl` with the reason, and left out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from inkwash.core.errors import DataError, InkwashError, MediaError
from inkwash.core.types import Size
from inkwash.data.buckets import Buckets, fit, group_name
from inkwash.data.folder import Example
from inkwash.data.shards import (
    FORMAT,
    INDEX,
    VERSION,
    Sample,
    ShardIndex,
    read_json,
    read_sidecar,
    write_index,
    write_json,
    write_shard,
)
from inkwash.media.images import image_size, load_image

PLAN = "plan.json"
SKIPPED = "skipped.jsonl"
READERS = 8


@dataclass(frozen=True, kw_only=True)
class OpenedExample:
    """One example with its pictures opened: the target on its canvas, references as they are."""

    prompt: str
    image: Image.Image
    references: tuple[Image.Image, ...] = ()


class ExampleEncoder(Protocol):
    """Networks at work: facts and arrays of a few pictures that share a canvas."""

    def __call__(self, pictures: Sequence[OpenedExample]) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]: ...


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """One shard's work: numbered examples of one group."""

    name: str
    group: str
    size: Size
    examples: tuple[tuple[int, Example], ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a whole encoding came to."""

    samples: int
    shards: int
    skipped: tuple[dict[str, str], ...]


Skipped = dict[str, str]
Runner = Callable[[Sequence[ShardTask], Callable[[], ExampleEncoder], Path, int], Iterable[ShardIndex]]


def plan_jobs(examples: Sequence[Example], buckets: Buckets, per_shard: int) -> tuple[list[ShardTask], list[Skipped]]:
    """Cut the work into shards after a look at every picture's header."""
    groups: dict[tuple[str, Size], list[tuple[int, Example]]] = {}
    skipped: list[Skipped] = []
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda example: _place(example, buckets), examples)
        for number, (example, place) in enumerate(zip(examples, found, strict=True)):
            if isinstance(place, Size):
                group = group_name(place.width, place.height, len(example.references))
                groups.setdefault((group, place), []).append((number, example))
            else:
                skipped.append(place)
    jobs = []
    for (group, size), members in sorted(groups.items()):
        for part, begin in enumerate(range(0, len(members), per_shard)):
            chosen = tuple(members[begin : begin + per_shard])
            jobs.append(ShardTask(name=f"{group}-{part:05d}", group=group, size=size, examples=chosen))
    return jobs, skipped


def _place(example: Example, buckets: Buckets) -> Size | Skipped:
    """The canvas of an example, or why it has none."""
    path = example.image
    try:
        place = buckets.find(*image_size(path))
        for path in example.references:
            width, height = image_size(path)
            if min(width, height) < buckets.smallest:
                return _skip(path, f"too small: {width}x{height} px as a reference")
            if max(width, height) > 4 * min(width, height):
                return _skip(path, f"too long: {width}x{height} px as a reference")
    except MediaError as error:
        return _skip(path, error.message)
    return place if isinstance(place, Size) else _skip(example.image, place)


def _skip(path: Path, reason: str) -> Skipped:
    return {"file": str(path), "reason": reason}


def run_job(job: ShardTask, encoder: ExampleEncoder, folder: Path, batch: int) -> ShardIndex:
    """Open, encode and write one shard; pictures that turn out broken are skipped with their reason."""
    skipped: list[Skipped] = []
    return write_shard(folder, job.name, job.group, _samples(job, encoder, batch, skipped), skipped)


def _samples(job: ShardTask, encoder: ExampleEncoder, batch: int, skipped: list[Skipped]) -> Iterator[Sample]:
    opened = (pair for number, example in job.examples if (pair := _open(number, example, job.size, skipped)))
    while chunk := list(itertools.islice(opened, batch)):
        encoded = encoder([picture for _, _, picture in chunk])
        for (number, example, _), (facts, arrays) in zip(chunk, encoded, strict=True):
            metadata = {"prompt": example.prompt, "file": example.image.name, **facts}
            yield Sample(key=f"{number:09d}", facts=metadata, arrays=arrays)


def _open(
    number: int, example: Example, size: Size, skipped: list[Skipped]
) -> tuple[int, Example, OpenedExample] | None:
    path = example.image
    try:
        image = fit(load_image(path), size)
        references = []
        for path in example.references:
            references.append(load_image(path))
    except MediaError as error:
        skipped.append(_skip(path, error.message))
        return None
    return number, example, OpenedExample(prompt=example.prompt, image=image, references=tuple(references))


def run_here(
    jobs: Sequence[ShardTask], make: Callable[[], ExampleEncoder], folder: Path, batch: int
) -> Iterator[ShardIndex]:
    """All jobs one after another in this process; the networks are loaded when the first is due."""
    encoder = make() if jobs else None
    for job in jobs:
        assert encoder is not None
        yield run_job(job, encoder, folder, batch)


def encode(
    examples: Sequence[Example],
    out: Path,
    make: Callable[[], ExampleEncoder],
    *,
    meta: Mapping[str, Any],
    buckets: Buckets,
    per_shard: int = 1000,
    batch: int = 8,
    max_skipped: float = 0.1,
    runner: Runner = run_here,
    report: Callable[[int, int, int], None] = lambda done, total, skipped: None,
) -> Outcome:
    """Write or complete the shards of `examples` in `out`; `report(shards done, of, pictures skipped)`.

    `meta` says which networks encode and belongs to the data set. More than `max_skipped` skipped is an error, after
    everything was written except the index that makes it usable; asking again with a higher limit takes no time.
    """
    jobs, skipped = plan_jobs(examples, buckets, per_shard)
    claim(out, {"meta": dict(meta), "work": fingerprint(examples, buckets, per_shard)})
    done = {job.name: found for job in jobs if (found := _finished(out, job)) is not None}
    missing = [job for job in jobs if job.name not in done]
    count = len(skipped) + sum(len(index.skipped) for index in done.values())
    report(len(done), len(jobs), count)
    for index in runner(missing, make, out, batch):
        done[index.name] = index
        count += len(index.skipped)
        report(len(done), len(jobs), count)
    shards = [done[job.name] for job in jobs]
    skipped += [one for shard in shards for one in shard.skipped]
    _write_skipped(out / SKIPPED, skipped)
    total = sum(len(shard.samples) for shard in shards)
    if not total or len(skipped) > max_skipped * len(examples):
        raise DataError(
            f"{len(skipped)} of {len(examples)} pictures were skipped, for reasons that stand in {out / SKIPPED}: "
            f"repair them, or allow more with --max-skipped (now {max_skipped:g})."
        )
    write_index(out, shards, meta)
    return Outcome(samples=total, shards=len(shards), skipped=tuple(skipped))


def fingerprint(examples: Sequence[Example], buckets: Buckets, per_shard: int) -> str:
    """A short hash of what is to be encoded and how it is cut; pictures count by name, size and time."""
    digest = hashlib.sha256(repr((buckets, per_shard)).encode())
    for example in examples:
        for path in example.pictures:
            try:
                stat = path.stat()
                digest.update(f"{path.name}/{stat.st_size}/{stat.st_mtime_ns}".encode())
            except OSError:
                digest.update(f"{path.name}/missing".encode())
        digest.update(example.prompt.encode())
    return digest.hexdigest()[:16]


def claim(out: Path, plan: dict[str, Any]) -> None:
    """Make the folder ours: new or empty, or holding the beginning of exactly this work."""
    file = out / PLAN
    content = {"format": FORMAT, "version": VERSION, **plan}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file.is_file():
            if read_json(file) != content:
                raise DataError(
                    f"{out} holds shards of other pictures, captions, settings or networks: choose a new folder."
                )
            return
        if any(out.iterdir()):
            raise DataError(f"{out} is not empty and holds no {PLAN}: choose a new folder.")
        write_json(file, content, indent=None, sync=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}): choose another folder.") from error


def _finished(out: Path, job: ShardTask) -> ShardIndex | None:
    """The shard of a job when it was written whole before."""
    tar, sidecar = out / f"{job.name}.tar", out / f"{job.name}.json"
    if not tar.is_file() or not sidecar.is_file():
        return None
    try:
        index = read_sidecar(sidecar)
    except InkwashError:
        return None
    return index if tar.stat().st_size == index.bytes else None


def _write_skipped(path: Path, skipped: Sequence[Skipped]) -> None:
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in skipped)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error}): free space, run again.") from error


def is_shards(folder: Path) -> bool:
    """Whether a folder is a data set of shards rather than of pictures."""
    return (folder / INDEX).is_file()
