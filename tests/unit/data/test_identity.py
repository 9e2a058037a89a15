"""The pictures of the fine-tuning example: new to the world, checkable, the same every time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from inkwash.data.folder import read_source
from inkwash.data.identity import Identity, write_pictures
from inkwash.eval.tasks.identity import score_identity
from inkwash.media.images import image_size
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import NEW_SHAPES


@pytest.mark.parametrize("shape", NEW_SHAPES)
def test_the_truth_passes_the_check_and_the_plain_world_does_not(shape: str) -> None:
    cases = Identity(shape=shape).scenes(8, "held_out")
    truth = [render(scene) for scene, _ in cases]
    words = {id(image): [text.text for text in scene.texts] for image, (scene, _) in zip(truth, cases, strict=True)}
    score = score_identity(truth, cases, lambda image: words[id(image)])
    assert (score.shape, score.shape_and_color, score.background, score.words) == (1.0, 1.0, 1.0, 1.0)
    rng = random.Random(0)
    others = [render(sample_scene(rng, level="first")) for _ in cases]
    assert score_identity(others, cases, None).shape == 0.0
    red = [(scene, told) for scene, told in Identity(shape=shape, color="red").scenes(8, "held_out")]
    drawn = [render(scene) for scene, _ in red]
    yellow = score_identity(drawn, [(case[0], other[1]) for case, other in zip(cases, red, strict=True)], None)
    assert yellow.shape == 1.0 and yellow.shape_and_color < 0.5


def test_the_folder_is_a_users_and_writing_it_again_touches_nothing(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", Identity(), 4)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    examples = read_source(write_pictures(folder, Identity(), 4))
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(examples) == 4 and all("cross" in example.prompt for example in examples)
    assert {image_size(example.image) for example in examples} == {(256, 256)}


def test_tests_use_words_that_nothing_was_trained_on() -> None:
    for split in ("train", "held_out"):
        for scene, _ in Identity().scenes(10, split):
            assert is_held_out(scene.texts[0].text) is (split == "held_out")


def test_what_nano_knows_is_nothing_new() -> None:
    with pytest.raises(ValueError, match="has not seen: cross, arrow"):
        Identity(shape="circle")
