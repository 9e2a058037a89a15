"""The evaluator of details: what it learns from is what it says, and the one that ships tells whole from damaged."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from inkwash.core.errors import WeightsError
from inkwash.eval.ocr import Line
from inkwash.rl.prompts import Ask, PromptSource
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.detail import DetailNet, crops_of, detail_loss, load_detail, rounded, save_detail
from inkwash.rl.rewards.detail_board import detail_board, roc_auc
from inkwash.rl.rewards.detail_crops import (
    CHANGED,
    KINDS,
    LEAST_CHANGED,
    CropWorld,
    DetailCrops,
    damaged,
    pairs,
    turned,
)
from inkwash.rl.rewards.detail_drawn import judged_crops, read_crops, verdicts, write_crops
from inkwash.scenes.render import render

WORLD = CropWorld(level="second", side=256)
ASKS: dict[str, list[Ask]] = {
    level: PromptSource(seed=5, count=3, level=level, canvases=((256, 256),), most_texts=2)(0)["asks"]
    for level in ("second", "card")
}


def truth(ask: Ask) -> tuple[Line, ...]:
    """What a perfect reader would say of the rendered scene."""
    return tuple(
        Line(text=item.text, score=0.9, box=tuple(map(float, item.box)))  # type: ignore[arg-type]
        for item in ask.scene.texts
    )


@dataclass(frozen=True)
class Facts:
    auc: float = 0.97
    threshold: float = 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_damage_can_be_seen_and_is_small(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.rl.rewards.detail_crops.KINDS", {kind: 1})
    rng, made = random.Random(0), 0
    for ask in (*ASKS["second"], *ASKS["card"]):
        for crop in crops_of(render(ask.scene), ask.scene):
            spoilt = damaged(crop, rng)
            if spoilt is None:
                continue
            made += 1
            far = np.abs(np.asarray(spoilt, float) - np.asarray(crop, float)).sum(-1) > CHANGED
            assert far.sum() >= LEAST_CHANGED
            assert kind == "blank" or far.mean() < 0.3  # a letter is spoilt, not the picture
    assert made > 20


def test_a_flat_crop_has_no_ink_to_spoil() -> None:
    assert damaged(Image.new("RGB", (64, 64), (200, 30, 30)), random.Random(0)) is None


def test_damage_goes_through_the_autoencoder() -> None:
    """Both crops of a place have the same blur; done afterwards, damage would be told by its sharp edges."""
    blur = ImageFilter.GaussianBlur(2)

    def energy(crop: Any) -> float:
        grey = np.asarray(Image.fromarray(crop).convert("L"), float)
        return float(np.abs(grey[2:] - 2 * grey[1:-1] + grey[:-2]).max())

    scene = ASKS["second"][0].scene
    sharp = pairs(scene, random.Random(1), None)
    soft = pairs(scene, random.Random(1), lambda image: image.filter(blur))
    assert len(sharp) == len(soft) > 1
    for (good, bad), (good_soft, bad_soft) in zip(sharp, soft, strict=True):
        assert not np.array_equal(good, bad) and not np.array_equal(good_soft, bad_soft)
        assert energy(bad_soft) < 0.5 * energy(bad)


def test_batches_are_a_function_of_the_step_and_hold_every_place_twice() -> None:
    make = DetailCrops(seed=1, worlds=(WORLD,), batch=16, scenes=3)
    first, again = make(4), replace(make)(4)
    assert np.array_equal(first["crops"], again["crops"]) and first["whole"].tolist() == [1.0, 0.0] * 8
    assert not np.array_equal(first["crops"], make(5)["crops"])
    pair = pairs(ASKS["second"][0].scene, random.Random(0), None)[0]
    other = turned(pair, random.Random(3))
    assert sorted(other[0].astype(int).sum((0, 1)).tolist()) != sorted(pair[0].astype(int).sum((0, 1)).tolist())
    steps = [np.abs(np.diff(crop.astype(int), axis=0)).sum() for crop in (other[0], pair[0])]
    assert steps[0] == steps[1]  # nothing but colours has changed


@pytest.mark.parametrize("level", ["second", "card"])
def test_true_pictures_are_right_and_what_is_read_wrong_is_not(level: str) -> None:
    for ask in ASKS[level][:1]:  # looking for things on a card takes a second
        image = render(ask.scene)
        assert all(right for _, right in verdicts(image, ask.scene, truth(ask)))
        found = judged_crops(image, image, ask.scene, truth(ask))
        assert found and all(one.label is True for one in found)
        unread = judged_crops(image, image, ask.scene, truth(ask)[1:])
        assert [one.failed for one in unread].count(True) == 1
        assert all(one.label is None for one in unread if one.failed)  # the reader's fault: it looks as it should


def test_a_refused_text_gives_the_crop_of_its_worst_place(tmp_path: Path) -> None:
    ask = ASKS["second"][0]
    image, item = render(ask.scene), ask.scene.texts[0]
    target = image.copy()
    right, middle = item.box[2], (item.box[1] + item.box[3]) // 2
    image.paste((255, 255, 255), (right - 24, item.box[1], right, item.box[3]))
    image.paste((0, 0, 0), (right - 16, middle - 8, right - 8, middle + 8))
    found = judged_crops(image, target, ask.scene, truth(ask)[1:])
    (bad,) = [one for one in found if one.failed]
    assert bad.label is False
    inside = np.asarray(bad.crop).reshape(-1, 3).tolist()
    assert [255, 255, 255] in inside and [0, 0, 0] in inside
    write_crops(found, tmp_path / "0.npz")
    write_crops([one for one in found if not one.failed], tmp_path / "1.npz")
    both = read_crops([tmp_path / "0.npz", tmp_path / "1.npz"])
    assert len(both.failed) == 1 and np.array_equal(both.failed[0], np.asarray(bad.crop))
    assert len(both.whole) == 2 * sum(one.label is True for one in found)


@pytest.mark.slow
def test_a_few_steps_tell_whole_from_damaged(tmp_path: Path) -> None:
    """What was learnt by heart is told; the file holds what was measured; what is no evaluator is refused."""
    torch.manual_seed(0)
    model, make = DetailNet(), DetailCrops(seed=1, worlds=(WORLD,), batch=16, scenes=4, turned=False)
    assert sum(p.numel() for p in model.parameters()) < 300_000
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = detail_loss(model, make(0))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    board = detail_board(rounded(model.eval()), make, 1)
    assert board.auc == board.made > 0.9 and board.drawn is None and board.crops == 16
    reward = load_detail(save_detail(model, tmp_path / "d.safetensors", board))
    assert reward.threshold == pytest.approx(board.threshold, abs=1e-3)
    ask = ASKS["second"][0]
    crops = torch.stack([torch.from_numpy(np.array(crop)) for crop in crops_of(render(ask.scene), ask.scene)])
    wanted = model(crops.permute(0, 3, 1, 2).float() / 127.5 - 1).sigmoid().mean()
    got = reward([RewardInput(ask=ask, image=render(ask.scene))])[0]
    assert got == pytest.approx(float(wanted.detach()), abs=1e-6)  # 16 bits in the file are all that there are


def test_a_file_that_is_no_evaluator_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no evaluator of details"):
        load_detail(tmp_path / "bad")


def test_roc_auc() -> None:
    assert roc_auc(np.array([0.9, 0.8, 0.3, 0.8]), np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.875)
    rng = np.random.default_rng(0)
    scores, whole = rng.integers(0, 9, 60) / 8.0, (rng.random(60) > 0.4).astype(float)
    good, bad = scores[whole > 0.5], scores[whole <= 0.5]
    exact = np.mean([1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad])
    assert roc_auc(scores, whole) == pytest.approx(float(exact))
