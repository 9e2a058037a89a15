"""Files of drawn pictures: numbered instead of overwritten, in folders that are made, claimed before writing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import MediaError
from inkwash.media import images
from inkwash.media.images import check_output, free_names, load_image, save_output, save_outputs

PICTURE = Image.new("RGB", (4, 4), "red")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_names_go_on_after_the_highest_number(tmp_path: Path) -> None:
    base = tmp_path / "a.png"
    assert free_names(base) == [base] and free_names(base, 2) == [tmp_path / "a-1.png", tmp_path / "a-2.png"]
    for name in ("a.png", "a-7.png", "a-x.png", "b-9.png", "a-8.webp"):
        (tmp_path / name).touch()
    assert free_names(base) == [tmp_path / "a-8.png"]
    assert free_names(base, 2) == [tmp_path / "a-8.png", tmp_path / "a-9.png"]
    assert free_names(base, overwrite=True) == [base]
    assert free_names(base, 2, overwrite=True) == [tmp_path / "a-1.png", tmp_path / "a-2.png"]


def test_a_dangling_link_is_a_taken_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert save_output(PICTURE, tmp_path / "a.png") == tmp_path / "a-1.png"


def test_folders_are_made_at_last(tmp_path: Path) -> None:
    check_output(tmp_path / "x" / "y" / "a.png", 3)
    assert names(tmp_path) == []
    assert load_image(save_output(PICTURE, tmp_path / "x" / "y" / "a.png")).size == (4, 4)
    (tmp_path / "file").touch()
    for path, word in (
        (tmp_path / "file" / "a.png", "cannot be written"),
        (Path("/proc/x/a.png"), "cannot be written"),
    ):
        with pytest.raises(MediaError, match=word):
            check_output(path)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        check_output(tmp_path / "folder.png")


def test_commands_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    name = free_names(tmp_path / "a.png")[0]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: save_outputs(PICTURE, name, tmp_path / "a.png"), range(16)))
    assert len(set(done)) == 16 == len(names(tmp_path))
    assert all(load_image(path).size == (4, 4) for path in done)


def test_a_failed_picture_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MediaError("The disk is full.")

    monkeypatch.setattr(images, "save_image", full)
    with pytest.raises(MediaError, match="full"):
        save_output(PICTURE, tmp_path / "a.png")
    assert names(tmp_path) == []
