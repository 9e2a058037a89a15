"""Pictures where the official scorers want them: found, or named when missing or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.benchmarks.pictures import ImagePath, cells, find_pictures, grid, is_black, through_jpeg
from tests.pictures import noise_picture
from tests.unit.eval.benchmarks.official import picture

PATHS = [ImagePath(path=f"CVTG/{area}/{index}") for area in (2, 3) for index in (0, 7, 10)]


def test_every_picture_is_found_in_order(tmp_path: Path) -> None:
    wanted = [picture(tmp_path / (path.path + (".jpg", ".png")[i % 2])) for i, path in enumerate(PATHS)]
    picture(tmp_path / "CVTG/2/00.png")  # another stem is another picture
    assert find_pictures(tmp_path, PATHS) == wanted


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    for path in PATHS[1:]:
        picture(tmp_path / path.example)
    with pytest.raises(MediaError, match=r"lacks 1 of the 6 pictures: CVTG/2/0\.png;"):
        find_pictures(tmp_path, PATHS)
    with pytest.raises(MediaError, match=r"CVTG/9/4\.png and 2 more"):
        find_pictures(tmp_path, [ImagePath(path=f"CVTG/9/{i}") for i in range(7)])
    with pytest.raises(MediaError, match="not a folder"):
        find_pictures(tmp_path / "nowhere", PATHS)


def test_a_wrong_suffix_does_not_count_and_two_files_are_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "0001_1.jpg")
    path = ImagePath(path="0001_1", suffixes=(".png",))
    with pytest.raises(MediaError, match=r"0001_1\.png"):
        find_pictures(tmp_path, [path])
    picture(tmp_path / "0001_1.png")
    assert find_pictures(tmp_path, [path]) == [tmp_path / "0001_1.png"]
    with pytest.raises(MediaError, match=r"0001_1\.jpg, 0001_1\.png; keep one"):
        find_pictures(tmp_path, [ImagePath(path="0001_1")])


def test_grid_and_cells_undo_each_other() -> None:
    colors = ("red", "green", "blue", "white")
    images = [Image.new("RGB", (6, 4), color) for color in colors]
    whole = grid(images)
    assert whole.size == (12, 8) and whole.getpixel((11, 0)) == (0, 128, 0)
    assert [cell.tobytes() for cell in cells(whole)] == [image.tobytes() for image in images]
    with pytest.raises(MediaError, match="13x8"):
        cells(Image.new("RGB", (13, 8)))
    with pytest.raises(ConfigError, match="2 sizes"):
        grid([images[0], images[1].resize((2, 2))])


def test_black_cells_and_the_jpeg_that_is_judged() -> None:
    assert is_black(Image.new("RGB", (4, 4)))
    almost = Image.new("RGB", (4, 4))
    almost.putpixel((3, 3), (0, 1, 0))
    assert not is_black(almost)
    noisy = noise_picture((32, 32), 80)
    judged = through_jpeg(noisy)
    assert judged.size == noisy.size and judged.tobytes() != noisy.tobytes()
