"""The policy that learns, and the run around its steps: rollouts that survive a kill, a judge, the best weights.

The loops themselves are flat: `grpo_ar.py`, `grpo_decoder.py`, `grpo_see.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from inkwash.data.loader import Batch
from inkwash.rl.advantage import Advantages
from inkwash.rl.loop import (
    JUDGED,
    Best,
    Numbers,
    Reinforcing,
    RewardedGroup,
    Rewards,
    RolloutStore,
    advantages_of,
    gathered,
    kept_weights,
    reward_numbers,
)
from inkwash.rl.replica import PolicyReplica, policy_state
from inkwash.rl.rewards.scorer import Scorer
from inkwash.train.lora import AdapterState, LoRA, add_lora, trained_parameters
from inkwash.train.optim import EMA, lr_at, set_lr
from inkwash.train.parallel import Ranks, first_does
from inkwash.train.run import TrainingRun

JudgeStep = Callable[[int], dict[str, float]]


class TrainedPolicy:
    """A network that learns, whole or by adapters, with what its updates need."""

    def __init__(self, model: nn.Module, part: str, config: Reinforcing, lora: LoRA | None, ranks: Ranks) -> None:
        self.network: nn.Module = model if lora is None else add_lora(model, part, lora)
        self.config, self.lora, self.ranks = config, lora, ranks
        self.trained = trained_parameters(self.network)
        self.optimizers = config.optimizers([self.network])
        self.ema = EMA([self.network], config.ema)

    def run(
        self, folder: Path, state: Mapping[str, nn.Module], device: torch.device, *, replicated: bool
    ) -> TrainingRun:
        """Its run; what is saved holds `state` beside the network."""
        network = self.network if self.lora is None else AdapterState(self.network)
        return TrainingRun.of(
            self.config,
            folder,
            {"network": network, **state},
            self.optimizers,
            self.ema,
            ranks=self.ranks,
            replicated=replicated,
            device=device,
            adapters=self.lora,
        )

    def whole(self) -> dict[str, Tensor]:
        """All weights, adapters merged in. Every process has to call it."""
        return policy_state(self.network, self.ranks)

    def averaged_weights(self) -> dict[str, Tensor]:
        """What is written of the averaged policy. Every process has to call it."""
        with self.ema.averaged():
            return kept_weights(self.network, self.ranks, self.lora)


class JudgedRun:
    """A run that keeps the weights its judge likes best, and ends early where the judge says the reward is hacked.

    `judge` says what other readers think of the averaged weights, which the replica holds meanwhile.
    """

    def __init__(
        self, policy: TrainedPolicy, run: TrainingRun, state: Numbers, scorer: Scorer, judge: JudgeStep | None
    ) -> None:
        self.policy, self.run, self.scorer, self.judge = policy, run, scorer, judge
        self.best, self.store = Best(run.folder, state), RolloutStore(run.folder, policy.ranks)

    def steps(self, make: Callable[[int], Batch]) -> Iterator[tuple[int, Batch]]:
        """The steps that are left, each with its learning rate set."""
        for step, batch in self.run.batches(make, workers=self.policy.config.workers):
            if step == 0:
                self.store.clear()
            if self.best.stopped():
                break
            self.store.saved(self.run.saved_step)
            set_lr(self.policy.optimizers, lr_at(step, self.policy.config))
            yield step, batch

    def judged(self, step: int, replica: PolicyReplica) -> dict[str, float]:
        """The judge's numbers, every so many steps; the weights are kept where they are the best."""
        every, ranks = self.policy.config.judge_every, self.policy.ranks
        if self.judge is None or not every or step % every:
            return {}
        with self.policy.ema.averaged():
            replica.refresh(self.policy.whole())
            numbers = first_does(ranks, partial(self.judge, step))
            weights = kept_weights(self.policy.network, ranks, self.policy.lora)
            if JUDGED in numbers:
                self.best.judged(numbers[JUDGED], step, weights if ranks.first else None)
        return numbers

    def advantages(self, step: int, groups: Sequence[RewardedGroup]) -> tuple[Rewards, Advantages, dict[str, float]]:
        """Rewards of all processes, the advantages of this one's rollouts, and numbers for the log."""
        names = [group.ask.key for group in groups for _ in group.rewards]
        local = np.concatenate([group.rewards for group in groups])
        rewards, all_names, mine = gathered(self.policy.ranks, local, names)
        found = advantages_of(rewards, all_names, self.policy.config, self.scorer.weight_list, step)
        here = replace(found, values=found.values[mine], kept=found.kept[mine])
        return rewards, here, reward_numbers(rewards, self.scorer.names, found)

    def finish(self, step: int, rewards: Rewards, numbers: Mapping[str, float]) -> None:
        """Average, log, and save the state of a run that ends here."""
        if JUDGED in numbers:
            self.best.rewarded(numbers[JUDGED], float(np.nanmean(rewards @ np.asarray(self.scorer.weight_list))))
        self.run.log(step, len(rewards), **numbers)
        if self.best.stopped():
            self.run.save(step + 1)

    def result(self) -> dict[str, Tensor]:
        """The best weights, or the last where nothing was judged. Every process has to call it."""
        last = self.policy.averaged_weights()
        return self.best.weights() or last
