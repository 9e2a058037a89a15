"""Shards: what is written is read back, in any order, and everything that can be wrong with one is told."""

from __future__ import annotations

import errno
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from inkwash.core.errors import DataError
from inkwash.data import shards as module
from inkwash.data.shards import Sample, ShardSet, check_shards, read_sidecar, write_index, write_shard


def sample(number: int) -> Sample:
    arrays = {
        "tokens": np.full((2, 3), number, dtype=np.int32),
        "latents": np.full((4, 8, 12), number / 10, dtype=np.float16),
        "reference0.tokens": np.arange(number + 1, dtype=np.int32)[None],
    }
    return Sample(key=f"{number:09d}", facts={"prompt": f"“Bücher” {number}", "texts": ["Bücher"]}, arrays=arrays)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = write_shard(tmp_path, "96x64-00000", "96x64", [sample(i) for i in range(3)])
    second = write_shard(tmp_path, "96x64-00001", "96x64", [sample(i) for i in range(3, 5)])
    write_index(tmp_path, [first, second], {"codes": 7})
    return tmp_path


def test_samples_come_back_in_any_order(folder: Path) -> None:
    shards = ShardSet(folder)
    assert len(shards) == 5 and shards.meta == {"codes": 7}
    for number in (4, 0, 3, 2, 1):
        found = shards.read("96x64", number // 3, number % 3)
        wanted = sample(number)
        assert (found.key, found.facts) == (wanted.key, wanted.facts)
        assert found.arrays.keys() == wanted.arrays.keys()
        for name, array in wanted.arrays.items():
            assert found.arrays[name].dtype == array.dtype and np.array_equal(found.arrays[name], array)


def test_only_the_asked_arrays_are_read(folder: Path) -> None:
    found = ShardSet(folder).read("96x64", 1, 0, ("tokens", "reference*.tokens"))
    assert set(found.arrays) == {"tokens", "reference0.tokens"}


def test_a_shard_is_a_plain_tar_in_the_common_naming(folder: Path) -> None:
    with tarfile.open(folder / "96x64-00000.tar") as tar:
        names = tar.getnames()
    assert names[:4] == [f"000000000.{s}" for s in ("json", "tokens.npy", "latents.npy", "reference0.tokens.npy")]
    keys = [name.partition(".")[0] for name in names]
    assert keys == sorted(keys), "a reader in sequence needs the files of a sample together"


def test_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path, name, "96x64", [sample(1)])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_a_set_travels_to_a_worker_process(folder: Path) -> None:
    shards = ShardSet(folder)
    shards.read("96x64", 0, 0)
    copy = pickle.loads(pickle.dumps(shards))
    assert copy.read("96x64", 1, 1).key == "000000004"


def test_workers_that_were_forked_read_the_same_open_file_at_once(folder: Path) -> None:
    """They share its position, so reading neither depends on it nor moves it; else each reads what others sought."""
    shards = ShardSet(folder)
    shards.read("96x64", 0, 0)
    file, _ = shards._opened["96x64-00000"]
    os.lseek(file.fileno(), 7, os.SEEK_SET)
    for number in (2, 0, 1):
        assert shards.read("96x64", 0, number).key == sample(number).key
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 7


@pytest.mark.parametrize("place", [1, 2])
def test_a_flipped_byte_is_found(folder: Path, place: int) -> None:
    path = folder / "96x64-00000.tar"
    member = read_sidecar(folder / "96x64-00000.json").samples[place][1]["latents.npy"]
    content = bytearray(path.read_bytes())
    content[member.offset + member.size - 1] ^= 1
    path.write_bytes(content)
    shards = ShardSet(folder)
    assert shards.read("96x64", 0, 0).key == "000000000"
    with pytest.raises(DataError, match=r"96x64-00000\.tar is damaged at 00000000[12]\.latents\.npy"):
        shards.read("96x64", 0, place)
    assert len(check_shards(folder)) == 1


def test_a_shard_cut_short_is_found_before_it_is_read(folder: Path) -> None:
    path = folder / "96x64-00001.tar"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(DataError, match=r"96x64-00001\.tar is damaged: \d+ bytes in place of \d+"):
        ShardSet(folder).read("96x64", 1, 0)
    assert any("96x64-00001.tar" in problem for problem in check_shards(folder))


def test_a_missing_shard_is_named_at_once(folder: Path) -> None:
    (folder / "96x64-00001.tar").unlink()
    with pytest.raises(DataError, match=r"96x64-00001\.tar is missing"):
        ShardSet(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("{}", "no index of Inkwash shards"),
        ('{"format": "inkwash-shards", "version": 9}', "version 9"),
    ],
)
def test_a_foreign_index_is_told(folder: Path, content: str, said: str) -> None:
    (folder / "index.json").write_text(content)
    with pytest.raises(DataError, match=said):
        ShardSet(folder)


def test_a_full_disk_leaves_no_half_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(DataError, match=r"96x64-00002\.tar cannot be written \(No space left on device\)"):
        write_shard(folder, "96x64-00002", "96x64", [sample(9)])
    assert not list(folder.glob("*00002*")) and not list(folder.glob(".*partial")), "the half-written file must go"
    assert len(ShardSet(folder)) == 5


def test_keys_with_dots_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no dot"):
        write_shard(tmp_path, "a", "96x64", [Sample(key="a.b", facts={}, arrays={})])
    assert not list(tmp_path.iterdir())
