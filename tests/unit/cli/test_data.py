"""`inkwash data`: encode and check, with one sentence and exit code 2 for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkwash.data.encode import OpenedExample

Run = Callable[..., Any]


class Grey:
    """An encoder without networks."""

    meta: dict[str, Any] = {"codes": 1}  # noqa: RUF012
    side = 128

    def __init__(self, *_: object) -> None:
        pass

    def __call__(self, pictures: Sequence[OpenedExample]) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        return [({"texts": []}, {"tokens": np.zeros((4, 4), dtype=np.int32)}) for _ in pictures]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("inkwash.recipes.encode.SampleEncoder", Grey)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (128, 128), (number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder


def test_encode_then_check(inkwash: Run, source: Path, tmp_path: Path) -> None:
    (source / "4.png").write_bytes(b"broken")
    out = tmp_path / "shards"
    made = inkwash("data", "encode", source, out, "--side", 128, "--per-shard", 3, "--max-skipped", 0.2)
    assert made.code == 0 and "4 of 5 examples in 2 shards, 1 skipped" in made.out
    assert "shard 2/2, 1 pictures skipped" in made.err
    assert json.loads((out / "skipped.jsonl").read_text())["file"].endswith("4.png")
    checked = inkwash("data", "check", out)
    assert checked.code == 0 and "128x128: 4 samples in 2 shards" in checked.out
    tar = out / "128x128-00001.tar"
    tar.write_bytes(tar.read_bytes()[:-1024] + bytes(1024))
    tar.write_bytes(tar.read_bytes().replace(b"picture 3", b"picture 7"))
    damaged = inkwash("data", "check", out)
    assert damaged.code == 1 and "128x128-00001.tar does not agree with its index" in damaged.out


def test_check_looks_at_pictures_before_anything_is_encoded(inkwash: Run, source: Path) -> None:
    assert inkwash("data", "check", source, "--side", 128).code == 0
    content = (source / "2.png").read_bytes()
    (source / "2.png").write_bytes(content[: len(content) // 2])
    Image.new("RGB", (30, 30)).save(source / "3.png")
    found = inkwash("data", "check", source, "--side", 128)
    assert found.code == 1
    assert "2.png" in found.out and "3.png: too small: 30x30 px" in found.out


def test_an_interrupted_folder_is_completed(inkwash: Run, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    command = ("data", "encode", source, out, "--side", 128, "--per-shard", 2, "-q")
    assert inkwash(*command).code == 0
    (out / "128x128-00001.tar").unlink()
    again = inkwash("data", "check", out)
    assert again.code == 2 and "128x128-00001.tar is missing" in again.err
    assert inkwash(*command).code == 0 and inkwash("data", "check", out).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--side", "100"], "multiples of 32"),
        (["--max-crop", "2"], "max_crop"),
        (["--max-skipped", "2"], "must be a share from 0 to 1"),
        (["--workers", "2"], "need --ray"),
        (["--batch", "0"], "must be"),
        (["--model", "nona"], "Unknown model 'nona'"),
    ],
)
def test_bad_settings(inkwash: Run, source: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    found = inkwash("data", "encode", source, tmp_path / "out", *arguments)
    assert found.code == 2 and said in found.err and found.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_caption_and_a_missing_source(inkwash: Run, source: Path, tmp_path: Path) -> None:
    (source / "1.txt").unlink()
    found = inkwash("data", "encode", source, tmp_path / "out")
    assert found.code == 2 and "No caption for" in found.err and "1.png" in found.err
    found = inkwash("data", "encode", tmp_path / "nowhere", tmp_path / "out")
    assert found.code == 2 and "nowhere does not exist" in found.err
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(inkwash: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = inkwash("data", "encode", source, tmp_path / "file" / "out", "--side", 128)
    assert found.code == 2 and "cannot be written" in found.err


def test_wrong_loras_are_told_before_a_model_is_loaded(inkwash: Run, tmp_path: Path) -> None:
    for choice, said in (("nowhere:0.5", "nowhere does not exist"), (f"{tmp_path}", "holds no adapter")):
        found = inkwash("generate", "a", "--lora", choice)
        assert found.code == 2 and said in found.err
