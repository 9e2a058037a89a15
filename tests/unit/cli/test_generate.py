"""Generate and edit: files, metadata, seeds and reports, with a fake pipeline."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, MediaError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest, SamplingOverrides
from inkwash.engine.sampling import Sampling
from inkwash.media.images import load_image, read_metadata
from inkwash.models.registry import defaults_of, folder_of
from inkwash.recipes import nano
from inkwash.serve.backend import model_info
from tests.unit.cli.conftest import FakePipeline, Outcome
from tests.unit.models.folders import hollow_checkpoint

Run = Callable[..., Outcome]
PROMPT = 'A poster that says "HELLO"'
GUIDANCE = defaults_of("nano").guidance_scale


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_picture_with_its_settings(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    outcome = inkwash("generate", PROMPT, "-o", "a.png", "--size", "96x64", "--seed", "7", "--negative", "frogs")
    assert outcome.code == 0
    assert "inkwash: negative_prompt: only its texts in quotation marks count" in outcome.err
    assert "a.png" in outcome.out and "seed 7" in outcome.out and "96x64" in outcome.out
    assert load_image("a.png").size == (96, 64) and load_image("a.png").getpixel((0, 0)) == (7, 0, 0)
    said = read_metadata("a.png")
    assert said["prompt"] == PROMPT and said["seed"] == 7 and said["size"] == "96x64" and said["steps"] == 14
    assert said["model"] == "nano" and said["negative"] == "frogs" and said["software"].startswith("inkwash ")
    asked = pipeline.calls[1]
    assert (asked["width"], asked["height"], asked["num_inference_steps"]) == (96, 64, 14)
    assert (asked["guidance_scale"], asked["temperature"], asked["top_p"]) == (GUIDANCE, None, None)
    assert asked["negative_prompt"] == "frogs" and asked["images"] == () and asked["mask"] is None


def test_every_option_reaches_the_engine(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    options = "--steps 3 --guidance 2.5 --temperature 0.5 --top-p 0.9 --layout same --model zai-org/GLM-Image -n 2"
    assert inkwash("generate", PROMPT, "--device", "cpu", "--dtype", "bfloat16", *options.split()).code == 0
    loaded, asked = pipeline.calls
    assert loaded["name"] == "zai-org/GLM-Image"
    assert str(loaded["torch_dtype"]) == "torch.bfloat16" and str(loaded["device_map"]) == "cpu"
    names = ("num_inference_steps", "guidance_scale", "temperature", "top_p", "layout", "num_images")
    assert [asked[name] for name in names] == [3, 2.5, 0.5, 0.9, "same", 2]


def test_released_models_are_drawn_as_the_reference_draws(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    inkwash("generate", PROMPT, "--model", "zai-org/GLM-Image")
    assert (pipeline.calls[1]["num_inference_steps"], pipeline.calls[1]["guidance_scale"]) == (50, 1.5)


def test_a_folder_says_how_it_wants_to_be_drawn_with(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    folder = hollow_checkpoint(Path("own"))
    index = json.loads((folder / "model_index.json").read_text())
    for said, options, expected in (
        ({}, (), (50, 1.5)),
        ({"num_inference_steps": 8, "guidance_scale": 3.5}, (), (8, 3.5)),
        ({"guidance_scale": 3}, (), (50, 3)),
        ({"num_inference_steps": 8, "guidance_scale": 3.5}, ("--steps", "9"), (9, 3.5)),
        ({"num_inference_steps": 8, "guidance_scale": 3.5}, ("--guidance", "1"), (8, 1.0)),
    ):
        (folder / "model_index.json").write_text(json.dumps({**index, "_drawing": said}))
        pipeline.calls.clear()
        assert inkwash("generate", PROMPT, "--model", str(folder), *options).code == 0
        asked = pipeline.calls[1]
        assert (asked["num_inference_steps"], asked["guidance_scale"]) == expected


def test_the_page_stands_on_what_the_model_draws_with() -> None:
    pipe = GlmImagePipeline.from_pretrained("nano")
    sampling, stands = Sampling.of(pipe.parts.defaults, SamplingOverrides()), model_info(pipe, "nano").defaults
    assert (stands.side, stands.side) == pipe.stages.natural_size([])
    own = pipe.parts.drawing
    assert (stands.steps, stands.guidance) == (own.num_inference_steps, own.guidance_scale)
    assert (stands.temperature, stands.top_p) == (sampling.temperature, sampling.top_p)
    assert folder_of("zai-org/GLM-Image") is None and sampling.min_p == nano.THIRD.sampling["min_p"]


def test_what_will_not_be_drawn_is_said_before(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    outcome = inkwash("generate", "a photo of a cat that says MEOW", "--size", "1024x1024")
    assert outcome.code == 0
    starts = ["inkwash: prompt: MEOW", "inkwash: prompt: this", "inkwash: size: 1024x1"]
    assert [line[:21] for line in outcome.err.splitlines()] == starts
    said = json.loads(inkwash("generate", "a 'CAT'", "--json", "--steps", "2").out)
    assert said["warnings"] == []
    said = json.loads(inkwash("generate", 'a «CAT» 🐱 on "🐱"', "--model", "zai-org/GLM-Image", "--json").out)
    assert [warning[:13] for warning in said["warnings"]] == ["prompt: «CAT»"]  # nothing else is known about it
    Path("two.txt").write_text('a "B"\na zebra')
    outcome = inkwash("generate", "--prompts", "two.txt")
    assert outcome.err.startswith('inkwash: Prompt 2: prompt: this model does not know "zebra"')


def test_several_pictures_are_numbered_and_have_own_seeds(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    assert inkwash("generate", PROMPT, "-o", "a.webp", "-n", "3", "--seed", "40").code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["a-1.webp", "a-2.webp", "a-3.webp"]
    for i in range(3):
        said = read_metadata(f"a-{i + 1}.webp")
        assert said["seed"] == 40 + i and said["first_seed"] == 40 and said["index"] == i + 1 and said["n"] == 3
        assert load_image(f"a-{i + 1}.webp").getpixel((0, 0)) == (40 + i, 0, 0)


def test_a_seed_is_drawn_and_reported(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    seeds = set()
    for _ in range(3):
        outcome = inkwash("generate", PROMPT, "--json")
        seeds.add(json.loads(outcome.out)["pictures"][0]["seed"])
    assert len(seeds) == 3 and all(0 <= seed < 2**32 for seed in seeds)
    assert {read_metadata(name)["seed"] for name in ("out.png", "out-1.png", "out-2.png")} == seeds


def test_files_are_numbered_and_folders_made(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    for _ in range(2):
        assert inkwash("generate", PROMPT, "-o", "new/deep/a.png", "--seed", "1").code == 0
    assert inkwash("generate", PROMPT, "-o", "new/deep/a.png", "--seed", "2", "--overwrite").code == 0
    assert {path.name: read_metadata(path)["seed"] for path in Path("new/deep").iterdir()} == {"a.png": 2, "a-1.png": 1}
    outcome = inkwash("generate", PROMPT, "-o", "new/deep/a.png", "-n", "2", "--seed", "3")
    assert "a-2.png" in outcome.out and "a-3.png" in outcome.out
    Path("new/deep/a-1.png").unlink()
    inkwash("generate", PROMPT, "-o", "new/deep/a.png")
    assert sorted(path.name for path in Path("new/deep").iterdir()) == ["a-2.png", "a-3.png", "a-4.png", "a.png"]
    inkwash("generate", PROMPT, "-o", "new/deep/a.png", "-n", "2", "--seed", "9", "--overwrite")
    assert [read_metadata(f"new/deep/a-{i}.png")["seed"] for i in (1, 2, 3, 4)][:2] == [9, 10]


def test_every_line_of_a_file_is_drawn_by_one_model(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    lines = [
        PROMPT,
        "",
        '{"prompt": "海报“你好”", "seed": 7, "size": "128x64", "output": "own/b.webp", "n": 2}',
        "a 'C'",
    ]
    Path("prompts.txt").write_text("\n".join(lines), encoding="utf-8")
    outcome = inkwash("generate", "--prompts", "prompts.txt", "--steps", "3", "--json")
    assert outcome.code == 0 and not outcome.err
    said = json.loads(outcome.out)["pictures"]
    assert [one["path"] for one in said] == ["out.png", "own/b-1.webp", "own/b-2.webp", "out-1.png"]
    assert said[1]["seed"] == 7 and said[0]["seed"] != said[3]["seed"]
    assert load_image("own/b-1.webp").size == (128, 64) and {one["steps"] for one in said} == {3}
    loaded, *asked = pipeline.calls
    assert "name" in loaded and [each["prompt"] for each in asked] == [PROMPT, "海报“你好”", "a 'C'"]
    again = inkwash("generate", "--prompts", "prompts.txt", "--seed", "5", "--json")
    assert [one["seed"] for one in json.loads(again.out)["pictures"]] == [5, 7, 8, 5]


def test_a_prompt_that_fails_does_not_lose_the_others(
    inkwash: Run, pipeline: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prompts.txt").write_text('a "A"\na "B"\na "C"')
    draw = pipeline.draw

    def fails_once(self: FakePipeline, request: DrawRequest, **rest: Any) -> object:
        if request.prompt == 'a "B"':
            raise InkwashError("The numbers are not finite.")
        return draw(self, request, **rest)

    monkeypatch.setattr(pipeline, "draw", fails_once)
    outcome = inkwash("generate", "--prompts", "prompts.txt")
    assert outcome.code == 1 and "Prompt 2: The numbers are not finite." in outcome.err
    assert [read_metadata(name)["prompt"] for name in ("out.png", "out-1.png")] == ['a "A"', 'a "C"']
    assert "2 pictures" in outcome.out


def test_json_is_one_object_and_nothing_else(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    outcome = inkwash("generate", "海报“你好”", "--json", "-n", "2", "--seed", "1")
    said = json.loads(outcome.out)
    assert outcome.out.count("\n") == 1 and not outcome.err
    assert [one["path"] for one in said["pictures"]] == ["out-1.png", "out-2.png"]
    assert said["pictures"][1]["prompt"] == "海报“你好”" and said["seconds"] >= 0


def test_prompt_from_stdin(inkwash: Run, pipeline: type[FakePipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("海报“你好”\n".encode())))
    assert inkwash("generate", "-").code == 0
    assert pipeline.calls[1]["prompt"] == "海报“你好”"


def test_edit_passes_pictures_in_order_and_the_mask(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save("first.png")
    Image.new("CMYK", (32, 64), (0, 255, 255, 0)).save("second.jpg")
    Image.new("L", (64, 64), 255).save("mask.png")
    images = ["--image", "first.png", "--image", "second.jpg", "--mask", "mask.png"]
    assert inkwash("edit", "make it blue", *images, "-o", "b.jpg").code == 0
    asked = pipeline.calls[1]
    assert [picture.size for picture in asked["images"]] == [(64, 64), (32, 64)]
    assert asked["images"][0].getpixel((0, 0)) == (255, 255, 255) and asked["mask"].mode == "L"
    assert read_metadata("b.jpg")["images"] == ["first.png", "second.jpg"]


def test_a_cancelled_run_writes_nothing(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    pipeline.failure = Cancelled()
    outcome = inkwash("generate", PROMPT)
    assert outcome.code == 130 and outcome.err.count("\n") == 1 and not list(Path().iterdir())


def test_one_bad_file_does_not_lose_the_others(
    inkwash: Run, pipeline: type[FakePipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    from inkwash.media import images

    save = images.save_image

    def full_disk_once(image: Image.Image, path: Path, **options: object) -> Path:
        if path.name == "out-1.png":
            raise MediaError("The disk is full.")
        return save(image, path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "save_image", full_disk_once)
    outcome = inkwash("generate", PROMPT, "-n", "3")
    assert outcome.code == 2 and "disk is full" in outcome.err
    assert sorted(path.name for path in Path().iterdir()) == ["out-2.png", "out-3.png"]
    assert "out-2.png" in outcome.out and "2 pictures" in outcome.out
