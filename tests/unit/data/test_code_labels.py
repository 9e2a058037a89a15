"""Codes are named by what most of their cells show, whatever the encoder is like."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inkwash.data.code_labels import label_codes
from inkwash.data.scenes import LabelledScenes
from inkwash.engine.plan_choice import PlanJudge, PlanReader
from inkwash.engine.readback import WantedTexts
from inkwash.models.glm_image.code_labels import CodeLabels
from inkwash.scenes.card_meanings import cell_card_meanings
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.world import SHAPES

SCENES = LabelledScenes(seed=3, batch=6, level="card", noise=0.0, canvases=((256, 256),), chinese=0.4)


class Perfect:
    """An encoder that gives every content a code of its own, and counts what it was asked."""

    def __init__(self) -> None:
        self.batches = [SCENES(step) for step in range(3)]
        names = ("kind", "sign", "quarter", "thing", "part", "shape")
        self.rows = [np.stack([batch[name].ravel() for name in names], axis=1) for batch in self.batches]
        found, self.ids = np.unique(np.concatenate(self.rows), axis=0, return_inverse=True)
        self.codes, self.at = len(found) + 2, 0

    def __call__(self, half: NDArray[np.int64]) -> NDArray[np.int64]:
        count = len(half) * 64
        ids = self.ids.ravel()[self.at : self.at + count]
        self.at += count
        return ids.reshape(len(half), 8, 8)


def labels_of(encoder: Any) -> CodeLabels:
    return CodeLabels(**label_codes(encoder, encoder.batches, encoder.codes))


def test_every_code_is_named_by_its_cells() -> None:
    encoder = Perfect()
    labels = labels_of(encoder)
    kind, sign, quarter, thing, part, shape = np.concatenate(encoder.rows).T
    ids = encoder.ids.ravel()
    letters, things = kind == 1, kind == 3
    assert letters.sum() > 50 and things.sum() > 20, "the scenes show both"
    assert (labels.character[ids[letters]] == sign[letters] - 1).all() and (labels.character[ids[~letters]] == -1).all()
    assert (labels.quarter[ids[letters]] == quarter[letters]).all()
    assert (labels.thing[ids[things]] == thing[things] - 1).all() and (labels.thing[ids[letters]] == -1).all()
    named = [labels.things[each] for each in labels.thing[ids[kind == 2]]]
    assert named == [SHAPES[each - 1] for each in shape[kind == 2]]
    first = np.isin(part, (1, 5, 14))  # the upper left of 2 x 2, 3 x 3 and 5 x 5 cells
    assert (labels.begins[ids[things]] == first[things]).all()
    assert labels.character[-1] == labels.thing[-1] == -1, "a code that no cell has"


def test_a_code_of_two_things_is_named_by_more_than_half() -> None:
    encoder = Perfect()
    encoder.ids, encoder.codes = np.zeros_like(encoder.ids), 1
    kind = np.concatenate(encoder.rows)[:, 0]
    assert (kind == 0).mean() > 0.5, "most cells are empty"
    assert labels_of(encoder).character[0] == -1


def test_rendered_texts_are_read_back_from_their_codes() -> None:
    encoder = Perfect()
    reader = PlanReader(labels_of(encoder))
    at = 0
    for batch in encoder.batches:
        for index in range(len(batch["pixels"])):
            ids = torch.from_numpy(encoder.ids.ravel()[at : at + 64].reshape(8, 8))
            at += 64
            letters = {labels for labels in np.unique(batch["sign"][index]) if labels}
            read = set("".join(reader.lines(ids)).replace(" ", ""))
            assert len(read) == len(letters) and "\ufffd" not in read


def test_the_reading_of_a_true_plan_is_right() -> None:
    """What a scene says is read from the cells that it covers, in every layout of the world."""
    rng, wrong = random.Random(4), []
    for number in range(150):
        scene = sample_card_scene(rng, width=384, height=384, language=rng.choice(("en", "en", "zh")))
        cells = cell_card_meanings(scene)
        rows = np.stack([cells[name].ravel() for name in ("kind", "sign", "quarter", "thing", "part", "shape")], axis=1)
        found, ids = np.unique(rows, axis=0, return_inverse=True)
        batch = {name: np.asarray(values).ravel() for name, values in cells.items()} | {"pixels": np.empty(0)}
        labels = CodeLabels(**label_codes(lambda _, ids=ids: ids, [batch], len(found)))
        grid = torch.from_numpy(ids.reshape(scene.rows, scene.cols))
        judge = PlanJudge(
            reader=PlanReader(labels),
            grid=(scene.rows, scene.cols),
            wanted=WantedTexts(texts=tuple(text.text for text in scene.texts)),
            things=tuple(
                Counter([*(one.thing for one in scene.things), *(one.shape for one in scene.objects)]).items()
            ),
        )
        if judge.score(grid.flatten()) < 1.0:
            wrong.append((number, [text.text for text in scene.texts], judge.reader.lines(grid)))
    assert not wrong, wrong[:5]
