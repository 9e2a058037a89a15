"""Files and folders appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inkwash.core.files import atomic_path, atomic_write, staging_folder, write_json


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_as_a_whole(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "één", sync=sync)
    assert path.read_bytes() == "één".encode()
    atomic_write(path, b"two", sync=sync)
    assert path.read_bytes() == b"two" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half")
            assert path.read_text() == "old"
            raise failure

    with pytest.raises(failure):
        write()
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_cannot_be_written_raises_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        atomic_write(tmp_path / "missing" / "a.txt", "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        atomic_write(tmp_path / "folder", "a")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    atomic_write(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_path(path) as first, atomic_path(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the block that ended last"


def test_json_is_utf_8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"text": "你好"})
    assert "你好" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"text": "你好"}


def test_a_staging_folder_is_removed_unless_it_was_put_in_place(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "a") as partial:
        partial.mkdir()
    assert not os.listdir(tmp_path)
    with staging_folder(tmp_path / "a") as partial:
        partial.mkdir()
        partial.rename(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
