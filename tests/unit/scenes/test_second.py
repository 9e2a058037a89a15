"""Level `second`: lines fit and stand where the caption lets one expect them; cells mean what is drawn in them."""

from __future__ import annotations

import random

import numpy as np
import pytest

from inkwash.scenes.caption import describe
from inkwash.scenes.edit import KINDS, sample_edit
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import GRID_CAP
from inkwash.scenes.meanings import LATIN, cell_meanings, meaning_labels, signs
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene, intersect
from inkwash.scenes.second import stack, usual_items
from inkwash.scenes.words import word_list
from inkwash.scenes.world import CELL, STYLES

SIZES = ((384, 384), (256, 256), (768, 256), (192, 256))


def scenes(count: int, language: str = "en") -> list[tuple[random.Random, Scene]]:
    found = []
    for i in range(count):
        rng = random.Random(i)
        width, height = SIZES[i % len(SIZES)]
        regions = (1, min(5, height // CELL - 1))
        scene = sample_scene(
            rng, width=width, height=height, regions=regions, level="second", language=language, split="held_out"
        )
        found.append((rng, scene))
    return found


def test_the_world_is_as_varied_as_promised() -> None:
    texts = [text for _, scene in scenes(600) for text in scene.texts]
    assert {len(scene.texts) for _, scene in scenes(600)} == {1, 2, 3, 4, 5}
    assert {text.size for text in texts} == {GRID_CAP, 2 * GRID_CAP}
    assert max(text.text.count(" ") for text in texts) == 5
    assert {scene.style for _, scene in scenes(600)} == set(STYLES)
    characters = set("".join(text.text for text in texts)) - {" "}
    assert characters <= set(LATIN)
    assert len(characters) > 60


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lines_and_shapes_lie_on_the_canvas_apart(language: str) -> None:
    for _, scene in scenes(80, language):
        for i, item in enumerate(scene.items):
            left, top, right, bottom = item.box
            assert 0 <= left < right <= scene.width
            assert 0 <= top < bottom <= scene.height
            assert not any(intersect(item.box, other.box) for other in scene.items[i + 1 :])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_captions_name_the_places_of_exactly_what_stands_elsewhere(language: str) -> None:
    for rng, scene in scenes(80, language):
        usual = usual_items(scene)
        told = describe(scene, rng, split="held_out", language=language, usual=usual)
        for kind, items in (("text", scene.texts), ("object", scene.objects)):
            for i, item in enumerate(items):
                assert (f"{kind}{i}.place" in told.named) == (item not in usual)
        for text in scene.texts:
            assert text.text in told.prompt


def test_a_stack_is_centred_and_in_order() -> None:
    _, scene = scenes(1)[0]
    stacked = stack(scene, scene.texts)
    assert stacked is not None
    tops = [text.box[1] for text in stacked]
    assert tops == sorted(tops)
    assert abs(tops[0] - (scene.height - stacked[-1].box[3])) <= CELL
    assert stack(Scene(width=256, height=128, background="red"), scene.texts * 5) is None


@pytest.mark.parametrize("language", ["en", "zh"])
def test_cells_mean_what_is_drawn_in_them(language: str) -> None:
    for _, scene in scenes(40, language):
        cells = cell_meanings(scene)
        for name, classes in meaning_labels().items():
            assert cells[name].min() >= 0
            assert cells[name].max() < classes
        empty = Scene(width=scene.width, height=scene.height, background=scene.background)
        ink = (np.asarray(render(scene)) != np.asarray(render(empty))).any(-1)
        drawn = ink.reshape(scene.rows, CELL, scene.cols, CELL).any((1, 3))
        if scene.style == "flat":
            assert (cells["kind"][drawn] > 0).all()
        read = {signs()[sign - 1] for sign in cells["sign"].ravel() if sign}
        assert read == set("".join(text.text for text in scene.texts)) - {" "}


def test_cells_of_one_meaning_agree_in_what_their_kind_tells() -> None:
    seen: dict[int, tuple[int, ...]] = {}
    for _, scene in [*scenes(40), *scenes(40, "zh")]:
        cells = cell_meanings(scene)
        told = {0: ("background", "style"), 1: ("sign", "quarter", "color", "face"), 2: ("shape", "part", "color")}
        for where in np.ndindex(cells["kind"].shape):
            kind = int(cells["kind"][where])
            facts = (kind, *(int(cells[name][where]) for name in told[kind]))
            assert seen.setdefault(int(cells["meaning"][where]), facts) == facts
    assert len(set(seen.values())) == len(seen)


def test_every_bundled_chinese_character_can_be_set() -> None:
    assert set("".join(word_list("zh"))) <= set(signs())
    assert len(set(signs())) == len(signs())


@pytest.mark.parametrize("kind", KINDS)
def test_edits_change_what_they_say(kind: str) -> None:
    for i in range(12):
        edit = sample_edit(random.Random(i), width=384, height=256, level="second", kinds=(kind,))
        assert edit.target != edit.sources[0]
        for item in edit.target.items:
            assert not any(intersect(item.box, other.box) for other in edit.target.items if other is not item)
