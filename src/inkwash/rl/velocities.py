"""What the decoder learns in one step of reinforcement: forward passes, the three losses, the updates.

The reference's and the old copy's velocities are computed for all passes before the first update; so is the policy's
own where there are several minibatches, with the kernels of training, so that the first ratios are exactly 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from inkwash.rl.kernels import Kernel, step_kl, step_law, step_logp
from inkwash.rl.loop import Reinforcing
from inkwash.rl.loss import awm, awm_logp, flow_policy, nft, v_mse
from inkwash.rl.replica import Shadow
from inkwash.rl.sampler import KernelStep, check_window
from inkwash.train.optim import clear_gradients, update
from inkwash.train.parallel import Ranks, average_gradients

LOSSES = ("nft", "awm", "flow_grpo")
TRUSTS = ("clip", "guard", "dppo")
OLD_DECAYS = ("general", "text")

USUAL_WINDOW = (0, 3)  # random steps of flow_grpo


@dataclass(frozen=True, kw_only=True)
class DecoderReinforce(Reinforcing):
    """Settings of the stage.

    `levels` noise levels of each picture are learnt from. `old_decay` says how the copy that rolls out for `nft`
    follows the policy: `general` or, slower at the end, `text`. `reference` weighs the distance of the velocity from
    the start, `near` (awm) from the old copy. `kernel` with `noise` in steps `window_first` to `window_last` is
    flow_grpo's, whose ranges are in nats of a whole picture.
    """

    lr: float = 1e-4
    loss: str = "nft"
    trust: str = "clip"
    levels: int = 2
    nft_beta: float = 0.1
    old_decay: str = "text"
    reference: float = 1e-4
    near: float = 1.0
    awm_clip: float = 1.0
    kernel: str = "cps"
    noise: float = 0.8
    window_first: int = USUAL_WINDOW[0]
    window_last: int = USUAL_WINDOW[1]
    clip_nats: float = 0.66
    kl_nats: float = 0.66
    draw_steps: int = 8
    together: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(f"one of {', '.join(LOSSES)}", LOSSES.__contains__, "loss")
        self._require(f"one of {', '.join(TRUSTS)}", TRUSTS.__contains__, "trust")
        self._require(f"one of {', '.join(OLD_DECAYS)}", OLD_DECAYS.__contains__, "old_decay")
        self._require("at least 1", lambda value: value >= 1, "levels", "draw_steps", "together")
        self._require("above 0", lambda value: value > 0, "nft_beta", "awm_clip", "clip_nats", "kl_nats")
        self._require("at least 0", lambda value: value >= 0, "reference", "near")
        check_window(self.window, self.draw_steps, self.law)
        if self.loss != "flow_grpo" and (self.window_first, self.window_last) != USUAL_WINDOW:
            raise ValueError(f"window_first and window_last have no meaning for the loss {self.loss}: use flow_grpo.")
        if self.loss == "flow_grpo" and (not self.law.random or self.window[0] == self.window[1]):
            raise ValueError("flow_grpo learns from random steps: give a kernel with noise and a window of steps.")

    @property
    def law(self) -> Kernel:
        """The kernel of the rollout."""
        if self.loss != "flow_grpo":
            return Kernel()
        return Kernel(name=self.kernel, noise=self.noise)  # type: ignore[arg-type]

    @property
    def window(self) -> tuple[int, int]:
        return (self.window_first, self.window_last) if self.loss == "flow_grpo" else (0, 0)

    def old_keep(self, step: int) -> float:
        """How much the old copy keeps of itself after a step; 0 is the policy itself."""
        if self.loss == "awm":
            return min(0.001 * step, 0.3)
        if self.old_decay == "general":
            return min(0.001 * step, 0.5)
        return 0.0 if step < 75 else min(0.0075 * (step - 75), 0.999)


@dataclass(frozen=True, kw_only=True)
class VelocityPart:
    """What one forward pass learns from: latents at some noise level, and what the loss holds them to."""

    noisy: Tensor  # (B, C, h, w)
    sigma: Tensor  # (B,)
    ids: Tensor  # (B, rows, columns)
    texts: list[list[str]]
    advantage: Tensor  # (B,)
    clean: Tensor
    noise: Tensor
    step: KernelStep | None = None  # its rows alone


Velocity = Callable[[VelocityPart], Tensor]


def learn(
    minibatches: Sequence[Sequence[VelocityPart]],
    velocity_of: Velocity,
    trained: Sequence[nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    start: Shadow,
    old: Shadow,
    config: DecoderReinforce,
    ranks: Ranks,
) -> dict[str, float]:
    """The updates of one step; what they did, for the log, over all processes."""
    device = trained[0].device
    every = [part for parts in minibatches for part in parts]
    with torch.no_grad():
        with start.swapped():
            references = [velocity_of(part) for part in every]
        olds: list[Tensor | None] = [None] * len(every)
        if config.loss in ("nft", "awm"):
            with old.swapped():
                olds = [velocity_of(part) for part in every]
    frozen_velocities: list[Tensor | None] = [None] * len(every)
    if config.minibatches > 1 and config.loss != "nft":  # with the kernels of training, which no_grad would change
        frozen_velocities = [velocity_of(part).detach() for part in every]
    sums = {name: torch.zeros((), device=device) for name in ("loss", "v_mse", "old_mse")}
    ratio = torch.zeros((), device=device)
    norms, at = [], 0
    for number, parts in enumerate(minibatches):
        clear_gradients(optimizers)
        for part in parts:
            velocity = velocity_of(part)
            before = velocity.detach() if frozen_velocities[at] is None else frozen_velocities[at]
            assert before is not None
            loss, far = policy_loss(part, velocity, before, olds[at], config)
            drift = v_mse(velocity, references[at])
            whole = loss + config.reference * drift
            (whole / len(parts)).backward()  # processes have as many rows: a mean of means
            sums["loss"] += whole.detach() / len(every)
            sums["v_mse"] += drift.detach() / len(every)
            if olds[at] is not None:
                sums["old_mse"] += v_mse(velocity.detach(), olds[at]) / len(every)  # type: ignore[arg-type]
            if number == 0:
                ratio = torch.maximum(ratio, far)
            at += 1
        average_gradients(trained, ranks)
        norms.append(update(optimizers, trained, config.clip))
    means = {name: float(ranks.total(value)) / ranks.data for name, value in sums.items()}
    return means | {"first_ratio": float(ratio), "gradient": float(torch.stack(norms).mean())}


def policy_loss(
    part: VelocityPart, velocity: Tensor, before: Tensor, old: Tensor | None, config: DecoderReinforce
) -> tuple[Tensor, Tensor]:
    """The loss of one pass, and how far its ratios are from 1; `before` is the policy when it rolled out."""
    nowhere = torch.zeros((), device=velocity.device)
    if config.loss == "nft":
        assert old is not None
        found = nft(velocity, old, part.noisy, part.sigma, part.clean, part.advantage, beta=config.nft_beta)
        return found, nowhere
    if config.loss == "awm":
        assert old is not None
        logp, earlier = (awm_logp(v, part.noise, part.clean, part.sigma) for v in (velocity, before))
        found = awm(logp, earlier, part.advantage, clip=config.awm_clip) + config.near * v_mse(velocity, old)
        return found, ((logp - earlier).exp() - 1.0).abs().max().detach()
    step = part.step
    assert step is not None
    law = partial(step_law, config.law, step.before, sigma=step.sigma, next_sigma=step.next_sigma)
    mean, std = law(velocity, second_sigma=step.second_sigma)
    old_mean, _ = law(before, second_sigma=step.second_sigma)
    logp, earlier = step_logp(step.after, mean, std), step_logp(step.after, old_mean, std)
    found = flow_policy(
        logp,
        earlier,
        step_kl(mean, old_mean, std),
        part.advantage,
        trust=config.trust,  # type: ignore[arg-type]
        std=std,
        change=step.next_sigma - step.sigma,
        numbers=mean[0].numel(),
        clip_nats=config.clip_nats,
        kl_nats=config.kl_nats,
    )
    return found, ((logp - earlier).exp() - 1.0).abs().max().detach()
