"""Scenes with read-back: both numbers of one run, the journal, resuming, what does not go together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.engine.request import DrawRequest
from inkwash.engine.verify import Reading, Verify, attempt_seed
from inkwash.eval.bench import ScenesRun, run_scenes
from inkwash.eval.run import check_settings
from inkwash.eval.sources import DrawConfig
from inkwash.eval.tasks.scenes import held_out
from inkwash.eval.verified import FILE, Journal, gain, verified_drawer
from inkwash.scenes.render import render

CASES = held_out(4, seed=3, width=128, height=128)
RIGHT = {i: attempt_seed(3 + i, 1, 0) if i % 2 else 3 + i for i in range(4)}  # odd pictures need a third attempt


class Pipe:
    """Draws the truth for the right noise of a picture, and a blank otherwise."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def draw(self, request: DrawRequest, **_: Any) -> Any:
        assert request.seed is not None
        self.drawn.append(request.seed)
        index = [case.prompt for case in CASES].index(request.prompt)
        truth = render(CASES[index].scene) if request.seed == RIGHT[index] else Image.new("RGB", (128, 128))
        return type("Output", (), {"images": [truth], "plan": object()})()


class Judge:
    """Reads the rendered truth only."""

    name = "knowing"

    known: ClassVar[dict[bytes, list[str]]] = {
        render(case.scene).tobytes(): [text.text for text in case.scene.texts]
        for case in held_out(24, seed=3, width=128, height=128)
    }

    def texts(self, image: Image.Image) -> list[str]:
        return self.known.get(image.tobytes(), [])


def run(pipe: Pipe, out: Path | None, n: int = 4, verify: Verify | None = None) -> dict[str, Any]:
    from inkwash.core.types import Size

    asked = ScenesRun(
        n=n, size=Size(128, 128), draw=DrawConfig(seed=3, steps=2), out=out, batch=1, verify=verify or Verify(tries=3)
    )
    return run_scenes(asked, lambda: pipe, reader=Judge()).to_dict()  # type: ignore[arg-type,return-value]


def test_one_run_measures_the_first_and_the_kept_attempt(tmp_path: Path) -> None:
    pipe = Pipe()
    scores = run(pipe, tmp_path)
    words = [len(case.scene.texts) for case in CASES]
    assert scores["first_word_accuracy"] == pytest.approx((words[0] + words[2]) / sum(words), abs=1e-6)
    assert scores["kept_word_accuracy"] == scores["word_accuracy"] == 1.0
    assert scores["attempts_per_picture"] == 2.0 and scores["verified_pictures"] == 4 and scores["tries"] == 3
    assert len(pipe.drawn) == 8 and scores["seconds_with_verification"] >= scores["seconds_first_attempt"]


def test_a_second_run_draws_nothing_and_tells_the_same(tmp_path: Path) -> None:
    first, pipe = run(Pipe(), tmp_path, n=2), Pipe()
    again = run(pipe, tmp_path, n=2)
    assert pipe.drawn == []
    assert {key: again[key] for key in again if key != "seconds_per_picture"} == {
        key: first[key] for key in first if key != "seconds_per_picture"
    }
    with (tmp_path / FILE).open("a") as file:
        file.write('\n{"index": 1, "torn')
    run(pipe, tmp_path, n=4)
    assert len(pipe.drawn) == 4 and set(Journal(tmp_path / FILE).rows) == {0, 1, 2, 3}
    with pytest.raises(ConfigError, match="tries is 3 there and 4 here"):
        run(Pipe(), tmp_path, verify=Verify(tries=4))
    with pytest.raises(ConfigError, match="best_of"):
        check_settings(tmp_path, {"best_of": 9})


def test_only_the_whole_model_is_verified() -> None:
    with pytest.raises(ConfigError, match="whole model"):
        ScenesRun(n=1, verify=Verify(), source="teacher")
    with pytest.raises(ConfigError, match="whole model"):
        ScenesRun(n=1, verify=Verify(), images=Path())


def test_the_most_legible_of_best_of_is_kept() -> None:
    sure = iter([0.5, 0.9, 0.7])

    def read(image: Image.Image) -> Reading:
        return Reading(lines=tuple(text.text for text in CASES[0].scene.texts), confidence=next(sure))

    journal, pipe = Journal(None), Pipe()
    draw = verified_drawer(CASES, pipe, DrawConfig(seed=3), Verify(tries=1, best_of=3), read, journal)  # type: ignore[arg-type]
    images: Sequence[Image.Image] = draw([0])
    assert len(images) == 1 and journal.rows[0].kept == 1 and journal.rows[0].attempts == 3
    assert gain(CASES, journal)["attempts_per_picture"] == 3.0
