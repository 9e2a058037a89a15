"""Whole runs with a knowing judge and a pipeline that draws the truth: order of checks, resuming, what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from inkwash.core.errors import ConfigError, InkwashError, MediaError
from inkwash.core.types import Size
from inkwash.engine.request import DrawRequest
from inkwash.eval.bench import CHECK_CASES, EditsRun, EvalRun, ScenesRun, run_edits, run_scenes
from inkwash.eval.sources import DrawConfig
from inkwash.scenes.render import render
from tests.unit.eval.judges import KnowingJudge

SMALL = Size(128, 128)


class TruePipe:
    """Draws the true scene of a prompt."""

    def __init__(self, truth: dict[str, Any]) -> None:
        self.truth = truth
        self.calls = 0

    def draw(self, requests: list[DrawRequest], **_: Any) -> Any:
        self.calls += 1
        images = [render(self.truth[each.prompt]) for each in requests]
        return type("Output", (), {"images": images})


def scenes_of(run: ScenesRun) -> tuple[TruePipe, KnowingJudge]:
    cases = run.cases(max(run.n, CHECK_CASES))
    return TruePipe({case.prompt: case.scene for case in cases}), KnowingJudge([case.scene for case in cases])


def forbidden() -> NoReturn:
    raise AssertionError("the model was opened")


def test_a_whole_run_and_its_second_half(tmp_path: Path) -> None:
    run = ScenesRun(n=3, size=SMALL, out=tmp_path / "out", batch=2, draw=DrawConfig(steps=5))
    pipe, judge = scenes_of(run)
    stages: list[str] = []
    result = run_scenes(run, lambda: pipe, reader=judge, progress=lambda stage, done, total: stages.append(stage))  # type: ignore[arg-type, return-value]
    numbers = result.to_dict()
    assert list(dict.fromkeys(stages)) == ["judge", "draw", "read"]
    assert pipe.calls == 2 and numbers["word_accuracy"] == 1.0 and numbers["truth_word_accuracy"] == 1.0
    assert (numbers["seed"], numbers["steps"], numbers["source"], numbers["model"]) == (0, 5, "ar", "nano")
    assert numbers["seconds_per_picture"] >= 0
    json.dumps(numbers, allow_nan=False)

    again = run_scenes(run, forbidden, reader=judge)
    assert again.to_dict() | {"seconds_per_picture": None} == numbers | {"seconds_per_picture": None}

    larger = ScenesRun(n=5, size=SMALL, out=tmp_path / "out", batch=2, draw=DrawConfig(steps=5))
    run_scenes(larger, lambda: pipe, reader=judge)  # type: ignore[arg-type, return-value]
    assert pipe.calls == 3


def test_finished_pictures_need_no_model(tmp_path: Path) -> None:
    run = ScenesRun(n=2, size=SMALL)
    _, judge = scenes_of(run)
    for i, case in enumerate(run.cases()):
        render(case.scene).save(tmp_path / f"{i}.png")
    numbers = run_scenes(ScenesRun(n=2, size=SMALL, images=tmp_path), forbidden, reader=judge).to_dict()
    assert numbers["word_accuracy"] == 1.0 and numbers["model"] is None and numbers["source"] is None
    with pytest.raises(MediaError, match="lacks 1 of the 3"):
        run_scenes(ScenesRun(n=3, size=SMALL, images=tmp_path), forbidden, reader=judge)
    with pytest.raises(ConfigError, match="picture 0 is 128x128, but the scenes are 256x256"):
        run_scenes(ScenesRun(n=2, images=tmp_path), forbidden, reader=scenes_of(ScenesRun(n=2))[1])


def test_a_blind_judge_stops_the_run_before_the_model_is_opened() -> None:
    with pytest.raises(ConfigError, match="perfect pictures"):
        run_scenes(ScenesRun(n=2, size=SMALL), forbidden, reader=KnowingJudge([]))


def test_a_folder_of_another_run_is_refused_before_the_work(tmp_path: Path) -> None:
    run = ScenesRun(n=1, size=SMALL, source="truth", out=tmp_path)
    _, judge = scenes_of(run)
    run_scenes(run, forbidden, reader=judge)
    for other in (
        ScenesRun(n=1, size=SMALL, out=tmp_path),
        ScenesRun(n=1, size=SMALL, source="truth", out=tmp_path, fingerprint="other weights"),
        ScenesRun(n=1, size=SMALL, source="truth", out=tmp_path, draw=DrawConfig(seed=1)),
    ):
        with pytest.raises(ConfigError, match="pictures of another run"):
            run_scenes(other, forbidden, reader=judge)


def test_edits_run() -> None:
    run = EditsRun(n=2, size=SMALL)
    cases = run.cases(CHECK_CASES)
    judge = KnowingJudge([case.edit.target for case in cases] + [case.edit.sources[0] for case in cases])
    pipe = TruePipe({case.edit.instruction: case.edit.target for case in run.cases()})
    numbers = run_edits(run, lambda: pipe, reader=judge).to_dict()  # type: ignore[arg-type, return-value]
    assert numbers["n"] == 2 and set(numbers["per_kind"]) == {"background", "words"}
    assert numbers["edit_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (EvalRun, {"n": 0}),
        (EvalRun, {"n": 1, "batch": 0}),
        (EvalRun, {"n": 1, "size": Size(100, 128)}),
        (EvalRun, {"n": 1, "images": Path("a"), "out": Path("b")}),
        (ScenesRun, {"n": 1, "source": "magic"}),
        (ScenesRun, {"n": 1, "regions": (2, 1)}),
        (ScenesRun, {"n": 1, "regions": (0, 1)}),
        (EditsRun, {"n": 1, "kinds": ("style",)}),
        (EditsRun, {"n": 1, "kinds": ()}),
    ],
)
def test_bad_runs_are_refused(kind: type[EvalRun], bad: dict[str, Any]) -> None:
    with pytest.raises(InkwashError):
        kind(**bad)
