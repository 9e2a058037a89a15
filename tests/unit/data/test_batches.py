"""Batches are pure functions of the step, whatever the number of workers."""

from __future__ import annotations

import numpy as np
import pytest

from inkwash.data.loader import step_batches
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, PixelCrops, phase_at

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
