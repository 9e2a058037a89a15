"""The examples run: pictures of a new shape are checkable and the same every time; three kinds of codes compare."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from inkwash.data.folder import read_source
from inkwash.media.images import image_size
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render
from inkwash.scenes.words import is_held_out
from inkwash.scenes.world import NEW_SHAPES
from tests.examples import EXAMPLES, load

new_shape = load("new_shape")


@pytest.mark.parametrize("shape", NEW_SHAPES)
def test_the_truth_passes_the_check_and_the_plain_world_does_not(shape: str) -> None:
    cases = new_shape.Identity(shape=shape).scenes(8, "held_out")
    truth = [render(scene) for scene, _ in cases]
    words = {id(image): [text.text for text in scene.texts] for image, (scene, _) in zip(truth, cases, strict=True)}
    score = new_shape.score_identity(truth, cases, lambda image: words[id(image)])
    assert (score.shape, score.shape_and_color, score.background, score.words) == (1.0, 1.0, 1.0, 1.0)
    rng = random.Random(0)
    others = [render(sample_scene(rng, level="first")) for _ in cases]
    assert new_shape.score_identity(others, cases, None).shape == 0.0
    red = [(scene, told) for scene, told in new_shape.Identity(shape=shape, color="red").scenes(8, "held_out")]
    drawn = [render(scene) for scene, _ in red]
    yellow = new_shape.score_identity(
        drawn, [(case[0], other[1]) for case, other in zip(cases, red, strict=True)], None
    )
    assert yellow.shape == 1.0 and yellow.shape_and_color < 0.5


def test_the_folder_is_a_users_and_writing_it_again_touches_nothing(tmp_path: Path) -> None:
    folder = new_shape.write_pictures(tmp_path / "pictures", new_shape.Identity(), 4)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    examples = read_source(new_shape.write_pictures(folder, new_shape.Identity(), 4))
    assert before == {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(examples) == 4 and all("cross" in example.prompt for example in examples)
    assert {image_size(example.image) for example in examples} == {(256, 256)}


def test_tests_use_words_that_nothing_was_trained_on() -> None:
    for split in ("train", "held_out"):
        for scene, _ in new_shape.Identity().scenes(10, split):
            assert is_held_out(scene.texts[0].text) is (split == "held_out")


def test_what_nano_knows_is_nothing_new() -> None:
    with pytest.raises(ValueError, match="has not seen: cross, arrow"):
        new_shape.Identity(shape="circle")


@pytest.mark.slow  # three tokenizers and three generators
def test_three_kinds_of_codes_are_compared(tmp_path: Path) -> None:
    codes = load("codes_comparison")
    small = {"tokenizer_batch": 4, "codes": 16, "batch": 4, "pictures": 96, "held": 32}
    codes.compare_codes(codes.CodesComparison(work=tmp_path, tokenizer_steps=4, ar_steps=2, **small))
    table = json.loads((tmp_path / "table.json").read_text())
    assert table.keys() == codes.COLORS.keys()
    assert all(row["held-out loss"] == pytest.approx(5, abs=0.5) for row in table.values()), "hardly any step yet"
    assert (tmp_path / "losses.csv").read_text().splitlines()[0] == "step,semantic-VQ,VQ-VAE,1-D"
    assert (tmp_path / "losses.png").is_file()


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_every_example_finds_what_it_imports(name: str) -> None:
    assert load(name).__doc__
