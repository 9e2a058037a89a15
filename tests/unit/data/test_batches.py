"""Batches are pure functions of the step, whatever the number of workers."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from inkwash.data.loader import step_batches
from inkwash.data.plans import PlanBatches, settled, usual_box
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, phase_at
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.scene import fits

PHASES = (Phase(first=0, batch=2, canvases=((128, 128),)), Phase(first=3, batch=1, canvases=((256, 128),)))
MAKERS = {
    "pixels": PixelCrops(seed=1, phases=((0, 64, 2),)),
    "labels": LabelledScenes(seed=1, batch=2, canvases=((128, 128),)),
    "pictures": PictureBatches(seed=1, phases=PHASES, edits=0.5, edits_from=0),
    "plans": PlanBatches(seed=1, phases=PHASES, preview_from=2),
}


def same(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, str | bool):
        return a == b
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_depends_on_its_step_only(name: str) -> None:
    make = MAKERS[name]
    assert same(make(4), make(4))
    assert not same(make(4), make(5))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_a_late_start_change_nothing(workers: int) -> None:
    make = MAKERS["pictures"]
    loaded = list(step_batches(make, first=2, total=6, workers=workers))
    assert len(loaded) == 4
    assert all(same(batch, make(step)) for step, batch in enumerate(loaded, 2))


def test_phases_follow_each_other() -> None:
    assert phase_at(PHASES, 2).batch == 2
    assert phase_at(PHASES, 3).batch == 1
    assert MAKERS["pictures"](5)["pixels"].shape == (1, 128, 256, 3)


def test_editing_pairs_have_as_many_sources_as_their_references() -> None:
    make = PlanBatches(seed=3, phases=PHASES, preview_from=0, edits=1.0)
    counts = set()
    for step in range(3):
        batch = make(step)
        counts.add(len(batch["sources"]))
        assert all(len(part) == len(batch["prompts"]) for part in batch["sources"])
        assert not batch["preview"]
    assert counts <= {1, 2}


def test_kinds_of_edits_can_be_chosen() -> None:
    make = PlanBatches(seed=3, phases=PHASES, preview_from=0, edits=1.0, edit_kinds=("combine",))
    assert {len(make(step)["sources"]) for step in range(3)} == {2}
    make = PlanBatches(seed=3, phases=PHASES, preview_from=0, edits=1.0, edit_kinds=("words", "background"))
    assert {len(make(step)["sources"]) for step in range(6)} == {1}


def test_things_without_a_named_place_stand_in_their_usual_places() -> None:
    make = PlanBatches(seed=5, phases=PHASES, preview_from=0, settled=1.0)
    rng = random.Random(2)
    shapes = 0
    for _ in range(60):
        scene, prompt = make._drawing(rng, 256, 256)
        for shape in scene.objects:
            shapes += 1
            assert shape.shape in prompt
            if not any(word in prompt for word in ("at the", "on the", "in the", "corner")):
                assert shape.box == usual_box(shape, scene)
                assert abs(shape.box[0] + shape.box[2] - 256) <= 32
    assert shapes > 20


def test_settled_shapes_stay_clear_of_everything() -> None:
    rng = random.Random(3)
    for _ in range(100):
        scene = settled(sample_scene(rng))
        for item in scene.items:
            others = replace(
                scene,
                objects=tuple(o for o in scene.objects if o is not item),
                texts=tuple(t for t in scene.texts if t is not item),
            )
            assert fits(item, others)
