"""RLCS on the shipped small model: what is put in is not learnt, tiers steer what is asked, killed runs end alike."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inkwash.engine.see.generator import AnswerGenerator
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.tasks.questions import kinds_of, mark
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.weights import GlmVParts, load_glm_v
from inkwash.rl.curriculum import Curriculum
from inkwash.rl.grpo_see import (
    CurriculumState,
    SampledAnswer,
    SeeReinforce,
    answer_group,
    answer_logps,
    answer_part,
    grpo_see,
    reply_of,
    rolled_by,
)
from inkwash.rl.questions import QuestionSource, choose_asks, offline_hardness
from inkwash.train.curve import read_log

CPU = torch.device("cpu")
SOURCE = QuestionSource(seed=3, pool=6, canvases=((128, 128),), kinds=("read", "count", "color"))
CONFIG = SeeReinforce(
    steps=2, asks=2, group=3, max_new_tokens=24, thinking=6, lr=1e-4, save_every_s=0.0, precision="fp32"
)


@pytest.fixture(scope="module")
def parts() -> GlmVParts:
    return load_glm_v(resolve_vision("nano-v"), dtype=torch.float32)


@pytest.fixture(scope="module")
def answers(parts: GlmVParts) -> list[SampledAnswer]:
    parts.model.eval().requires_grad_(False)
    eyes = GlmVisionPipeline(parts, conversations=0)
    speaker = AnswerGenerator(parts.model, parts.processor, parts.stop_ids, conversations=1)
    return answer_group(eyes, speaker, SOURCE(0)["asks"][0], CONFIG)


def test_what_was_put_in_does_not_count(parts: GlmVParts, answers: list[SampledAnswer]) -> None:
    """Thoughts of six tokens are ended by force; the tags that end them are no choice of the model's."""
    assert len(answers) == 3 and any(answer.forced for answer in answers)
    part = answer_part(answers, np.array([1.0, -1.0, 0.5]), np.array([True, True, False]), 0)
    said, given = (
        sum(answer.example.n_target for answer in answers),
        sum(len(answer.forced_places) for answer in answers),
    )
    assert len(part.tokens) == said - given and given > 0
    first = answers[0]
    own = [
        t for i, t in enumerate(first.example.ids[-first.example.n_target :].tolist()) if i not in first.forced_places
    ]
    assert part.tokens[: len(own)].tolist() == own
    assert float(part.weight[: len(own)].sum()) == pytest.approx(1.0)
    assert float(part.weight.sum()) == pytest.approx(2.0)  # the third answer's group taught nothing


def test_the_training_path_says_what_the_engine_s_steps_said(parts: GlmVParts, answers: list[SampledAnswer]) -> None:
    """Teacher forcing gives a proper law; its own twin by hand over one answer."""
    part = answer_part(answers[:1], np.array([1.0]), np.array([True]), 0)
    logp, entropy = answer_logps(parts.model, part, CPU, "fp32")
    example = answers[0].example
    with torch.no_grad():
        features = parts.model.see(example.patches, example.grids)  # type: ignore[arg-type]
        hidden = parts.model(
            example.ids[None], example.positions[:, None], features=features, modality=example.modality[None]
        )
        law = parts.model.lm_head(hidden)[0].log_softmax(-1)
    wanted = [
        float(law[i - 1, example.ids[i]])
        for place, i in enumerate(range(len(example.ids) - example.n_target, len(example.ids)))
        if place not in answers[0].forced_places
    ]
    assert logp.tolist() == pytest.approx(wanted, abs=1e-4) and bool((entropy >= 0).all())
    again = rolled_by(parts.model, part, CPU)
    assert torch.equal(again.rolled, logp)


def test_tiers_steer_what_is_asked() -> None:
    pool = replace(SOURCE, pool=60)(1)["asks"]
    easy = Curriculum(weights=(0.96, 0.01, 0.01, 0.01, 0.01))
    hard = Curriculum(weights=(0.01, 0.01, 0.02, 0.95, 0.01))
    by = {}
    for name, state in (("easy", easy), ("hard", hard)):
        chosen = choose_asks(pool, state, {}, 6, random.Random(0))
        assert len({ask.key for ask in chosen}) == 6
        by[name] = np.mean([ask.difficulty for ask in chosen])
    assert by["easy"] < by["hard"]
    assert len(choose_asks(pool, Curriculum(ratio=2.0), {}, 6, random.Random(0))) == 12
    known = {pool[0].cell: 1.0}
    assert offline_hardness(known, pool[0]) == pytest.approx(0.5 * pool[0].difficulty)
    assert offline_hardness({}, pool[0]) == pool[0].difficulty


@pytest.mark.parametrize("level", ["first", "second", "card"])
def test_every_level_s_own_questions_are_asked(level: str) -> None:
    """Cards answer other kinds than scenes; what is asked can be marked, and its own answer is right."""
    asks = QuestionSource(seed=4, pool=60, level=level)(0)["asks"]
    kinds = {ask.turn.kind for ask in asks}
    assert kinds == set(kinds_of(level)) - {"nothing"}
    assert all(mark(ask.turn, reply_of(ask.turn.answer)) for ask in asks)


def test_a_curriculum_is_part_of_the_state() -> None:
    state, other = CurriculumState(), CurriculumState()
    state.value = Curriculum().observe(["read/1", "count/2"], [1, 3], [2, 0], 3)
    other.load_state_dict(state.state_dict())
    assert other.value == state.value and other.value.ratio == state.value.ratio == pytest.approx(2.0)


class Killed(Exception):
    """Stands for a kill: nothing of the loop runs after it."""


@pytest.mark.slow
def test_a_stopped_run_ends_bit_identical(tmp_path: Path) -> None:
    def run(folder: Path, stop: int | None) -> dict[str, torch.Tensor]:
        def make(step: int) -> dict:
            if step == stop:
                raise Killed
            return SOURCE(step)

        own = load_glm_v(resolve_vision("nano-v"), dtype=torch.float32)
        return grpo_see(own, make, folder, CONFIG, device=CPU)

    whole = run(tmp_path / "whole", None)
    with pytest.raises(Killed):
        run(tmp_path / "cut", 1)
    rest = run(tmp_path / "cut", None)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    log = read_log(tmp_path / "whole" / "log.csv")
    assert (tmp_path / "whole" / "log.csv").read_text() == (tmp_path / "cut" / "log.csv").read_text()
    assert {"expansion", "forced", "right", "tier_0", "zero_variance"} <= log.keys()
    assert max(value for _, value in log["first_ratio"]) == 0.0
