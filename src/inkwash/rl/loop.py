"""What the three loops share: numbers that are part of the state, rewards of all processes, the budget, the best
weights.

The loops themselves are flat and read from top to bottom: `grpo_ar.py`, `grpo_decoder.py`, `grpo_see.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.rl.advantage import LEAST_STD, Advantages, Scheme, group_advantages
from inkwash.rl.prompts import Ask
from inkwash.rl.replica import policy_state
from inkwash.rl.rewards.scorer import Scorer
from inkwash.train.checkpoint import read_file, write_file
from inkwash.train.config import NetworkTraining
from inkwash.train.lora import AdapterState, LoRA
from inkwash.train.optim import make_optimizers
from inkwash.train.parallel import Ranks

Rewards = npt.NDArray[np.float64]
Control = Literal["", "permuted", "reversed"]
BETA_START, BETA_STEP = 1e-3, 1.5  # of the penalty, once a budget is exceeded
BEST_FILE = "best.pt"
JUDGED = "gold"  # the number of a judge that decides which weights are best
PATIENCE = 2  # evaluations in which the judge's number falls while the reward rises


@dataclass(frozen=True, kw_only=True)
class Reinforcing(NetworkTraining):
    """Settings that all loops share.

    `asks` prompts a step, `group` rollouts of each, `minibatches` updates from them. `control` replaces the advantages
    by `permuted` ones, which must teach nothing, or `reversed` ones, which must make things worse. `judge_every` steps
    the averaged weights are judged by other readers than the rewarding one (0: never); those judged best are the
    result.
    """

    lr: float = 2e-5
    warmup: int = 10
    ema: float = 0.98
    workers: int = 0
    seed: int = 0
    asks: int = 8
    group: int = 8
    minibatches: int = 1
    spare: int = 8
    scheme: str = ""
    control: str = ""
    judge_every: int = 25
    beta2: float = 0.99  # AdamW's second decay

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("at least 1", lambda value: value >= 1, "asks", "minibatches")
        self._require("at least 2", lambda value: value >= 2, "group")
        self._require("at least 0", lambda value: value >= 0, "spare", "judge_every")
        self._require("1 (processes share prompts, not matrices)", lambda value: value == 1, "tensor")
        self._require(f"one of {', '.join(map(repr, get_args(Control)))}", get_args(Control).__contains__, "control")
        self._require("'', 'batch', 'gdpo' or 'none'", ("", *get_args(Scheme)).__contains__, "scheme")
        if self.asks * self.group % (self.minibatches * self.accumulate):
            raise ValueError(
                f"{self.asks} asks of {self.group} rollouts cannot be cut into {self.minibatches} minibatches of "
                f"accumulate={self.accumulate} parts."
            )

    def precision_on(self, device: torch.device) -> str:
        """In which tokens are trained; `auto` is fp32 on a CPU, where rollouts are computed in it.

        In bf16 the log-probabilities of nano's tokens were 0.18 nats (at most 11) from those of their rollouts,
        in fp32 0.0006, and rewards did not rise.
        """
        return "fp32" if self.precision == "auto" and device.type == "cpu" else self.precision

    def optimizers(self, modules: Sequence[nn.Module]) -> list[torch.optim.Optimizer]:
        """AdamW: Muon's step has one size whatever the gradient, which on noisy advantages is drift."""
        return make_optimizers(modules, lr=self.lr, muon_marker=None, weight_decay=0.0, betas=(0.9, self.beta2))


class Numbers(nn.Module):
    """A few numbers that change from step to step and belong to the state of a run."""

    def __init__(self, **values: float) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def __getitem__(self, name: str) -> float:
        return float(getattr(self, name))

    def __setitem__(self, name: str, value: float) -> None:
        getattr(self, name).fill_(value)


def gathered(ranks: Ranks, rows: Rewards, groups: Sequence[Hashable]) -> tuple[Any, list[Hashable], slice]:
    """Rewards and groups of all processes, and which rows are this one's."""
    if ranks.mesh is None or ranks.data == 1:
        return rows, list(groups), slice(0, len(rows))
    found: list[Any] = [None] * ranks.world
    dist.all_gather_object(found, (rows, list(groups)), group=ranks.messages)
    before = sum(len(part) for part, _ in found[: ranks.rank])
    joined = np.concatenate([part for part, _ in found])
    return joined, [name for _, names in found for name in names], slice(before, before + len(rows))


def advantages_of(
    rewards: Rewards,
    groups: Sequence[Hashable],
    config: Reinforcing,
    weights: Sequence[float],
    step: int,
) -> Advantages:
    """Advantages over the rollouts of all processes, under the run's control, if it is one."""
    scheme: Any = config.scheme or ("batch" if rewards.shape[1] == 1 else "gdpo")
    found = group_advantages(rewards, groups, scheme=scheme, weights=weights)
    if config.control == "reversed":
        return replace(found, values=-found.values)
    if config.control == "permuted":
        kept = np.flatnonzero(found.kept)
        order = random.Random(f"permuted/{config.seed}/{step}").sample(list(kept), len(kept))
        values = found.values.copy()
        values[kept] = found.values[order]
        return replace(found, values=values)
    return found


def next_beta(beta: float, floor: float, kl: float, budget: float) -> float:
    """The weight of the penalty after a step: up while the divergence is over budget, down below half of it."""
    if budget <= 0:
        return floor
    if kl > budget:
        return max(beta, BETA_START) * BETA_STEP
    return max(floor, beta / BETA_STEP) if kl < budget / 2 else beta


def reward_numbers(rewards: Rewards, names: Sequence[str], found: Advantages) -> dict[str, float]:
    """Means of every reward, and what its variance is worth, for the log."""
    means = {f"reward_{name}": float(np.nanmean(rewards[:, i])) for i, name in enumerate(names)}
    return means | {
        "zero_variance": found.zero_variance_share,
        "unusable": float(found.unusable),
        "advantages_clipped": found.clipped / max(1, len(found.values)),
    }


class RewardedGroup(Protocol):
    """The rollouts of one prompt, and their rewards (K, R)."""

    @property
    def ask(self) -> Ask: ...

    @property
    def rewards(self) -> Rewards: ...


G = TypeVar("G", bound=RewardedGroup)


class Best:
    """The weights that the judge liked best, beside the state, and whether it is time to stop.

    The judge's number falls in two evaluations running while the reward rises: that is a hacked reward.
    """

    def __init__(self, folder: Path, state: Numbers) -> None:
        self.file, self.state = folder / BEST_FILE, state

    @staticmethod
    def numbers() -> dict[str, float]:
        """What must be in the state."""
        return {"best": -1.0, "best_step": -1.0, "last": -1.0, "last_reward": -1.0, "fallen": 0.0, "stopped": 0.0}

    def judged(self, value: float, step: int, weights: Mapping[str, Tensor] | None) -> None:
        """Keep the weights that were judged where they are the best; None on processes that write nothing."""
        if value > self.state["best"]:
            self.state["best"], self.state["best_step"] = value, step
            if weights is not None:
                write_file(self.file, {"step": step, "weights": dict(weights)})

    def rewarded(self, judged: float, reward: float) -> None:
        """Compare both numbers of a judged step with those of the last one."""
        state = self.state
        worse = state["last"] >= 0 and judged < state["last"] and reward > state["last_reward"]
        state["fallen"] = state["fallen"] + 1 if worse else 0
        state["last"], state["last_reward"] = judged, reward
        state["stopped"] = float(state["fallen"] >= PATIENCE)

    def stopped(self) -> bool:
        """Whether the run has ended early."""
        return self.state["stopped"] > 0

    def weights(self) -> dict[str, Tensor] | None:
        """Those kept; None where nothing was judged."""
        if not self.file.exists():
            return None
        found: dict[str, Tensor] = read_file(self.file)["weights"]
        return found


class RolloutStore:
    """Finished rollouts of the steps behind the last saved state, one file a step and process.

    Rewards of a server may differ when they are asked again; a run that is killed and goes on uses the stored ones.
    """

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self.folder, self.rank = folder / "rollouts", ranks.rank
        self.folder.mkdir(parents=True, exist_ok=True)
        self._last = 0

    def get(self, step: int) -> Any:
        """What `put` was given; None where there is nothing."""
        path = self._path(step)
        return read_file(path)["rollout"] if path.exists() else None

    def put(self, step: int, rollout: Any) -> None:
        write_file(self._path(step), {"rollout": rollout})

    def clear(self) -> None:
        """Forget everything, at the beginning of a run."""
        self._drop(before=None)

    def saved(self, step: int | None) -> None:
        """A state of `step` was saved: what stands before the state before it is not needed any more."""
        if step is not None and step != self._last:
            self._drop(before=self._last)
            self._last = step

    def _drop(self, before: int | None) -> None:
        for path in self.folder.glob(f"{self.rank}-*.pt"):
            if before is None or int(path.stem.partition("-")[2]) < before:
                path.unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"{self.rank}-{step}.pt"


def varied_groups(
    asks: Sequence[Ask], wanted: int, step: int, scorer: Scorer, roll: Callable[[Sequence[Ask]], Iterable[G]]
) -> list[G]:
    """`wanted` groups of prompts: those with variance first, spares rolled out until there are enough."""
    weights = np.asarray(scorer.weight_list)
    good: list[G] = []
    flat: list[G] = []
    waiting = list(asks)
    while waiting and len(good) < wanted:
        now = waiting[: wanted - len(good)]
        waiting = waiting[len(now) :]
        for group in roll(now):
            (good if float(np.nanstd(group.rewards @ weights)) >= LEAST_STD else flat).append(group)
    if len(good) + len(flat) < wanted:
        raise InkwashError(f"{wanted} prompts are needed in step {step}, only {len(asks)} were given.")
    return [*good, *flat][:wanted]


def kept_weights(network: nn.Module, ranks: Ranks, lora: LoRA | None) -> dict[str, Tensor]:
    """What is written of a policy: all of it, or its adapter; a copy, since averaged weights are swapped out again."""
    state = policy_state(network, ranks) if lora is None else AdapterState(network).state_dict()
    return {name: value.detach().cpu().clone() for name, value in state.items()}
