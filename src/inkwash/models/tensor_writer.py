"""Safetensors files written one tensor after the other, so that a checkpoint of any size needs the memory of one.

    writer = TensorWriter(folder, "model", entries)      # names, kinds and shapes are known first
    for name in writer.names:
        writer.write(name, tensor)
    writer.close()

Files appear under their names only when all are complete. Data begin at a multiple of 64 bytes, the width of a cache
line, so that kernels read a mapped file as fast as their own memory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import torch
from torch import Tensor

from inkwash.core.errors import WeightsError
from inkwash.core.files import write_json
from inkwash.models.tensor_files import reason

KINDS = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGNMENT = 64
SHARD_BYTES = 5 * 10**9


@dataclass(frozen=True, kw_only=True)
class TensorEntry:
    """What one tensor will be."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class TensorWriter:
    """Writes the tensors of `entries`, in their order, as `base.safetensors` or as shards with an index."""

    def __init__(
        self, folder: Path, base: str, entries: Mapping[str, TensorEntry], *, max_shard_bytes: int = SHARD_BYTES
    ) -> None:
        self.folder, self.base, self._entries = folder, base, dict(entries)
        self.names = list(self._entries)
        self._shards = self._divide(max_shard_bytes)
        count = len(self._shards)
        self._files = (
            [f"{base}.safetensors"]
            if count == 1
            else [f"{base}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
        )
        self._next = 0
        self._file: BinaryIO | None = None
        needed = sum(entry.nbytes for entry in self._entries.values())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise self._failed(error) from error
        if free < needed:
            raise WeightsError(f"{folder} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: free some.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def write(self, name: str, tensor: Tensor) -> None:
        """The next tensor; its name, kind and shape must be those that were announced."""
        entry = self._entries[name]
        assert name == self.names[self._next], f"{name} is written where {self.names[self._next]} is due"
        assert tuple(tensor.shape) == entry.shape and tensor.dtype == entry.dtype, f"{name} is not what was announced"
        shard = next(number for number, names in enumerate(self._shards) if name in names)
        try:
            if name == self._shards[shard][0]:
                self._open(shard)
            assert self._file is not None
            if tensor.numel():
                flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
                self._file.write(flat.numpy().data)
            self._next += 1
            if name == self._shards[shard][-1]:
                self._file.close()
                self._file = None
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Give the files their names; an older set of the same base goes."""
        assert self._next == len(self.names), "not every announced tensor was written"
        index = self.folder / f"{self.base}.safetensors.index.json"
        try:
            old = {*self.folder.glob(f"{self.base}.safetensors"), *self.folder.glob(f"{self.base}-*-of-*.safetensors")}
            for number, file in enumerate(self._files):
                os.replace(self._partial(number), self.folder / file)
            for path in old - {self.folder / file for file in self._files}:
                path.unlink()
            if len(self._files) == 1:
                index.unlink(missing_ok=True)
                return
            placed = {name: file for names, file in zip(self._shards, self._files, strict=True) for name in names}
            total = sum(entry.nbytes for entry in self._entries.values())
            write_json(index, {"metadata": {"total_size": total}, "weight_map": placed})
        except OSError as error:
            raise self._failed(error) from error

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
        for number in range(len(self._files)):
            with suppress(OSError):
                self._partial(number).unlink()

    def _open(self, shard: int) -> None:
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        at = 0
        for name in self._shards[shard]:
            entry = self._entries[name]
            end = at + entry.nbytes
            header[name] = {"dtype": KINDS[entry.dtype], "shape": list(entry.shape), "data_offsets": [at, end]}
            at = end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % ALIGNMENT)
        self._file = self._partial(shard).open("wb")
        self._file.write(len(text).to_bytes(8, "little"))
        self._file.write(text)

    def _divide(self, most: int) -> list[list[str]]:
        shards: list[list[str]] = [[]]
        held = 0
        for name, entry in self._entries.items():
            if shards[-1] and held + entry.nbytes > most:
                shards.append([])
                held = 0
            shards[-1].append(name)
            held += entry.nbytes
        return shards

    def _partial(self, number: int) -> Path:
        return self.folder / f".{self._files[number]}.{os.getpid()}.partial"

    def _failed(self, error: OSError) -> WeightsError:
        return WeightsError(
            f"The weights could not be written to {self.folder} ({reason(error)}): "
            "check free space and permissions, or choose another folder."
        )
