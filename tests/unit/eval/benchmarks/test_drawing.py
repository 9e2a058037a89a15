"""Drawing into the official layouts: every file in its place, none twice, seeds that depend on the place alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError, MediaError
from inkwash.core.types import Size
from inkwash.engine.request import DrawRequest
from inkwash.eval.benchmarks import cvtg2k, dpg, geneval, longtext, oneig_data, tiif
from inkwash.eval.benchmarks.benchmark import BenchmarkRun, ImageTask
from inkwash.eval.benchmarks.drawing import DrawPictures, PictureRequest, draw_tasks, drawer, picture_seed
from inkwash.eval.benchmarks.pictures import cells, find_pictures
from inkwash.eval.benchmarks.registry import BENCHMARKS
from inkwash.eval.sources import DrawConfig
from inkwash.media.images import load_image, read_metadata
from tests.unit.eval.benchmarks import official
from tests.unit.eval.benchmarks.runs import run_of

SETTINGS = {"model": "tiny", "steps": 2}


class Brush:
    """Paints each picture in a colour of its seed, and remembers what it was asked."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.calls: list[list[PictureRequest]] = []
        self.opened, self.stop_after = 0, stop_after

    @property
    def painted(self) -> int:
        return sum(map(len, self.calls))

    def open(self) -> DrawPictures:
        self.opened += 1
        return self.draw

    def draw(self, pictures: Sequence[PictureRequest]) -> list[Image.Image]:
        if self.painted >= self.stop_after:
            raise KeyboardInterrupt
        self.calls.append(list(pictures))
        return [Image.new("RGB", (32, 32), color(picture.seed)) for picture in pictures]


def color(seed: int) -> tuple[int, int, int]:
    return seed % 251, seed // 251 % 251, 7


def data(task: str, folder: Path) -> Path:
    makers: dict[str, Any] = {
        "cvtg2k": official.cvtg2k,
        "longtext": official.longtext,
        "oneig": official.oneig,
        "tiif": lambda place: official.tiif(place, tiif.TYPES[:3]),
        "dpg": lambda place: official.dpg(place, {"a1": [(1, "0", "entity - whole")], "b": [(1, "0", "global")]}),
        "geneval": official.geneval,
        "gedit": official.gedit,
        "imgedit": official.imgedit,
        "natural": lambda place: place,  # its prompts ship with the package
    }
    made: Path = makers[task.partition("-")[0]](folder)
    return made


def wanted(task: str, tmp_path: Path, **more: Any) -> tuple[BenchmarkRun[Any], list[ImageTask]]:
    run = run_of(task, data=data(task, tmp_path / "data"), images=tmp_path / "drawn", model_folder="tiny", **more)
    return run, run.tasks()


def draw(run: BenchmarkRun[Any], asked: Sequence[ImageTask], brush: Brush, **more: Any) -> float:
    return draw_tasks(asked, run.images, brush.open, seed=3, settings=SETTINGS, **more)


@pytest.mark.parametrize("task", BENCHMARKS)
def test_every_task_is_drawn_once_and_lies_where_its_scorer_looks(task: str, tmp_path: Path) -> None:
    run, asked = wanted(task, tmp_path)
    brush, told = Brush(), []
    draw(run, asked, brush, progress=lambda done, total: told.append((done, total)))
    found = find_pictures(run.images, [each.path for each in asked])
    assert len(found) == len(asked) == told[-1][0] and brush.painted == sum(each.cells for each in asked)
    again = Brush()
    assert draw(run, asked, again) != draw(run, asked, again)  # nan: nothing was drawn
    assert again.opened == 0
    said = read_metadata(found[0])
    assert said["prompt"] == asked[0].prompt and said["model"] == "tiny" and said["seed"] == 3 + (asked[0].seed or 0)


EXAMPLES = {
    "cvtg2k": "CVTG-Style/5/15.png",
    "longtext-en": "0101_4.png",
    "oneig-en": "reasoning/tiny/001.webp",
    "oneig-zh": "multilingualism/tiny/001.webp",
    "tiif": "color+texture/tiny/long_description/1.png",
    "dpg": "a1.png",
    "geneval": "00006/samples/0003.png",
    "gedit": "fullset/text_change/en/text_change1en.png",
    "imgedit": "0008.png",
}


@pytest.mark.parametrize("task", EXAMPLES)
def test_names_are_the_official_ones(task: str, tmp_path: Path) -> None:
    _, asked = wanted(task, tmp_path)
    assert EXAMPLES[task] in [each.file for each in asked]


def test_files_beside_the_pictures(tmp_path: Path) -> None:
    run, asked = wanted("geneval", tmp_path / "g", samples=2)
    draw(run, asked, Brush())
    assert '"tag": "counting"' in (run.images / "00002" / "metadata.jsonl").read_text()
    run, asked = wanted("gedit", tmp_path / "e", language="cn")
    draw(run, asked, Brush())
    place = run.images / "fullset" / "color_alter" / "cn"
    assert load_image(place / "color_alter0cn_SRCIMG.png").getpixel((0, 0)) == (128, 128, 128)


def test_a_grid_holds_four_pictures_with_their_own_seeds(tmp_path: Path) -> None:
    run, asked = wanted("dpg", tmp_path)
    draw(run, asked, Brush())
    found = cells(load_image(run.images / "a1.png"))
    assert [cell.getpixel((0, 0)) for cell in found] == [color(picture_seed(3, "a1", cell)) for cell in range(4)]
    assert len({cell.getpixel((0, 0)) for cell in found}) == 4


def test_a_killed_run_goes_on_and_draws_nothing_twice(tmp_path: Path) -> None:
    run, asked = wanted("cvtg2k", tmp_path)
    first = Brush(stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        draw(run, asked, first)
    assert len(list(run.images.rglob("*.png"))) == 5
    second = Brush()
    draw(run, asked, second)
    seeds = [picture.seed for call in first.calls + second.calls for picture in call]
    assert len(seeds) == len(set(seeds)) == 16 and second.painted == 11


def test_neither_the_limit_nor_the_batch_changes_a_picture(tmp_path: Path) -> None:
    run, asked = wanted("cvtg2k", tmp_path)
    draw(run, asked, Brush(), batch=5)
    few, some = wanted("cvtg2k", tmp_path / "few", limit=8)
    brush = Brush()
    draw(few, some, brush, batch=3)
    assert [len(call) for call in brush.calls] == [3, 3, 2]
    for each in some:
        assert load_image(few.images / each.file).tobytes() == load_image(run.images / each.file).tobytes()


def test_edits_are_drawn_one_by_one_with_their_source(tmp_path: Path) -> None:
    run, asked = wanted("imgedit", tmp_path)
    brush = Brush()
    draw(run, asked, brush, batch=4)
    assert [len(call) for call in brush.calls] == [1] * 9
    assert brush.calls[0][0].source == run.data / "extract" / "0.jpg"
    (run.data / "style" / "1.jpg").unlink()
    with pytest.raises(MediaError, match=r"style/1\.jpg is missing"):
        run.tasks()


def test_a_folder_with_other_settings_is_refused(tmp_path: Path) -> None:
    run, asked = wanted("cvtg2k", tmp_path)
    draw(run, asked[:1], Brush())
    with pytest.raises(ConfigError, match="steps is 2 there and 9 here"):
        draw_tasks(asked, run.images, Brush().open, seed=3, settings={"model": "tiny", "steps": 9})


def test_the_pipeline_gets_prompts_seeds_and_size(tmp_path: Path) -> None:
    calls: list[list[DrawRequest]] = []

    class Pipe:
        def draw(self, requests: list[DrawRequest], **_: Any) -> Any:
            calls.append(requests)
            return type("Output", (), {"images": [Image.new("RGB", (64, 64))] * len(requests)})()

    pipe = Pipe()
    config = DrawConfig(steps=7, guidance=2.0)
    draw = drawer(pipe, Size(96, 64), config)  # type: ignore[arg-type]
    source = official.picture(tmp_path / "a.png", "red", (64, 64))
    draw([PictureRequest(prompt="a", seed=11, source=None), PictureRequest(prompt="b", seed=12, source=None)])
    drawer(pipe, None, config)([PictureRequest(prompt="c", seed=13, source=source)])  # type: ignore[arg-type]
    first, second = calls
    assert [(each.prompt, each.seed, each.width, each.height) for each in first] == [
        ("a", 11, 96, 64),
        ("b", 12, 96, 64),
    ]
    assert {(each.images, each.num_inference_steps, each.guidance_scale) for each in first} == {((), 7, 2.0)}
    assert second[0].width is None and second[0].images[0].getpixel((0, 0)) == (255, 0, 0)


def test_readers_agree_with_the_layout(tmp_path: Path) -> None:
    """The same prompts, whether for drawing or for scoring."""
    run, asked = wanted("longtext-zh", tmp_path / "l", samples=1)
    assert [each.prompt for each in asked] == [each.prompt for each in longtext.read_prompts(run.data, "zh")]
    run, asked = wanted("oneig-en", tmp_path / "o")
    assert len(asked) == len(oneig_data.read_prompts(run.data, "en"))
    run, asked = wanted("dpg", tmp_path / "d")
    assert [each.prompt for each in asked] == [each.prompt for each in dpg.read_prompts(run.data)]
    run, asked = wanted("geneval", tmp_path / "g", samples=4)
    assert len(asked) == 4 * len(geneval.read_prompts(run.data))
    run, asked = wanted("cvtg2k", tmp_path / "c", limit=3)
    assert len(asked) == len(cvtg2k.read_prompts(run.data, 3))
