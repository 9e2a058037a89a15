"""The update of a policy over tokens, for both the generator that draws and the model that sees.

A step's rollouts come as parts that one forward pass takes. Before the first update the reference's log-probabilities
are computed for all of them, and the policy's own where there are several minibatches: on the training path and in the
same shapes, so that the ratio of the first minibatch is exactly 1. The rollout's own numbers are slightly others (bf16
against fp32 sums); what that is worth is a capped weight on each token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from inkwash.rl.loss import TokenLoss, grpo_tokens, rollout_weight
from inkwash.rl.replica import Shadow
from inkwash.train.optim import clear_gradients, update
from inkwash.train.parallel import Ranks, average_gradients


@dataclass(frozen=True, kw_only=True)
class TokenPart:
    """Tokens with a choice, of the rollouts of one forward pass."""

    rows: Any  # what the network takes
    choice: Tensor  # places among the tokens of the rows that are counted
    tokens: Tensor  # (n,)
    ids: Tensor | None  # (n, K) what each could have been; None for the whole vocabulary
    there: Tensor | None
    rolled: Tensor  # (n,) the sampler's log-probabilities
    advantage: Tensor  # (n,)
    weight: Tensor  # (n,); 0 for rollouts that teach nothing
    samples: int
    counted: int  # tokens of the rollouts, with and without a choice


class TokenSettings(Protocol):
    """The settings that an update reads."""

    @property
    def clip_low(self) -> float: ...

    @property
    def clip_high(self) -> float: ...

    @property
    def clip(self) -> float: ...

    @property
    def minibatches(self) -> int: ...

    @property
    def per_sample(self) -> bool: ...


LogpsOf = Callable[[TokenPart], tuple[Tensor, Tensor]]


class TokenSums:
    """What happened in the parts of a step, summed on the device."""

    def __init__(self, device: torch.device) -> None:
        names = ("loss", "clipped", "kl", "entropy", "mismatch", "count")
        self.sums = {name: torch.zeros((), device=device) for name in names}
        self.most = {name: torch.zeros((), device=device) for name in ("ratio", "first_ratio", "weight")}

    def add(self, found: TokenLoss, entropy: Tensor, mismatch: Tensor, caps: Tensor, *, first: bool) -> None:
        """Count a part; `mismatch` (n,) is how far rollout and training differ, `first` a step's first minibatch."""
        sums, most, count = self.sums, self.most, len(caps)
        sums["loss"] += found.loss.detach()
        sums["clipped"] += found.clipped * count
        sums["kl"] += found.kl
        sums["entropy"] += entropy.detach().sum()
        sums["mismatch"] += mismatch.sum()
        sums["count"] += count
        most["ratio"] = torch.maximum(most["ratio"], found.ratio)
        if first:
            most["first_ratio"] = torch.maximum(most["first_ratio"], found.ratio)
        if count:
            most["weight"] = torch.maximum(most["weight"], caps.max())

    def numbers(self, parts: Sequence[TokenPart], ranks: Ranks) -> dict[str, float]:
        """For the log, over all processes."""
        totals = {name: float(ranks.total(value)) for name, value in self.sums.items()}
        tokens, device = max(1.0, totals["count"]), self.sums["count"].device
        samples = float(ranks.total(torch.tensor(float(sum(part.samples for part in parts)), device=device)))
        counted = float(ranks.total(torch.tensor(float(sum(part.counted for part in parts)), device=device)))
        return {
            "loss": totals["loss"],
            "kl_sample": totals["kl"] / samples,
            "clipped": totals["clipped"] / tokens,
            "entropy_sample": totals["entropy"] / samples,
            "mismatch": totals["mismatch"] / tokens,
            "choice": totals["count"] / max(1.0, counted),
            "ratio": float(self.most["ratio"]),
            "first_ratio": float(self.most["first_ratio"]),
            "rollout_weight": float(self.most["weight"]),
        }


def token_updates(
    parts: Sequence[TokenPart],
    logps_of: LogpsOf,
    trained: Sequence[nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    config: TokenSettings,
    ranks: Ranks,
    *,
    start: Shadow | None = None,
    beta: float = 0.0,
) -> dict[str, float]:
    """One pass over the parts in `minibatches` updates; what happened, for the log, over all processes.

    `per_sample` divides by the rollouts, whose weights then hold one over their lengths, else by the counted tokens.
    """
    device = parts[0].tokens.device if not trained else trained[0].device
    references = _constant(parts, logps_of, start) if start is not None else None
    olds = _constant(parts, logps_of, None) if config.minibatches > 1 else None
    sums, norms = TokenSums(device), []
    size = len(parts) // config.minibatches
    for begin in range(0, len(parts), size):
        clear_gradients(optimizers)
        batch = range(begin, begin + size)
        total = ranks.total(_total([parts[i] for i in batch], config.per_sample).to(device)).clamp(min=1.0)
        for i in batch:
            part = parts[i]
            logp, entropy = logps_of(part)
            old = logp.detach() if olds is None else olds[i]
            rolled = part.rolled.to(device)
            caps = rollout_weight(old, rolled)
            found = grpo_tokens(
                logp,
                old,
                part.advantage.to(device),
                part.weight.to(device) * caps,
                total,
                low=config.clip_low,
                high=config.clip_high,
                reference=None if references is None else references[i],
                beta=beta,
            )
            (found.loss * ranks.data).backward()  # gradients are averaged over the processes
            sums.add(found, entropy, (old - rolled).abs(), caps, first=begin == 0)
        average_gradients(trained, ranks)
        norms.append(update(optimizers, trained, config.clip))
    return {**sums.numbers(parts, ranks), "gradient": float(torch.stack(norms).mean())}


def _total(parts: Sequence[TokenPart], per_sample: bool) -> Tensor:
    """What a minibatch's loss is divided by."""
    if per_sample:
        return torch.tensor(float(sum(part.samples for part in parts)))
    return torch.stack([(part.weight > 0).sum() for part in parts]).sum().float()


def _constant(parts: Sequence[TokenPart], logps_of: LogpsOf, weights: Shadow | None) -> list[Tensor]:
    """Log-probabilities of all parts by the policy as it is, or with other weights in its place.

    Those of the policy itself take the same kernels as in training, which torch chooses anew where no gradient is kept.
    """
    if weights is None:
        return [logps_of(part)[0].detach() for part in parts]
    with torch.no_grad(), weights.swapped():
        return [logps_of(part)[0] for part in parts]
