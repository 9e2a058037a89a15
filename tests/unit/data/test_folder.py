"""A user's folder or JSONL: what is read, and one clear sentence for everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import DataError
from inkwash.core.types import Size
from inkwash.data.buckets import Buckets, crop_loss, fit
from inkwash.data.folder import Example, read_source


def picture(path: Path, caption: str | None = "a picture") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64)).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def test_pictures_with_captions_beside_them(tmp_path: Path) -> None:
    b, a = picture(tmp_path / "b.png", 'Ein "Schild"\n'), picture(tmp_path / "deep" / "a.jpg", "  two\n lines ")
    picture(tmp_path / ".cache" / "x.png", None)
    (tmp_path / "notes.md").write_text("no picture")
    assert read_source(tmp_path) == [Example(prompt='Ein "Schild"', image=b), Example(prompt="two lines", image=a)]


def test_lines_of_json_with_prompts_and_instructions(tmp_path: Path) -> None:
    lines = [
        {"prompt": "A sign", "image": "a.png"},
        {"instruction": "Make it blue", "references": ["a.png", "/abs/b.png"], "image": "c.png"},
        {"text": "as other libraries write it", "file_name": "d.png"},
        {"prompt": "one reference", "references": "a.png", "image": "e.png"},
    ]
    path = tmp_path / "metadata.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    found = read_source(path)
    assert found == read_source(tmp_path), "a folder with this file is described by it"
    assert found[1].references == (tmp_path / "a.png", Path("/abs/b.png"))
    assert [example.prompt for example in found][2:] == ["as other libraries write it", "one reference"]


def test_a_missing_caption_names_the_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for name in "bcde":
        picture(tmp_path / f"{name}.png", None)
    with pytest.raises(
        DataError, match=r"No caption for .*b\.png, .*c\.png, .*d\.png and 1 more: write it into b\.txt"
    ):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 2 is not JSON"),
        ("[1]", "line 2 is no JSON object"),
        ('{"image": "a.png"}', "line 2 has no 'prompt' or 'instruction' or 'text'"),
        ('{"prompt": "a", "text": "b", "image": "a.png"}', "line 2 has more than one"),
        ('{"prompt": "a"}', "line 2 has no 'image'"),
        ('{"prompt": " ", "image": "a.png"}', "prompt must be a text"),
        ('{"prompt": "a", "image": 3}', "image must be a text"),
        ('{"prompt": "a", "image": "a.png", "references": [1]}', "references must be a list"),
        ('{"instruction": "a", "image": "a.png"}', "an instruction without references"),
        ('{"prompt": "a", "image": "a.png", "imges": []}', "unknown key 'imges'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "fine", "image": "a.png"}\n' + line + "\n")
    with pytest.raises(DataError, match=said):
        read_source(path)


@pytest.mark.parametrize("name", ["missing", "file.csv", "empty"])
def test_no_data_at_all(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.csv").write_text("a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=name):
        read_source(tmp_path / name)


def test_an_empty_caption_and_one_that_is_no_text(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", " ")
    with pytest.raises(DataError, match=r"a\.txt is empty"):
        read_source(tmp_path)
    path.with_suffix(".txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt cannot be read"):
        read_source(tmp_path)


def test_buckets_have_one_area_and_whole_cells() -> None:
    sizes = Buckets(sides=(512,), max_aspect=2.0).sizes(512)
    assert Size(512, 512) in sizes and len(sizes) > 6
    for size in sizes:
        assert size.width % 32 == 0 == size.height % 32
        assert 0.85 <= size.width * size.height / 512**2 <= 1.15 and size.aspect <= 2.0
        assert Size(size.height, size.width) in sizes


def test_a_picture_goes_where_it_loses_least() -> None:
    buckets = Buckets(sides=(256, 512), max_crop=0.2)
    assert buckets.find(256, 256) == Size(256, 256)
    assert buckets.find(4000, 4000) == Size(512, 512)
    for width, height in ((2000, 1000), (1600, 900), (3000, 2000), (1000, 1333)):
        found = buckets.find(width, height)
        assert isinstance(found, Size) and crop_loss(width, height, found) < 0.05, found
    assert buckets.find(300, 200).width > buckets.find(300, 200).height
    assert "too small: 300x100" in buckets.find(300, 100)
    assert "too long: 2000x500" in buckets.find(2000, 500)
    assert buckets.find(130, 130) == Size(256, 256), "a little enlarged"


def test_fitting_covers_the_canvas_and_crops_the_middle() -> None:
    image = Image.new("RGB", (100, 50), "red")
    image.paste("blue", (25, 0, 75, 50))
    made = fit(image, Size(64, 64))
    assert made.size == (64, 64) and made.getpixel((3, 32)) == (0, 0, 255) == made.getpixel((60, 32))
    assert fit(made, Size(64, 64)) is made


@pytest.mark.parametrize("wrong", [{"sides": (250,)}, {"sides": ()}, {"max_aspect": 5.0}, {"max_crop": 1.0}])
def test_impossible_buckets(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Buckets(**wrong)  # type: ignore[arg-type]
