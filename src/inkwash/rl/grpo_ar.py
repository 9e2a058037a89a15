"""Reinforce the AR generator: token GRPO on plans that are judged, drawn or as they are.

A step: plans of every prompt are sampled by a replica, drawn from one noise for the whole group where a reward looks
at pictures, and scored; each
plan's tokens then count by how much better than its siblings it is. The truncated law that a token was drawn from is
the one whose probability is raised (`logprobs.py`), and only tokens with a choice count: of nano's plans those are a
sixteenth. Groups without variance teach nothing and are replaced by spare prompts. GRPO, arXiv:2402.03300; see
`loss.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.rl.logprobs import KeptIds, token_logps
from inkwash.rl.loop import Best, Numbers, Reinforcing, Rewards, RolloutStore, next_beta, varied_groups
from inkwash.rl.policy import JudgedRun, TrainedPolicy
from inkwash.rl.prompts import Ask, digest, share_of
from inkwash.rl.replica import PolicyReplica, Shadow
from inkwash.rl.rewards.base import PlanInput, RewardInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.rollout import PlanSample, Rollout, plan_rows, sampling_of
from inkwash.rl.tokens import TokenPart, token_updates
from inkwash.train.config import equal_parts
from inkwash.train.device import autocast
from inkwash.train.lora import LoRA
from inkwash.train.parallel import Ranks, prepare_ar
from inkwash.train.rows import ARBatch

JudgeRun = Callable[[Rollout, int], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class ARReinforce(Reinforcing):
    """Settings of the stage.

    `clip_low` and `clip_high` bound the ratio (DAPO's higher upper clip), `kl` weighs the penalty, and `kl_budget` in
    nats a plan raises it while the policy is farther from its start than that (0: no budget). Tokens of previews and of
    targets count by their weights. `draw_steps` are those of a rollout's pictures.
    """

    clip_low: float = 0.2
    clip_high: float = 0.28
    kl: float = 0.0
    kl_budget: float = 1.5
    preview_weight: float = 1.0
    target_weight: float = 1.0
    draw_steps: int = 8
    together: int = 8
    per_sample: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("above 0 and below 1", lambda value: 0 < value < 1, "clip_low")
        self._require("above 0", lambda value: value > 0, "clip_high")
        self._require("at least 0", lambda value: value >= 0, "kl", "kl_budget", "preview_weight", "target_weight")
        self._require("at least 1", lambda value: value >= 1, "draw_steps", "together")


@dataclass(frozen=True, kw_only=True)
class Group:
    """The plans of one prompt, and their rewards (K, R)."""

    ask: Ask
    plans: list[PlanSample]
    rewards: Rewards
    images: tuple[Image.Image, ...] = ()


def grpo_ar(
    parts: GlmImageParts,
    make: Callable[[int], Batch],
    scorer: Scorer,
    folder: Path,
    config: ARReinforce,
    *,
    device: torch.device,
    lora: LoRA | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    judge: JudgeRun | None = None,
) -> dict[str, Tensor]:
    """Run or continue the stage; returns the best weights (of the adapter, with `lora`), whole on every process.

    `make` gives {"asks": `asks` + `spare` of them}. `judge` says what other readers think of the averaged weights.
    """
    model: ARGenerator = parts.ar.train().to(device)
    replica, rollout = rolling_copy(parts, config, device)
    if lora is None:
        prepare_ar(model, ranks, config)
    policy = TrainedPolicy(model, "vision_language_encoder", config, lora, ranks)
    start, state = Shadow(policy.trained, policy.network), Numbers(beta=config.kl, **Best.numbers())
    saved = policy.run(folder, {"start": start, "numbers": state}, device, replicated=lora is not None)
    run = JudgedRun(policy, saved, state, scorer, partial(judge, rollout) if judge is not None else None)
    held = config.kl > 0 or config.kl_budget > 0
    temperature = rollout.sampling.temperature or 1.0
    logps_of = partial(plan_logps, model, device=device, precision=config.precision_on(device), temperature=temperature)
    for step, batch in run.steps(make):
        numbers = run.judged(step, replica)
        replica.refresh(policy.whole())
        groups = stored(run.store, step, batch["asks"], rollout)
        if groups is None:
            groups = roll(rollout, scorer, share_of(batch["asks"], ranks.rank, ranks.data), step, config, ranks)
            run.store.put(step, [packed(group) for group in groups])
        rewards, found, about = run.advantages(step, groups)
        samples = [plan for group in groups for plan in group.plans]
        tokens = [
            plan_part(model, samples[part], found.values[part], found.kept[part], config)
            for part in equal_parts(len(samples), config.minibatches * config.accumulate)
        ]
        reference, beta = start if held else None, state["beta"]
        numbers |= about | token_updates(
            tokens, logps_of, policy.trained, policy.optimizers, config, ranks, start=reference, beta=beta
        )
        policy.ema.update()
        state["beta"] = next_beta(state["beta"], config.kl, numbers["kl_sample"], config.kl_budget)
        distinct = sum(len({tuple(plan.tokens.tolist()) for plan in group.plans}) for group in groups) / len(samples)
        run.finish(step, rewards, numbers | {"distinct_plans": distinct, "beta": state["beta"]})
    return run.result()


def rolling_copy(parts: GlmImageParts, config: ARReinforce, device: torch.device) -> tuple[PolicyReplica, Rollout]:
    """A copy of the generator that samples plans, and what draws their pictures; ViT and codebook are shared."""
    frozen: list[nn.Module] = [parts.ar.model.visual, parts.ar.model.vqmodel]
    for module in frozen:
        module.requires_grad_(False)
    kind = None if device.type == "cpu" else torch.bfloat16
    replica = PolicyReplica(parts.ar, shared=frozen, dtype=kind)
    decoder = PolicyReplica(parts.decoder.to(device), dtype=kind)
    for module in (parts.vae, parts.glyph):
        module.eval().to(device)
    rolling = replace(parts, ar=replica.network, decoder=decoder.network)
    sampling = sampling_of(parts)
    return replica, Rollout(parts=rolling, sampling=sampling, steps=config.draw_steps, together=config.together)


def roll(
    rollout: Rollout, scorer: Scorer, asks: Sequence[Ask], step: int, config: ARReinforce, ranks: Ranks
) -> list[Group]:
    """This process's share of the groups: those with variance first, spares taken until there are enough.

    Plans that are equal have equal pictures, as they share their noise: each is drawn once, and a group of one plan is
    given up before anything is drawn.
    """

    def rolled(now: Sequence[Ask]) -> Iterator[Group]:
        seeds = [[digest("plan", config.seed, ask.key, k) for k in range(config.group)] for ask in now]
        drawn = []
        for ask, plans in zip(now, rollout.plans(now, seeds), strict=True):
            if len({tuple(plan.target.flatten().tolist()) for plan in plans}) == 1:
                yield Group(ask=ask, plans=plans, rewards=np.zeros((len(plans), len(scorer.names))))
            else:
                drawn.append((ask, plans))
        yield from scored(rollout, scorer, drawn, config)

    return varied_groups(asks, config.asks // ranks.data, step, scorer, rolled)


def scored(
    rollout: Rollout, scorer: Scorer, sampled: Sequence[tuple[Ask, list[PlanSample]]], config: ARReinforce
) -> Iterator[Group]:
    """Judge the different plans of some prompts and, where a reward looks at pictures, draw them first."""
    items: list[PlanInput] = []
    places: list[list[int]] = []
    for ask, plans in sampled:
        references = plans[0].reference_grids
        true = rollout.true_plan(ask.scene) if references and scorer.plans else None
        known: dict[tuple[int, ...], int] = {}
        indices = []
        for plan in plans:
            key = tuple(plan.target.flatten().tolist())
            if key not in known:
                known[key] = len(items)
                items.append(PlanInput(ask=ask, tokens=plan.target, references=references, true=true))
            indices.append(known[key])
        places.append(indices)
    if not items:
        return
    scores = scorer.score_plans(items)
    images: list[Image.Image] = []
    if scorer.rewards:
        noises = [digest("noise", config.seed, item.ask.key) for item in items]
        images = rollout.pictures([item.tokens for item in items], [item.ask.prompt for item in items], noises).images
        drawn = [RewardInput(ask=item.ask, image=image) for item, image in zip(items, images, strict=True)]
        scores = np.hstack([scorer.score(drawn), scores])
    for (ask, plans), indices in zip(sampled, places, strict=True):
        pictures = tuple(images[i] for i in indices) if images else ()
        yield Group(ask=ask, plans=plans, rewards=scores[indices], images=pictures)


def packed(group: Group) -> dict[str, Any]:
    """A group as plain tensors, for the store."""
    return {
        "key": group.ask.key,
        "rewards": torch.from_numpy(group.rewards.copy()),
        "plans": [
            {"tokens": plan.tokens, "ids": plan.kept.values, "offsets": plan.kept.offsets, "logps": plan.logps}
            for plan in group.plans
        ],
    }


def stored(store: RolloutStore, step: int, asks: Sequence[Ask], rollout: Rollout) -> list[Group] | None:
    """The groups of a step that was rolled out before the run was stopped."""
    found = store.get(step)
    if found is None:
        return None
    by_key = {ask.key: ask for ask in asks}
    if any(one["key"] not in by_key for one in found):
        return None
    groups = []
    for one in found:
        ask = by_key[one["key"]]
        ((prompt, references),) = rollout.prompts([ask])
        plans = [
            PlanSample(
                prompt=prompt,
                tokens=plan["tokens"],
                kept=KeptIds(values=plan["ids"], offsets=plan["offsets"]),
                logps=plan["logps"],
                references=references,
            )
            for plan in one["plans"]
        ]
        groups.append(Group(ask=ask, plans=plans, rewards=one["rewards"].numpy()))
    return groups


def plan_part(
    model: ARGenerator, samples: Sequence[PlanSample], advantages: Rewards, kept: Any, config: ARReinforce
) -> TokenPart:
    """The tokens of plans that count; those of plans outside a group with variance have weight 0."""
    chosen = [plan.kept.choice for plan in samples]
    padded = [plan.kept.padded(picks) for plan, picks in zip(samples, chosen, strict=True)]
    widest = max(ids.shape[1] for ids, _ in padded)
    advantage, weight = [], []
    for plan, picks, value, counts in zip(samples, chosen, advantages.tolist(), kept.tolist(), strict=True):
        preview = torch.arange(len(picks)) < plan.preview_tokens
        each = torch.where(preview, config.preview_weight, config.target_weight)[picks]
        advantage.append(torch.full_like(each, float(value)))
        weight.append(each * float(counts))
    choice = torch.cat(chosen)
    return TokenPart(
        rows=plan_rows(samples, model.config),
        choice=choice.nonzero()[:, 0],
        tokens=torch.cat([plan.tokens for plan in samples])[choice].long(),
        ids=torch.cat([F.pad(ids, (0, widest - ids.shape[1])) for ids, _ in padded]),
        there=torch.cat([F.pad(there, (0, widest - there.shape[1])) for _, there in padded]),
        rolled=torch.cat([plan.logps for plan in samples])[choice].float(),
        advantage=torch.cat(advantage).float(),
        weight=torch.cat(weight).float(),
        samples=len(samples),
        counted=len(choice),
    )


def plan_logps(
    model: ARGenerator, part: TokenPart, device: torch.device, precision: str, temperature: float
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n,) and entropies of the tokens with a choice, as training computes them."""
    rows: ARBatch = part.rows.to(device)
    assert part.ids is not None and part.there is not None
    with autocast(device, precision):
        hidden = model(rows.ids, rows.positions, mask=rows.mask())[rows.weight > 0]
        logits = model.lm_head(hidden[part.choice.to(device)])
    code_logits = logits[:, : model.config.vq_config.num_embeddings]
    return token_logps(code_logits, part.tokens.to(device), part.ids.to(device), part.there.to(device), temperature)
