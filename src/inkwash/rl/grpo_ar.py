"""Reinforce the AR generator: token GRPO on plans whose pictures are drawn and judged.

A step: plans of every prompt are sampled by a replica, drawn from one noise for the whole group, and scored; each
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
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.data.loader import Batch
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.weights import GlmImageParts
from inkwash.rl.advantage import LEAST_STD
from inkwash.rl.logprobs import KeptIds, token_logps
from inkwash.rl.loop import (
    JUDGED,
    Best,
    Numbers,
    Reinforcing,
    RolloutStore,
    advantages_of,
    averaged,
    gathered,
    kept_weights,
    next_beta,
    reward_numbers,
)
from inkwash.rl.prompts import Ask, digest, share_of
from inkwash.rl.replica import PolicyReplica, Shadow, policy_state
from inkwash.rl.rewards.base import RewardInput
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.rollout import PlanSample, Rollout, plan_rows, sampling_of
from inkwash.rl.tokens import TokenPart, token_updates
from inkwash.train.config import equal_parts
from inkwash.train.device import autocast
from inkwash.train.lora import AdapterState, LoRA, add_lora, trained_parameters
from inkwash.train.optim import EMA, lr_at, set_lr
from inkwash.train.parallel import Ranks, first_does, prepare_ar
from inkwash.train.rows import ARBatch
from inkwash.train.run import TrainingRun

Rewards = npt.NDArray[np.float64]
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
    frozen: list[nn.Module] = [model.model.visual, model.model.vqmodel]
    for module in frozen:
        module.requires_grad_(False)
    kind = None if device.type == "cpu" else torch.bfloat16
    replica, decoder = (
        PolicyReplica(model, shared=frozen, dtype=kind),
        PolicyReplica(parts.decoder.to(device), dtype=kind),
    )
    for module in (parts.vae, parts.glyph):
        module.eval().to(device)
    rollout = Rollout(
        parts=replace(parts, ar=replica.network, decoder=decoder.network),
        sampling=sampling_of(parts),
        steps=config.draw_steps,
        together=config.together,
    )
    if lora is None:
        prepare_ar(model, ranks, config)
    network: nn.Module = model if lora is None else add_lora(model, "vision_language_encoder", lora)
    trained = trained_parameters(network)
    optimizers = config.optimizers([network])
    ema, start = EMA([network], config.ema), Shadow(trained, network)
    state = Numbers(beta=config.kl, **Best.numbers())
    saved: dict[str, nn.Module] = {"network": network if lora is None else AdapterState(network)}
    run = TrainingRun(
        folder,
        saved | {"start": start, "numbers": state},
        optimizers,
        ema,
        total=config.steps,
        save_every_s=config.save_every_s,
        ranks=ranks,
        replicated=lora is not None,
        device=device,
        settings=config,
        adapters=lora,
    )
    best, store = Best(folder, state), RolloutStore(folder, ranks)
    held = config.kl > 0 or config.kl_budget > 0
    temperature = rollout.sampling.temperature or 1.0
    logps_of = partial(plan_logps, model, device=device, precision=config.precision, temperature=temperature)
    for step, batch in run.batches(make, workers=config.workers):
        if step == 0:
            store.clear()
        if best.stopped():
            break
        store.saved(run.saved_step)
        set_lr(optimizers, lr_at(step, config))
        numbers: dict[str, float] = {}
        if judge is not None and config.judge_every and step % config.judge_every == 0:
            with averaged(ema):
                whole = policy_state(network, ranks)
                replica.refresh(whole)
                numbers |= first_does(ranks, lambda step=step: judge(rollout, step))  # type: ignore[misc]
                weights = kept_weights(network, ranks, lora)
                if JUDGED in numbers:
                    best.judged(numbers[JUDGED], step, weights if ranks.first else None)
        replica.refresh(policy_state(network, ranks))
        groups = stored(store, step, batch["asks"], rollout)
        if groups is None:
            groups = roll(rollout, scorer, share_of(batch["asks"], ranks.rank, ranks.data), step, config, ranks)
            store.put(step, [packed(group) for group in groups])
        samples = [plan for group in groups for plan in group.plans]
        names = [group.ask.key for group in groups for _ in group.plans]
        rewards, all_names, mine = gathered(ranks, np.concatenate([group.rewards for group in groups]), names)
        found = advantages_of(rewards, all_names, config, scorer.weight_list, step)
        numbers |= reward_numbers(rewards, scorer.names, found)
        tokens = [
            plan_part(model, samples[part], found.values[mine][part], found.kept[mine][part], config)
            for part in equal_parts(len(samples), config.minibatches * config.accumulate)
        ]
        numbers |= token_updates(
            tokens, logps_of, trained, optimizers, config, ranks, start=start if held else None, beta=state["beta"]
        )
        ema.update()
        state["beta"] = next_beta(state["beta"], config.kl, numbers["kl_sample"], config.kl_budget)
        distinct = sum(len({tuple(plan.tokens.tolist()) for plan in group.plans}) for group in groups) / len(samples)
        if JUDGED in numbers:
            mean = float(np.nanmean(rewards @ np.asarray(scorer.weight_list)))
            best.rewarded(numbers[JUDGED], mean)
        run.log(step, len(rewards), **numbers, distinct_plans=distinct, beta=state["beta"])
        if best.stopped():
            run.save(step + 1)
    with averaged(ema):
        last = kept_weights(network, ranks, lora)
    return best.weights() or last


def roll(
    rollout: Rollout, scorer: Scorer, asks: Sequence[Ask], step: int, config: ARReinforce, ranks: Ranks
) -> list[Group]:
    """This process's share of the groups: those with variance first, spares taken until there are enough.

    Plans that are equal have equal pictures, as they share their noise: each is drawn once, and a group of one plan is
    given up before anything is drawn.
    """
    wanted = config.asks // ranks.data
    good: list[Group] = []
    flat: list[Group] = []
    waiting = list(asks)
    while waiting and len(good) < wanted:
        now = waiting[: wanted - len(good)]
        waiting = waiting[len(now) :]
        seeds = [[digest("plan", config.seed, ask.key, k) for k in range(config.group)] for ask in now]
        plans = rollout.plans(now, seeds)
        same = [len({tuple(plan.target.flatten().tolist()) for plan in each}) == 1 for each in plans]
        flat += [
            Group(ask=ask, plans=each, rewards=np.zeros((len(each), len(scorer.names))))
            for ask, each, alike in zip(now, plans, same, strict=True)
            if alike
        ]
        drawn = [(ask, each) for ask, each, alike in zip(now, plans, same, strict=True) if not alike]
        for group in scored(rollout, scorer, drawn, config):
            varied = float(np.nanstd(group.rewards @ np.asarray(scorer.weight_list))) >= LEAST_STD
            (good if varied else flat).append(group)
    if len(good) + len(flat) < wanted:
        raise InkwashError(f"{wanted} prompts are needed in step {step}, only {len(asks)} were given.")
    return [*good, *flat][:wanted]


def scored(
    rollout: Rollout, scorer: Scorer, sampled: Sequence[tuple[Ask, list[PlanSample]]], config: ARReinforce
) -> Iterator[Group]:
    """Draw and judge the different plans of some prompts."""
    items: list[tuple[Ask, Tensor]] = []
    places: list[list[int]] = []
    for ask, plans in sampled:
        known: dict[tuple[int, ...], int] = {}
        indices = []
        for plan in plans:
            key = tuple(plan.target.flatten().tolist())
            if key not in known:
                known[key] = len(items)
                items.append((ask, plan.target))
            indices.append(known[key])
        places.append(indices)
    if not items:
        return
    noises = [digest("noise", config.seed, ask.key) for ask, _ in items]
    made = rollout.pictures([target for _, target in items], [ask.prompt for ask, _ in items], noises)
    scores = scorer.score(
        [RewardInput(ask=ask, image=image) for (ask, _), image in zip(items, made.images, strict=True)]
    )
    for (ask, plans), indices in zip(sampled, places, strict=True):
        yield Group(ask=ask, plans=plans, rewards=scores[indices], images=tuple(made.images[i] for i in indices))


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
        (prompt,) = rollout.stages.prompts([ask.prompt], [()], ask.scene.height, ask.scene.width)
        plans = [
            PlanSample(
                prompt=prompt,
                tokens=plan["tokens"],
                kept=KeptIds(values=plan["ids"], offsets=plan["offsets"]),
                logps=plan["logps"],
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
