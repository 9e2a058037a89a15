"""Sampling: determinism, alignment, no overlaps, contrast, any canvas."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import LEVELS
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene, TextItem, intersect
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import CELL, STYLES, shape_colors, text_colors

SIDES = st.integers(4, 16).map(lambda n: n * CELL)


def _sound(scene: Scene) -> None:
    for item in scene.items:
        left, top, right, bottom = item.box
        assert 0 <= left < right <= scene.width and 0 <= top < bottom <= scene.height
    for a, b in itertools.combinations(scene.items, 2):
        assert not intersect(a.box, b.box), (a, b)
    for text in scene.texts:
        assert text.color in text_colors(scene.background)
    for shape in scene.objects:
        assert shape.color in shape_colors(scene.background)
    assert len({o.shape for o in scene.objects}) == len(scene.objects)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=SIDES,
    height=SIDES,
    level=st.sampled_from([level for level in LEVELS if level != "card"]),
)
def test_scenes_are_sound_and_deterministic(seed: int, width: int, height: int, level: str) -> None:
    scene = sample_scene(random.Random(seed), width=width, height=height, level=level)
    assert scene == sample_scene(random.Random(seed), width=width, height=height, level=level)
    assert (scene.width, scene.height) == (width, height)
    assert 1 <= len(scene.texts) <= 2
    _sound(scene)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), width=SIDES, height=SIDES)
def test_first_level_stands_on_the_cell_grid(seed: int, width: int, height: int) -> None:
    scene = sample_scene(random.Random(seed), width=width, height=height)
    assert scene.style == "flat"
    rows = [text.cells[0][0] for text in scene.texts]
    assert rows == sorted(set(rows))
    if len(rows) == 2:
        assert rows[1] - rows[0] >= 2
    for text in scene.texts:
        assert text.text.isalpha() and text.text.isupper() and 3 <= len(text.text) <= min(8, scene.cols)
        row, col = text.cells[0]
        assert text.cells == tuple((row, col + i) for i in range(len(text.text)))
        assert text.box == (col * CELL, row * CELL, (col + len(text.text)) * CELL, (row + 1) * CELL)
    for shape in scene.objects:
        assert shape.size in (64, 96) and all(side % CELL == 0 for side in shape.box)
        for text in scene.texts:
            assert not intersect(shape.box, text.box, CELL, 0)


def test_most_words_are_centred_and_some_are_not() -> None:
    scenes = [sample_scene(random.Random(i), regions=(1, 1)) for i in range(400)]
    centred = [s.texts[0].cells[0][1] == (s.cols - len(s.texts[0].text)) // 2 for s in scenes]
    assert 0.75 < sum(centred) / len(centred) < 0.97


@pytest.mark.parametrize("side", [(128, 128), (128, 256), (1024, 512), (1024, 1024)])
@pytest.mark.parametrize("level", LEVELS)
def test_extreme_canvases(side: tuple[int, int], level: str) -> None:
    scene = sample_scene(random.Random(5), width=side[0], height=side[1], level=level)
    _sound(scene)
    assert render(scene).size == side


@pytest.mark.parametrize("level", ["free", "full"])
def test_five_regions(level: str) -> None:
    for seed in range(10):
        scene = sample_scene(random.Random(seed), regions=(5, 5), level=level)
        assert len(scene.texts) == 5
        assert len({text.text.lower() for text in scene.texts}) == 5
        _sound(scene)


def test_full_level_uses_every_style() -> None:
    styles = {sample_scene(random.Random(i), level="full").style for i in range(300)}
    assert styles == set(STYLES)
    assert len(STYLES) == 10


def test_held_out_scenes_hold_held_out_words_only() -> None:
    for seed in range(50):
        for text in sample_scene(random.Random(seed), split="held_out").texts:
            assert is_held_out(text.text)
        for text in sample_scene(random.Random(seed), split="train", random_words=0.5).texts:
            assert not is_held_out(text.text)


def test_chinese_texts() -> None:
    texts: list[TextItem] = []
    for seed in range(10):
        texts += sample_scene(random.Random(seed), level="free", language="zh").texts
    assert all(t.face == "cjk" and t.lettering == "free" for t in texts)
    assert any("\u4e00" <= c <= "\u9fff" for t in texts for c in t.text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "hard"}, "unknown level 'hard'"),
        ({"regions": (2, 1)}, "lowest first"),
        ({"regions": (0, 6)}, "within 0 to 5"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"width": 200}, "width 200 must be a multiple of 32"),
        ({"language": "zh"}, "use en, or zh at a higher one"),
        ({"regions": (5, 5), "height": 128}, "5 text regions do not fit"),
    ],
)
def test_bad_requests_are_one_sentence(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sample_scene(random.Random(0), **arguments)  # type: ignore[arg-type]
