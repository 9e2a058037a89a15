"""The sampler beside the engine's loop, on a tiny checkpoint; plans with their kept sets; the training path's law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
from torch import Tensor

from inkwash.core.seeds import make_generator
from inkwash.engine.denoise import DenoiseInput, Denoiser
from inkwash.engine.output import upsample
from inkwash.engine.request import Watch
from inkwash.rl.grpo_ar import ARReinforce, packed, plan_logps, plan_part, scored, stored
from inkwash.rl.kernels import Kernel
from inkwash.rl.loop import RolloutStore
from inkwash.rl.prompts import PromptSource, digest, share_of
from inkwash.rl.rewards.base import PlanInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.rollout import PlanSample, Rollout, plan_rows, sampling_of
from inkwash.rl.sampler import check_window, sample
from tests.unit.rl.stages import CPU, SOURCE, tiny_parts


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Rollout:
    parts = tiny_parts(tmp_path_factory.mktemp("rl"))
    for part in (parts.ar, parts.decoder, parts.glyph, parts.vae):
        part.eval().requires_grad_(False)
    return Rollout(parts=parts, sampling=sampling_of(parts), steps=3, together=4)


@pytest.fixture(scope="module")
def plans(rollout: Rollout) -> list[list[PlanSample]]:
    asks = SOURCE(0)["asks"][:2]
    return rollout.plans(asks, [[1, 2, 3], [4, 5]])


def prepared(rollout: Rollout, tokens: Tensor, guidance: float) -> tuple[Denoiser, Tensor]:
    stages = rollout.stages
    glyphs = stages.glyphs('"A"')
    ids = upsample(tokens.flatten(), (4, 4))
    pictures = [DenoiseInput(prior_ids=ids, glyphs=glyphs, no_glyphs=stages.glyphs("")) for _ in range(2)]
    denoiser = Denoiser(
        decoder=rollout.parts.decoder,
        schedule=stages.schedule(128, 128, 3),
        guidance_scale=guidance,
        size=(128, 128),
        pictures_per_pass=2,
    )
    denoiser.prepare(pictures, (16, 16))
    return denoiser, torch.cat([stages.noise(make_generator(seed), 128, 128) for seed in (1, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_without_noise_the_latents_are_the_engine_s(
    rollout: Rollout, plans: list[list[PlanSample]], guidance: float
) -> None:
    denoiser, noise = prepared(rollout, plans[0][0].target, guidance)
    wanted = denoiser.run(noise, Watch())
    assert torch.equal(sample(denoiser, noise).latents, wanted)
    zero = sample(denoiser, noise, kernel=Kernel(name="cps"), window=(0, 2))
    assert torch.equal(zero.latents, wanted) and not zero.steps


def test_random_steps_are_kept_and_each_picture_has_its_own_numbers(
    rollout: Rollout, plans: list[list[PlanSample]]
) -> None:
    denoiser, noise = prepared(rollout, plans[0][0].target, 1.0)

    def run(seeds: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        path = sample(
            denoiser,
            noise,
            kernel=Kernel(name="cps", noise=0.8),
            window=(0, 2),
            generators=[make_generator(seed) for seed in seeds],
        )
        assert [step.index for step in path.steps] == [0, 1]
        assert torch.equal(path.steps[0].before, noise) and torch.equal(path.steps[1].before, path.steps[0].after)
        return path.latents, [(step.after - step.mean) / step.std for step in path.steps]

    (first, numbers), (second, _) = run((7, 8)), run((7, 9))
    assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1])
    assert abs(float(torch.cat(numbers).std()) - 1) < 0.05


def test_windows_that_cannot_be_are_refused() -> None:
    for window, kernel in (((0, 5), Kernel()), ((2, 1), Kernel()), ((1, 4), Kernel(name="cps", noise=0.5))):
        with pytest.raises(ValueError, match=r"window|random"):
            check_window(window, 4, kernel)


def test_a_plan_knows_the_law_it_was_drawn_from(rollout: Rollout, plans: list[list[PlanSample]]) -> None:
    """The kept sets hold every token; what the sampler says agrees with one teacher-forced pass, as on accelerators."""
    for plan in plans[0]:
        for i, token in enumerate(plan.tokens.tolist()):
            own = plan.kept.values[plan.kept.offsets[i] : plan.kept.offsets[i + 1]].tolist()
            assert token in own
        again = rollout._traced(plan)
        assert torch.allclose(torch.tensor(again.logps), plan.logps, atol=1e-4)
    assert len({tuple(plan.tokens.tolist()) for plan in plans[0]}) == 3
    assert rollout.plans(SOURCE(0)["asks"][:1], [[1, 2, 3]])[0][1].tokens.equal(plans[0][1].tokens)


def test_the_training_path_gives_the_rollout_s_law(rollout: Rollout, plans: list[list[PlanSample]]) -> None:
    """fp32 against fp32: the mismatch of log-probabilities is rounding alone; tokens without choice are left out."""
    samples = [plan for group in plans for plan in group]
    part = plan_part(
        rollout.parts.ar,
        samples,
        np.arange(5.0),
        np.array([True] * 4 + [False]),
        ARReinforce(steps=1, target_weight=2.0),
    )
    logp, entropy = plan_logps(rollout.parts.ar, part, CPU, "fp32", 1.0)
    assert (logp - part.rolled).abs().mean() < 1e-4 and bool((entropy > 0).all())
    assert len(logp) == sum(int(plan.kept.choice.sum()) for plan in samples)
    rows = plan_rows(samples, rollout.parts.ar.config)
    assert rows.targets[rows.weight > 0].tolist() == [t for plan in samples for t in plan.tokens.tolist()]
    last = int(samples[-1].kept.choice.sum())
    assert set(part.weight[:-last].tolist()) == {1.0, 2.0} and not bool(part.weight[-last:].any())


def test_plans_of_edits_have_the_same_law_in_training(rollout: Rollout) -> None:
    """References stand in the prompt of rollout and training alike; what is stored of a group comes back whole."""
    source = PromptSource(seed=3, count=2, edits=1.0, canvases=((256, 256),))
    asks = source(0)["asks"]
    assert all(len(ask.sources) == 1 and ask.scene != ask.sources[0] for ask in asks)
    sampled = rollout.plans(asks, [[1, 2], [3, 4]])
    samples = [plan for plans in sampled for plan in plans]
    config = ARReinforce(steps=1)
    part = plan_part(rollout.parts.ar, samples, np.ones(4), np.ones(4, dtype=bool), config)
    logp, _ = plan_logps(rollout.parts.ar, part, CPU, config.precision_on(CPU), 1.0)
    assert (logp - part.rolled).abs().mean() < 1e-4
    (ids,) = samples[0].reference_grids
    assert ids.tolist() == rollout.true_plan(asks[0].sources[0]).tolist()
    assert (
        ids.flatten().tolist()
        == plan_rows(samples[:1], rollout.parts.ar.config)
        .ids[0]
        .tolist()[
            (at := samples[0].prompt.ids.tolist().index(rollout.parts.ar.config.image_token_id)) : at + ids.numel()
        ]
    )

    class Copies:
        name = "copies"

        def __call__(self, items: Sequence[PlanInput]) -> list[float]:
            assert all(item.true is not None and len(item.references) == 1 for item in items)
            return [float(item.tokens[0, 0]) for item in items]

    groups = [*scored(rollout, Scorer(plans={"copies": Copies()}), list(zip(asks, sampled, strict=True)), config)]
    store = create_autospec(RolloutStore, instance=True)
    store.get.return_value = [packed(group) for group in groups]
    again = stored(store, 0, asks, rollout)
    assert again is not None
    same = plan_rows([plan for group in again for plan in group.plans], rollout.parts.ar.config)
    assert torch.equal(same.ids, part.rows.ids) and torch.equal(same.positions, part.rows.positions)


def test_pictures_depend_on_their_seed_alone(rollout: Rollout, plans: list[list[PlanSample]]) -> None:
    targets = [plan.target for plan in plans[0]]
    one = rollout.pictures(targets[:2], ['"A"', '"A"'], [5, 6])
    two = rollout.pictures(targets[:2], ['"A"', '"A"'], [5, 7])
    assert torch.equal(one.latents[0], two.latents[0]) and not torch.equal(one.latents[1], two.latents[1])
    assert one.images[0].size == (128, 128)


def test_prompts_are_a_function_of_the_step() -> None:
    source = replace(SOURCE, count=3, spare=2)
    first, again = source(4)["asks"], source(4)["asks"]
    assert [ask.prompt for ask in first] == [ask.prompt for ask in again] and len(first) == 5
    assert source(5)["asks"][0].prompt != first[0].prompt
    assert all(ask.texts == list(ask.scene.quotes) for ask in first)
    assert [ask.key for ask in share_of(first, 1, 2)] == ["4/1", "4/3"]
    assert digest("a", 1) == digest("a", 1) != digest("a", 2)


@pytest.mark.parametrize("level", ["first", "second", "card"])
def test_every_level_can_be_asked_for(level: str) -> None:
    asks = PromptSource(seed=2, count=2, level=level, canvases=((256, 256),), most_texts=2)(0)["asks"]
    assert all(1 <= len(ask.texts) <= 2 and ask.scene.width == 256 for ask in asks)


def test_the_folder_of_a_run_may_hold_rollouts(tmp_path: Path) -> None:
    """What was stored comes back; a saved state lets go of what stands before the state before it."""
    from inkwash.train.parallel import Ranks

    store = RolloutStore(tmp_path, Ranks())
    for step in range(4):
        store.put(step, [{"rewards": torch.tensor([float(step)])}])
    assert store.get(2)[0]["rewards"].tolist() == [2.0] and store.get(9) is None
    store.saved(2)
    assert store.get(0) is not None
    store.saved(3)
    assert store.get(1) is None and store.get(2) is not None
    store.clear()
    assert store.get(3) is None
