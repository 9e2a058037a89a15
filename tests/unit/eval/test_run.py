"""Drawing many pictures: batches, order, resuming, and folders of other runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.run import Draw, draw_all, fingerprint, load_all


class Painter:
    """Draws picture i in the colour i and remembers the batches it was asked for."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.batches: list[list[int]] = []
        self.opened = 0
        self.fail_at = fail_at

    def open(self) -> Draw:
        self.opened += 1
        return self.draw

    def draw(self, numbers: Sequence[int]) -> list[Image.Image]:
        self.batches.append(list(numbers))
        if self.fail_at in numbers:
            raise RuntimeError("power cut")
        return [Image.new("RGB", (32, 32), (i, 0, 0)) for i in numbers]


def colours(images: Sequence[Image.Image]) -> list[int]:
    return [image.getpixel((0, 0))[0] for image in images]  # type: ignore[index]


def test_batches_keep_the_order() -> None:
    painter, seen = Painter(), []
    drawn = draw_all(painter.open, 7, batch=3, progress=lambda done, total: seen.append((done, total)))
    assert colours(drawn.images) == list(range(7))
    assert painter.batches == [[0, 1, 2], [3, 4, 5], [6]]
    assert seen == [(0, 7), (3, 7), (6, 7), (7, 7)]
    assert drawn.seconds >= 0


def test_a_second_run_draws_only_what_is_missing(tmp_path: Path) -> None:
    broken = Painter(fail_at=4)
    with pytest.raises(RuntimeError):
        draw_all(broken.open, 6, batch=2, folder=tmp_path, settings={"seed": 1})
    painter = Painter()
    drawn = draw_all(painter.open, 6, batch=2, folder=tmp_path, settings={"seed": 1})
    assert painter.batches == [[4, 5]]
    assert colours(drawn.images) == list(range(6))
    finished = Painter()
    again = draw_all(finished.open, 6, folder=tmp_path, settings={"seed": 1})
    assert finished.opened == 0 and math.isnan(again.seconds) and colours(again.images) == list(range(6))


def test_pictures_of_two_runs_are_never_mixed(tmp_path: Path) -> None:
    draw_all(Painter().open, 2, folder=tmp_path, settings={"seed": 1, "regions": (1, 2)})
    draw_all(Painter().open, 3, folder=tmp_path, settings={"seed": 1, "regions": (1, 2)})
    painter = Painter()
    with pytest.raises(ConfigError, match="seed is 1 there and 2 here"):
        draw_all(painter.open, 2, folder=tmp_path, settings={"seed": 2, "regions": (1, 2)})
    assert painter.opened == 0


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    for i in (0, 1, 3):
        Image.new("RGB", (32, 32), (i, 0, 0)).save(tmp_path / f"{i}.webp", lossless=True)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert colours(load_all(tmp_path, 2).images) == [0, 1]
    with pytest.raises(MediaError, match=r"lacks 1 of the 4 pictures, first 00002\.png"):
        load_all(tmp_path, 4)
    with pytest.raises(MediaError, match="not a folder"):
        load_all(tmp_path / "nowhere", 1)


def test_settings_that_are_not_json_are_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match=r"settings\.json is not JSON"):
        draw_all(Painter().open, 1, folder=tmp_path)


def test_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    weights = tmp_path / "vae" / "model.safetensors"
    weights.write_bytes(b"one")
    first = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("words do not matter")
    assert fingerprint(tmp_path) == first
    weights.write_bytes(b"two")
    assert fingerprint(tmp_path) != first
