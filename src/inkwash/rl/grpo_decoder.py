"""Reinforce the diffusion decoder: pictures of true plans, several noises each, judged; then one of three losses.

The plan is that of a rendered scene, so there is a picture to be near to, and the AR generator stays out of it. `nft`
(DiffusionNFT, the default) and `awm` (advantage weighted matching) roll out with the plain Euler sampler and learn from
the finished latents alone; `flow_grpo` makes the steps of a window random and raises the probability of those that led
to better pictures, within a `clip` range, with the `guard`ed ratio, or under the `dppo` mask. See `loss.py` for
sources.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from inkwash.data.loader import Batch
from inkwash.data.scenes import half_size
from inkwash.models.glm_image.schedule import add_noise
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.rl.loop import Best, Numbers, RolloutStore, varied_groups
from inkwash.rl.policy import JudgedRun, TrainedPolicy
from inkwash.rl.prompts import Ask, PromptSource, digest, share_of
from inkwash.rl.replica import PolicyReplica, Shadow
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.rollout import Rollout, sampling_of
from inkwash.rl.sampler import KernelStep
from inkwash.rl.velocities import DecoderReinforce, VelocityPart, learn
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene
from inkwash.train.config import equal_parts
from inkwash.train.decoder import FrozenParts, predict_velocity
from inkwash.train.lora import LoRA
from inkwash.train.parallel import Ranks, prepare_decoder

LEAST_SIGMA = 0.01  # noise levels below it are not learnt from
JudgeRun = Callable[[Rollout, int], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class PictureGroup:
    """The pictures of one plan: latents (K, C, h, w), rewards (K, R), random steps (K rows each)."""

    ask: Ask
    ids: Tensor  # semantic tokens (rows, columns)
    latents: Tensor
    rewards: npt.NDArray[np.float64]
    steps: tuple[KernelStep, ...] = ()
    images: tuple[Image.Image, ...] = ()
    target: Image.Image | None = None


def grpo_decoder(
    parts: GlmImageParts,
    make: Callable[[int], Batch],
    scorer: Scorer,
    folder: Path,
    config: DecoderReinforce,
    *,
    device: torch.device,
    lora: LoRA | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    judge: JudgeRun | None = None,
) -> dict[str, Tensor]:
    """Run or continue the stage; returns the best weights (of the adapter, with `lora`), whole on every process."""
    decoder, glyph = parts.decoder.train().to(device), parts.glyph.eval().requires_grad_(False).to(device)
    replica = PolicyReplica(decoder, dtype=None if device.type == "cpu" else torch.bfloat16)
    rolling = replace(parts, decoder=replica.network, glyph=copy.deepcopy(glyph))
    rollout = Rollout(parts=rolling, sampling=sampling_of(parts), steps=config.draw_steps, together=config.together)
    frozen = FrozenParts(
        vae=parts.vae, vision=parts.ar.model.visual, vq=parts.ar.model.vqmodel, scheduler=parts.scheduler
    )
    frozen.to(device)
    if lora is None:
        prepare_decoder(decoder, glyph, ranks, config)
    policy = TrainedPolicy(decoder, "transformer", config, lora, ranks)
    start, old = Shadow(policy.trained, policy.network), Shadow(policy.trained, policy.network)
    state = Numbers(**Best.numbers())
    saved = policy.run(folder, {"start": start, "old": old, "numbers": state}, device, replicated=lora is not None)
    run = JudgedRun(policy, saved, state, scorer, partial(judge, rollout) if judge is not None else None)
    velocity_of = partial(_velocity, decoder, glyph, parts, precision=config.precision)
    for step, batch in run.steps(make):
        numbers = run.judged(step, replica)
        with old.swapped():
            replica.refresh(policy.whole())
        asks = share_of(batch["asks"], ranks.rank, ranks.data)
        groups = stored(run.store, step, asks)
        if groups is None:
            groups = roll(rollout, scorer, frozen, asks, step, config, ranks, device)
            run.store.put(step, [packed(group) for group in groups])
        rewards, found, about = run.advantages(step, groups)
        minibatches = velocity_parts(rollout, groups, found.values, config, device, step)
        numbers |= about | learn(minibatches, velocity_of, policy.trained, policy.optimizers, start, old, config, ranks)
        policy.ema.update()
        old.blend(config.old_keep(step + 1))
        run.finish(step, rewards, numbers)
    return run.result()


def _velocity(decoder: Any, glyph: Any, parts: GlmImageParts, part: VelocityPart, *, precision: str) -> Tensor:
    return predict_velocity(
        decoder, glyph, part.noisy, part.sigma, part.ids, part.texts, parts.scheduler, precision=precision
    )


def roll(
    rollout: Rollout,
    scorer: Scorer,
    frozen: FrozenParts,
    asks: Sequence[Ask],
    step: int,
    config: DecoderReinforce,
    ranks: Ranks,
    device: torch.device,
) -> list[PictureGroup]:
    """This process's share of the groups: those with variance first, spares taken until there are enough."""

    def rolled(now: Sequence[Ask]) -> list[PictureGroup]:
        targets = [render(ask.scene) for ask in now]
        ids = list(true_plans(frozen, device, [ask.scene for ask in now]))
        return scored(rollout, scorer, now, targets, ids, config)

    return varied_groups(asks, config.asks // ranks.data, step, scorer, rolled)


def scored(
    rollout: Rollout,
    scorer: Scorer,
    asks: Sequence[Ask],
    targets: Sequence[Image.Image],
    ids: Sequence[Tensor],
    config: DecoderReinforce,
) -> list[PictureGroup]:
    """`group` pictures of every plan, judged."""
    k = config.group
    made = rollout.pictures(
        [each for each in ids for _ in range(k)],
        [ask.prompt for ask in asks for _ in range(k)],
        [digest("noise", config.seed, ask.key, number) for ask in asks for number in range(k)],
        kernel=config.law,
        window=config.window,
    )
    items = [
        RewardInput(ask=ask, image=made.images[i * k + number], target=target)
        for i, (ask, target) in enumerate(zip(asks, targets, strict=True))
        for number in range(k)
    ]
    scores = scorer.score(items)
    groups = []
    for i, (ask, target) in enumerate(zip(asks, targets, strict=True)):
        rows = slice(i * k, (i + 1) * k)
        groups.append(
            PictureGroup(
                ask=ask,
                ids=ids[i],
                latents=made.latents[rows].cpu(),
                rewards=scores[rows],
                steps=tuple(_rows(each, rows) for each in made.steps),
                images=tuple(made.images[rows]),
                target=target,
            )
        )
    return groups


def _rows(step: KernelStep, rows: slice) -> KernelStep:
    return replace(step, before=step.before[rows].cpu(), after=step.after[rows].cpu(), mean=step.mean[rows].cpu())


def packed(group: PictureGroup) -> dict[str, Any]:
    """A group as plain values, for the store."""
    return {
        "key": group.ask.key,
        "ids": group.ids,
        "latents": group.latents,
        "rewards": torch.from_numpy(group.rewards.copy()),
        "steps": [vars(step) for step in group.steps],
    }


def stored(store: RolloutStore, step: int, asks: Sequence[Ask]) -> list[PictureGroup] | None:
    """The groups of a step that was rolled out before the run was stopped."""
    found, by_key = store.get(step), {ask.key: ask for ask in asks}
    if found is None or any(one["key"] not in by_key for one in found):
        return None
    return [
        PictureGroup(
            ask=by_key[one["key"]],
            ids=one["ids"],
            latents=one["latents"],
            rewards=one["rewards"].numpy(),
            steps=tuple(KernelStep(**each) for each in one["steps"]),
        )
        for one in found
    ]


def velocity_parts(
    rollout: Rollout,
    groups: Sequence[PictureGroup],
    advantages: npt.NDArray[np.float64],
    config: DecoderReinforce,
    device: torch.device,
    step: int,
) -> list[list[VelocityPart]]:
    """The passes of every minibatch: each picture at `levels` noise levels, or at its random steps.

    Noise and levels are digests of the picture, so they are the same wherever it is computed.
    """
    clean = torch.cat([group.latents for group in groups])
    ids = torch.cat([group.ids[None].expand(len(group.rewards), -1, -1) for group in groups])
    texts = [rollout.texts(group.ask.prompt) for group in groups for _ in group.rewards]
    keys = [(group.ask.key, number) for group in groups for number in range(len(group.rewards))]
    values = torch.from_numpy(np.asarray(advantages)).float()
    minibatches = []
    for minibatch in equal_parts(len(clean), config.minibatches):
        passes = []
        for part in equal_parts(minibatch.stop - minibatch.start, config.accumulate):
            rows = slice(minibatch.start + part.start, minibatch.start + part.stop)
            shared = {"ids": ids[rows].to(device), "texts": texts[rows], "advantage": values[rows].to(device)}
            if config.loss == "flow_grpo":
                passes += _step_parts(groups, clean, rows, shared, device)
            else:
                passes += _level_parts(rollout, clean, keys, rows, shared, config, device, step)
        minibatches.append(passes)
    return minibatches


def _level_parts(
    rollout: Rollout,
    clean: Tensor,
    keys: Sequence[tuple[str, int]],
    rows: slice,
    shared: dict[str, Any],
    config: DecoderReinforce,
    device: torch.device,
    step: int,
) -> list[VelocityPart]:
    """Finished latents with fresh noise at levels of the rollout, `levels` different ones of each picture."""
    height, width = (side * rollout.parts.vae.config.scale_factor for side in clean.shape[-2:])
    sigmas = rollout.stages.schedule(height, width, config.draw_steps).sigmas
    sigmas = sigmas[sigmas >= LEAST_SIGMA]
    found: list[tuple[Tensor, Tensor]] = []
    for key, number in keys[rows]:
        generator = torch.Generator().manual_seed(digest("levels", config.seed, step, key, number))
        order = torch.randperm(len(sigmas), generator=generator)[torch.arange(config.levels) % len(sigmas)]
        noise = torch.randn(config.levels, *clean.shape[1:], generator=generator)
        found.append((sigmas[order], noise))
    parts = []
    here = clean[rows].to(device)
    for level in range(config.levels):
        sigma = torch.stack([each[level] for each, _ in found]).to(device)
        noise = torch.stack([each[level] for _, each in found]).to(device)
        noisy = add_noise(here, noise, sigma.view(-1, 1, 1, 1))
        parts.append(VelocityPart(noisy=noisy, sigma=sigma, clean=here, noise=noise, **shared))
    return parts


def _step_parts(
    groups: Sequence[PictureGroup], clean: Tensor, rows: slice, shared: dict[str, Any], device: torch.device
) -> list[VelocityPart]:
    """The random steps of some pictures."""
    parts = []
    for number, step in enumerate(groups[0].steps):
        joined: dict[str, Any] = {
            name: torch.cat([getattr(group.steps[number], name) for group in groups])[rows].to(device)
            for name in ("before", "after", "mean")
        }
        before = joined["before"]
        sigma = torch.full((len(before),), step.sigma, device=device)
        here = clean[rows].to(device)
        parts.append(
            VelocityPart(
                noisy=before,
                sigma=sigma,
                clean=here,
                noise=torch.zeros_like(here),
                step=replace(step, **joined),
                **shared,
            )
        )
    return parts


def true_plans(frozen: FrozenParts, device: torch.device, scenes: Sequence[Scene]) -> Tensor:
    """Semantic tokens (B, rows, columns) of rendered scenes of one size."""
    half = torch.from_numpy(np.stack([half_size(render(scene)) for scene in scenes])).to(device)
    return frozen.tokens(half).cpu()


def truth_items(rollout: Rollout, frozen: FrozenParts, source: PromptSource, device: torch.device) -> list[RewardInput]:
    """Pictures of a decoder from true plans, with what they aim at: those that a reward's scale is set by."""
    asks = source(0)["asks"]
    tokens = true_plans(frozen, device, [ask.scene for ask in asks])
    seeds = [digest("calibration", ask.key) for ask in asks]
    images = rollout.pictures(list(tokens), [ask.prompt for ask in asks], seeds).images
    return [
        RewardInput(ask=ask, image=image, target=render(ask.scene)) for ask, image in zip(asks, images, strict=True)
    ]
