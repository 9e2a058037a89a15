"""What reference pictures cost once: their semantic ids and the decoder's keys, kept by content and bounded in bytes.

Someone who edits step by step sends the same picture again and again, and each of n samples reads it anew. An entry's
name is a digest of the pixels and of all else that it depends on, so requests share entries whoever sent them, and a
hit is exact. The oldest entries go first; one that alone exceeds the bound is not kept.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

from torch import Tensor

from inkwash.models.glm_image.decoder_blocks import KeyValue

Kept = Tensor | list[KeyValue]
Value = TypeVar("Value", Tensor, list[KeyValue])


@dataclass(frozen=True, kw_only=True)
class CacheStats:
    """How often an entry was found or had to be made, and how much is kept."""

    hits: int
    misses: int
    entries: int
    bytes: int


class ReferenceCache:
    """A thread-safe least-recently-used store of tensors; two threads that miss at once both compute."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = self._hits = self._misses = 0
        self._edition = 0

    def get(self, kind: str, tensors: Iterable[Tensor], make: Callable[[], Value]) -> Value:
        """The entry made from these tensors, or `make()` now."""
        name = f"{kind}-{digest(tensors)}"
        with self._lock:
            found, edition = self._entries.get(name), self._edition
            if found is not None:
                self._entries.move_to_end(name)
                self._hits += 1
                return cast("Value", found)
            self._misses += 1
        value = make()
        size = size_of(value)
        with self._lock:
            if edition == self._edition and size <= self.max_bytes and name not in self._entries:
                self._entries[name] = value
                self._bytes += size
                while self._bytes > self.max_bytes:
                    self._bytes -= size_of(self._entries.popitem(last=False)[1])
        return value

    def clear(self) -> None:
        """Forget everything, also what is being made: the weights changed."""
        with self._lock:
            self._entries.clear()
            self._bytes, self._edition = 0, self._edition + 1

    def stats(self) -> CacheStats:
        with self._lock:
            return CacheStats(hits=self._hits, misses=self._misses, entries=len(self._entries), bytes=self._bytes)


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over shapes, number types and contents."""
    sha = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous()
        sha.update(f"{tuple(array.shape)} {array.dtype};".encode())
        sha.update(array.numpy().tobytes())
    return sha.hexdigest()


def size_of(value: Kept) -> int:
    """Bytes of an entry."""
    tensors = [value] if isinstance(value, Tensor) else [each for pair in value for each in pair]
    return sum(each.numel() * each.element_size() for each in tensors)
