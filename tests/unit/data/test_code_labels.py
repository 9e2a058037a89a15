"""Codes are named by what most of their cells show, whatever the encoder is like."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inkwash.data.code_labels import label_codes
from inkwash.data.scenes import LabelledScenes
from inkwash.engine.plan_choice import PlanJudge, PlanReader
from inkwash.engine.readback import WantedTexts
from inkwash.models.glm_image.code_labels import CodeLabels
from inkwash.scenes.card_meanings import NO_COLOR, cell_card_meanings
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.world import CARD_COLORS, SHAPES

SCENES = LabelledScenes(seed=3, batch=6, level="card", noise=0.0, canvases=((256, 256),), chinese=0.4)


class Perfect:
    """An encoder that gives every content a code of its own, and counts what it was asked."""

    def __init__(self) -> None:
        self.batches = [SCENES(step) for step in range(3)]
        names = ("kind", "sign", "quarter", "thing", "part", "shape", "color", "border")
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
    kind, sign, quarter, thing, part, shape, color, border = np.concatenate(encoder.rows).T
    ids = encoder.ids.ravel()
    letters, things = kind == 1, kind == 3
    assert letters.sum() > 50 and things.sum() > 20, "the scenes show both"
    for code, one, place in zip(ids[letters].tolist(), sign[letters], quarter[letters], strict=True):
        assert list(labels.letters[code]) == [(labels.characters[one - 1], place)] and code not in labels.pieces
    first = np.isin(part, (1, 5, 14))  # the upper left of 2 x 2, 3 x 3 and 5 x 5 cells
    for code, one, begins in zip(ids[things].tolist(), thing[things], first[things], strict=True):
        assert labels.pieces[code] == [(labels.things[one - 1], begins)] and code not in labels.letters
    for code, one in zip(ids[kind == 2].tolist(), shape[kind == 2], strict=True):
        assert labels.pieces[code][0][0] == SHAPES[one - 1]
    assert not np.isin(ids[kind == 0], labels.code).any() and labels.codes - 1 not in labels.code, "they show nothing"
    assert (labels.share == 100).all()
    assert (labels.ink[ids[letters]] == color[letters]).all() and (labels.ink[ids[~letters]] == -1).all()
    edge = (kind == 0) & (border > 0)
    assert (labels.ground[ids[edge]] == border[edge] - 1).all() and (labels.ground[ids[kind != 0]] == -1).all()
    assert labels.colors == tuple(CARD_COLORS) and labels.contrast.shape == (len(CARD_COLORS),) * 2
    black, white = labels.colors.index("black"), labels.colors.index("white")
    assert labels.contrast[black, white] > 15 and labels.contrast[white, white] == 1


def test_a_code_has_every_name_of_its_kind_that_is_not_rare() -> None:
    """Of twenty cells: eight an E, six an F, five nothing (two at the edge) and one a thing."""
    names = ("kind", "sign", "quarter", "thing", "part", "shape", "color", "border")
    letters = [[1, 5, 1, 0, 0, 0, 2, 0]] * 8 + [[1, 6, 1, 0, 0, 0, 3, 0]] * 6
    cells = np.array([*letters, *[[0] * 8] * 3, *[[0] * 7 + [5]] * 2, [3, 0, 0, 2, 1, 0, NO_COLOR, 0]])
    batch = dict(zip(names, cells.T, strict=True)) | {"pixels": np.empty(0)}
    labels = CodeLabels(**label_codes(lambda _: np.zeros(20, dtype=np.int64), [batch], 1))
    assert list(labels.letters[0].items()) == [((labels.characters[4], 1), 40), ((labels.characters[5], 1), 30)]
    assert not labels.pieces
    assert (labels.ink.tolist(), labels.ground.tolist()) == ([2], [4]), (
        "the colour of 8 letters of 14; both at the edge"
    )
    mostly_empty = dict(zip(names, np.concatenate([cells, cells * 0]).T, strict=True)) | {"pixels": np.empty(0)}
    assert not CodeLabels(**label_codes(lambda _: np.zeros(40, dtype=np.int64), [mostly_empty], 1)).letters


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
        labels = replace(labels, ink=np.full(len(found), -1))  # these codes tell no colours
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
