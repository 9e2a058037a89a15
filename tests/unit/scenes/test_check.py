"""The check accepts the rendered truth, also noisy and blurred, and rejects every kind of altered picture."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from inkwash.scenes.check import check, named_color
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import grid_text
from inkwash.scenes.render import render, shape_mask
from inkwash.scenes.scene import Scene, ShapeItem
from inkwash.scenes.segment import classify
from inkwash.scenes.world import COLORS, SHAPES

STAR = ShapeItem(shape="star", color="red", size=96, box=(32, 128, 128, 224))
WORD = grid_text("HELLO", 1, 1, face="sans", color="blue")
SCENE = Scene(width=256, height=256, background="white", objects=(STAR,), texts=(WORD,))


def _noisy(image: Image.Image, sigma: float) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), level=st.sampled_from(["first", "free"]), sigma=st.sampled_from([0, 10, 20]))
@pytest.mark.slow
def test_the_truth_passes(seed: int, level: str, sigma: int) -> None:
    scene = sample_scene(random.Random(seed), level=level)
    assert check(_noisy(render(scene), sigma), scene).ok


@pytest.mark.slow
def test_styled_truth_mostly_passes() -> None:
    scenes = [sample_scene(random.Random(i), level="full") for i in range(60)]
    assert sum(check(render(scene), scene).ok for scene in scenes) >= 57


def test_other_sizes_and_blur_pass() -> None:
    picture = render(SCENE)
    assert check(picture.resize((512, 512)), SCENE).ok
    assert check(picture.resize((200, 200), Image.Resampling.BICUBIC), SCENE).ok
    assert check(picture.filter(ImageFilter.GaussianBlur(1.5)), SCENE).ok


def test_wrong_background() -> None:
    result = check(render(replace(SCENE, background="yellow")), SCENE)
    assert (result.background, result.background_ok, result.ok) == ("yellow", False, False)


def test_wrong_shape_color_or_place_are_told_apart() -> None:
    def one(shape: ShapeItem) -> tuple[bool, bool, bool]:
        (found,) = check(render(replace(SCENE, objects=(shape,))), SCENE).objects
        return found.shape_ok, found.color_ok, found.place_ok

    assert one(STAR) == (True, True, True)
    assert one(replace(STAR, shape="circle")) == (False, True, True)
    assert one(replace(STAR, color="green")) == (True, False, True)
    assert one(replace(STAR, box=(160, 128, 256, 224))) == (True, True, False)


def test_missing_and_additional_shapes() -> None:
    missing = check(render(replace(SCENE, objects=())), SCENE)
    assert not missing.objects[0].shape_ok and not missing.ok
    heart = ShapeItem(shape="heart", color="green", size=64, box=(160, 128, 224, 192))
    extra = check(render(replace(SCENE, objects=(STAR, heart))), SCENE)
    assert extra.objects[0].ok and extra.unexpected == 1 and not extra.ok


def test_wrong_or_missing_text() -> None:
    recolored = replace(SCENE, texts=(replace(WORD, color="green"),))
    assert check(render(recolored), SCENE).text_colors == (False,)
    assert check(render(replace(SCENE, texts=())), SCENE).text_colors == (False,)
    second = grid_text("AGAIN", 3, 1, face="sans", color="blue")
    extra = check(render(replace(SCENE, texts=(WORD, second))), SCENE)
    assert extra.stray >= 4 and not extra.ok


def test_only_what_the_prompt_named_counts() -> None:
    other = replace(
        SCENE,
        background="yellow",
        objects=(replace(STAR, color="green", box=(160, 160, 256, 256)),),
    )
    picture = render(other)
    assert check(picture, SCENE, named=()).ok
    assert not check(picture, SCENE, named=("background",)).ok
    assert not check(picture, SCENE, named=("object0.color",)).ok
    assert not check(picture, SCENE, named=("object0.place",)).ok
    assert not check(render(replace(other, objects=())), SCENE, named=()).ok


def test_a_blank_or_random_picture_fails() -> None:
    assert not check(Image.new("RGB", (256, 256), COLORS["white"]), SCENE).ok
    static = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert not check(Image.fromarray(static), SCENE).ok


@pytest.mark.parametrize("name", COLORS)
def test_named_color(name: str) -> None:
    red, green, blue = COLORS[name]
    assert named_color((red, green, blue)) == name
    assert named_color((max(0, red - 12), max(0, green - 12), min(255, blue + 12))) == name


@pytest.mark.parametrize("size", [64, 96, 160])
def test_shapes_are_told_apart(size: int) -> None:
    for shape in SHAPES:
        found, iou = classify(shape_mask(shape, size))
        assert found == shape and iou > 0.9
