"""Toy policies that can be solved: every loss lifts its reward through the loops' own code, permuted rewards do not."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inkwash.engine.sampling import Sampling, SamplingRows, choose_rows, kept
from inkwash.models.glm_image.schedule import Schedule, add_noise
from inkwash.rl.advantage import group_advantages
from inkwash.rl.grpo_ar import ARReinforce
from inkwash.rl.logprobs import KeptIds, token_logps
from inkwash.rl.loop import advantages_of
from inkwash.rl.replica import Shadow
from inkwash.rl.sampler import sample
from inkwash.rl.tokens import TokenPart, token_updates
from inkwash.rl.velocities import DecoderReinforce, VelocityPart, learn
from inkwash.train.optim import set_lr
from inkwash.train.parallel import Ranks

CODES, LENGTH, PROMPTS, GROUP, WANTED = 12, 6, 2, 8, 7
LAW = Sampling(temperature=1.0, top_p=1.0, min_p=0.02)


class Table(nn.Module):
    """Logits of every place of a plan, of every prompt."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.logits = nn.Parameter(0.5 * torch.randn(PROMPTS, LENGTH, CODES, generator=generator))


def plans_of(table: Table, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(PROMPTS * GROUP, LENGTH) tokens, and what each could have been (..., CODES)."""
    logits = table.logits.detach().repeat_interleave(GROUP, 0).flatten(0, 1)
    rows = SamplingRows.of([LAW] * len(logits), CODES)
    tokens = choose_rows(logits, torch.rand(len(logits), generator=generator), rows)
    return tokens.view(-1, LENGTH), kept(logits, rows).view(-1, LENGTH, CODES)


def reward_of(tokens: Tensor) -> Tensor:
    """Share of tokens that are the wanted one."""
    return (tokens == WANTED).float().mean(1)


def logps_of(table: Table, part: TokenPart) -> tuple[Tensor, Tensor]:
    logits = table.logits.repeat_interleave(GROUP, 0).flatten(0, 1)[part.choice]
    assert part.ids is not None and part.there is not None
    return token_logps(logits, part.tokens, part.ids, part.there)


def train_table(seed: int, steps: int, control: str = "") -> tuple[float, float, float]:
    """Reward before and after, and the largest ratio of a first minibatch."""
    config = ARReinforce(steps=steps, lr=0.2, asks=PROMPTS, group=GROUP, control=control, seed=seed)
    table, generator = Table(seed), torch.Generator().manual_seed(seed)
    optimizers, start = config.optimizers([table]), Shadow(table.parameters())
    rewards, first = [], 0.0
    for step in range(steps):
        tokens, inside = plans_of(table, generator)
        reward = reward_of(tokens)
        rewards.append(float(reward.mean()))
        groups = [i // GROUP for i in range(len(tokens))]
        found = advantages_of(reward.double().numpy()[:, None], groups, config, [1.0], step)
        sets = KeptIds.of([row.nonzero()[:, 0] for row in inside.flatten(0, 1)])
        choice = sets.choice
        ids, there = sets.padded(choice)
        advantage = torch.from_numpy(found.values).float()[:, None].expand(-1, LENGTH).flatten()[choice]
        part = TokenPart(
            rows=None,
            choice=choice.nonzero()[:, 0],
            tokens=tokens.flatten()[choice],
            ids=ids,
            there=there,
            rolled=torch.zeros(int(choice.sum())),
            advantage=advantage,
            weight=torch.ones(int(choice.sum())),
            samples=len(tokens),
            counted=tokens.numel(),
        )
        part = TokenPart(**{**vars(part), "rolled": logps_of(table, part)[0].detach()})
        told = token_updates(
            [part], partial(logps_of, table), list(table.parameters()), optimizers, config, Ranks(), start=start
        )
        first = max(first, told["first_ratio"])
        assert told["mismatch"] < 1e-6
    final, _ = plans_of(table, generator)
    return rewards[0], float(reward_of(final).mean()), first


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_token_policy_reaches_the_optimum(seed: int) -> None:
    _, after, first = train_table(seed, 80)
    assert after >= 0.95 and first == 0.0


def test_permuted_and_reversed_rewards_do_not_lift() -> None:
    before, after, _ = train_table(0, 30)
    assert after > before + 0.4
    before, after, _ = train_table(0, 30, "permuted")
    assert after < before + 0.2
    before, after, _ = train_table(0, 30, "reversed")
    assert after <= before + 0.02 and after < 0.05


SIDE = 2
STEPS = 6
SCHEDULE = Schedule(timesteps=torch.linspace(1000, 1000 / STEPS, STEPS), sigmas=torch.linspace(1, 0, STEPS + 1))


class Toy(nn.Module):
    """The exact velocity of data N(center, 0.5^2), whose center learns."""

    def __init__(self) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.zeros(1, SIDE, SIDE))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma.view(-1, 1, 1, 1)
        total = level**2 + ((1 - level) * 0.5) ** 2
        off = x - (1 - level) * self.center
        return off * (level - (1 - level) * 0.25) / total - self.center


@dataclass
class ToyDenoiser:
    """What `sampler.sample` asks of a denoiser."""

    toy: Toy
    count: int
    schedule: Schedule = SCHEDULE
    guided: bool = False
    passes: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.passes = [type("P", (), {"pictures": slice(0, self.count)})]

    def velocity_of(self, _each: Any, latents: Tensor, index: int, _guided: bool) -> Tensor:
        with torch.no_grad():
            return self.toy(latents, self.schedule.sigmas[index].expand(len(latents)))


def brightness(latents: Tensor) -> Tensor:
    """The reward: how large the numbers of the first row are, between -2 and 2."""
    return latents[:, 0, 0].mean(1).clamp(-2, 2)


def train_toy(config: DecoderReinforce, seed: int = 0) -> float:
    """How far the reward has moved, in deviations of its mean over a group."""
    toy = Toy()
    optimizers = config.optimizers([toy])
    trained = list(toy.parameters())
    start, old = Shadow(trained), Shadow(trained)
    count, rng = config.asks * config.group, random.Random(seed)
    rewards = []
    for step in range(config.steps):
        set_lr(optimizers, config.lr)
        generators = [torch.Generator().manual_seed(rng.getrandbits(32)) for _ in range(count)]
        noise = torch.stack([torch.randn(1, SIDE, SIDE, generator=each) for each in generators])
        with old.swapped():
            path = sample(
                ToyDenoiser(toy, count),
                noise,
                kernel=config.law,
                window=config.window,
                generators=generators,  # type: ignore[arg-type]
            )
        reward = brightness(path.latents)
        rewards.append(float(reward.mean()))
        groups = [i // config.group for i in range(count)]
        found = advantages_of(reward.double().numpy()[:, None], groups, config, [1.0], step)
        advantage = torch.from_numpy(found.values).float()
        shared: dict[str, Any] = {"ids": noise, "texts": [], "advantage": advantage, "clean": path.latents}
        if config.loss == "flow_grpo":
            parts = [
                VelocityPart(
                    noisy=each.before, sigma=torch.full((count,), each.sigma), noise=noise, step=each, **shared
                )
                for each in path.steps
            ]
        else:
            parts = []
            for _ in range(config.levels):
                generator = torch.Generator().manual_seed(rng.getrandbits(32))
                sigma = 0.05 + 0.9 * torch.rand(count, generator=generator)
                fresh = torch.randn(noise.shape, generator=generator)
                noisy = add_noise(path.latents, fresh, sigma.view(-1, 1, 1, 1))
                parts.append(VelocityPart(noisy=noisy, sigma=sigma, noise=fresh, **shared))
        told = learn(
            [parts], lambda part: toy(part.noisy, part.sigma), trained, optimizers, start, old, config, Ranks()
        )
        assert told["first_ratio"] == 0.0
        old.blend(config.old_keep(step + 1))
    spread = float(np.std(rewards[:3])) + 0.5 / (count**0.5)
    return (float(np.mean(rewards[-5:])) - rewards[0]) / spread


def toy_config(**named: Any) -> DecoderReinforce:
    common: dict[str, Any] = {"steps": 60, "lr": 0.03, "asks": 2, "group": 12, "draw_steps": STEPS, "reference": 0.0}
    return DecoderReinforce(**{**common, **named})


LOSSES: list[dict[str, Any]] = [
    {"loss": "nft", "nft_beta": 1.0},
    {"loss": "nft", "nft_beta": 0.1},
    {"loss": "awm", "near": 0.1},
    {"loss": "flow_grpo", "trust": "clip"},
    {"loss": "flow_grpo", "trust": "guard"},
    {"loss": "flow_grpo", "trust": "dppo"},
    {"loss": "flow_grpo", "trust": "clip", "kernel": "flow_sde", "noise": 0.7},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", LOSSES, ids=lambda s: "-".join(map(str, s.values())))
def test_every_decoder_loss_lifts_its_reward(settings: dict[str, Any]) -> None:
    assert train_toy(toy_config(**settings)) > 3.0


@pytest.mark.parametrize("loss", ["nft", "flow_grpo"])
def test_permuted_rewards_do_not_lift_the_decoder(loss: str) -> None:
    assert abs(train_toy(toy_config(loss=loss, control="permuted"))) < 3.0


def test_the_reference_holds_the_decoder_back() -> None:
    free = train_toy(toy_config(loss="nft", steps=40))
    held = train_toy(toy_config(loss="nft", steps=40, reference=100.0))
    assert held < 0.5 * free


def test_groups_of_the_toys_are_centred() -> None:
    found = group_advantages([1.0, 2.0, 5.0, 5.0], ["a", "a", "b", "b"])
    assert found.dropped_groups == 1 and found.values[:2].sum() == pytest.approx(0)
