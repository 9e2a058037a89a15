"""The losses of reinforcement as pure functions on tensors: tokens (GRPO), and the decoder's velocities and steps.

Sources: GRPO, arXiv:2402.03300, with the higher upper clip of DAPO, arXiv:2503.14476; k3, Schulman 2020, in its
unbiased form weighted by the ratio (DeepSeek-V3.2, arXiv:2512.02556); truncated importance sampling of the rollout's
rounding, Yao et al. 2025; DiffusionNFT, arXiv:2509.16117; advantage weighted matching (AWM), arXiv:2509.25050;
Flow-GRPO, arXiv:2505.05470, with the guarded ratio of GRPO-Guard, arXiv:2510.22319, or the divergence mask of
Flow-DPPO, arXiv:2606.11025. Public clip ranges hold for one size of latents; here they are in nats and divided by the
count of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ADVANTAGE_CLIP = 5.0
NFT_FLOOR = 1e-5  # of the weight that a squared error is divided by
AWM_OFFSET = 1e-10
Trust = Literal["clip", "guard", "dppo"]


@dataclass(frozen=True, kw_only=True)
class TokenLoss:
    """The loss and what the log says about it; the shares are over the tokens given."""

    loss: Tensor
    clipped: Tensor  # share of tokens whose term was clipped
    kl: Tensor  # sum over the tokens of k3 against the reference
    ratio: Tensor  # largest distance of a ratio from 1


def k3(logp: Tensor, reference: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) from tokens of the policy, never below 0."""
    difference = reference - logp
    return difference.exp() - difference - 1.0


def rollout_weight(old: Tensor, rollout: Tensor, cap: float = 2.0) -> Tensor:
    """Importance weight of tokens sampled with slightly other numbers than those that train, at most `cap`."""
    return (old - rollout).exp().clamp(max=cap).detach()


def grpo_tokens(
    logp: Tensor,
    old: Tensor,
    advantage: Tensor,
    weight: Tensor,
    total: Tensor | float,
    *,
    low: float = 0.2,
    high: float = 0.28,
    reference: Tensor | None = None,
    beta: float = 0.0,
) -> TokenLoss:
    """Clipped policy loss over choice tokens (n,), divided by `total`, plus `beta` times the unbiased k3.

    `weight` holds everything that scales a token but does not learn: its place, the rollout's weight, the sample's
    normalisation.
    """
    ratio = (logp - old).exp()
    clipped = ratio.clamp(1.0 - low, 1.0 + high)
    gain = torch.minimum(ratio * advantage, clipped * advantage)
    loss = -(weight * gain).sum() / total
    drift = torch.zeros((), device=logp.device)
    if reference is not None:
        each = k3(logp, reference)
        drift = each.detach().sum()
        if beta:
            loss = loss + beta * (weight * ratio * each).sum() / total
    cut = (clipped * advantage < ratio * advantage).float()
    share = cut.mean() if len(cut) else cut.sum()
    distance = (ratio.detach() - 1.0).abs()
    return TokenLoss(
        loss=loss, clipped=share.detach(), kl=drift, ratio=distance.max() if len(distance) else distance.sum()
    )


def nft(
    velocity: Tensor,
    old: Tensor,
    noisy: Tensor,
    sigma: Tensor,
    clean: Tensor,
    advantage: Tensor,
    *,
    beta: float = 1.0,
) -> Tensor:
    """DiffusionNFT: pull an implicit positive policy to good pictures and push an implicit negative one from bad ones.

    Velocities and latents (B, C, h, w), sigma (B,); the advantage is (B,) or, for credit by region, (B, 1, h, w).
    """
    share = _spread(advantage).clamp(-ADVANTAGE_CLIP, ADVANTAGE_CLIP) / ADVANTAGE_CLIP / 2.0 + 0.5
    level = _spread(sigma)
    total = torch.zeros((), device=velocity.device)
    for part, sign in ((share, 1.0), (1.0 - share, -1.0)):
        implicit = sign * beta * velocity + (1.0 - sign * beta) * old
        error = noisy - level * implicit - clean
        width = error.detach().double().abs().flatten(1).mean(1).clamp(min=NFT_FLOOR).float()
        total = total + (part * error.square() / _spread(width)).mean()
    return ADVANTAGE_CLIP * total / beta


def awm_logp(velocity: Tensor, noise: Tensor, clean: Tensor, sigma: Tensor, *, power: float = 0.25) -> Tensor:
    """The stand-in for a log-likelihood (B,): the negative Huber-like matching error, weighted by sigma."""
    error = (velocity.float() - (noise - clean)).square().flatten(1).mean(1)
    return -((error + AWM_OFFSET) ** power - AWM_OFFSET**power) * sigma / power


def awm(logp: Tensor, old: Tensor, advantage: Tensor, *, clip: float = 1.0) -> Tensor:
    """Advantage weighted matching from `awm_logp` (B,) of the policy and of the one that rolled out."""
    scaled = advantage.clamp(-ADVANTAGE_CLIP, ADVANTAGE_CLIP) / ADVANTAGE_CLIP
    return -_clipped(((logp - old).exp()), scaled, clip).mean()


def flow_policy(
    logp: Tensor,
    old: Tensor,
    kl: Tensor,
    advantage: Tensor,
    *,
    trust: Trust,
    std: float,
    change: float,
    numbers: int,
    clip_nats: float = 0.66,
    kl_nats: float = 0.66,
) -> Tensor:
    """Flow-GRPO's loss of one step, from mean log-probabilities (B,) of both policies and their mean KL (B,).

    `change` is the step's (negative) change of sigma, `numbers` those of a latent.
    """
    if trust == "clip":
        return -_clipped((logp - old).exp(), advantage, clip_nats / numbers).mean()
    if trust == "guard":
        ratio = guarded_ratio(logp, old, kl, std)
        return -_clipped(ratio, advantage, clip_nats * std / numbers).mean() / -change
    ratio = (logp - old).exp()
    return -(dppo_mask(ratio, kl, advantage, kl_nats / numbers) * ratio * advantage).mean()


def guarded_ratio(logp: Tensor, old: Tensor, kl: Tensor, std: float) -> Tensor:
    """The ratio with its bias below 1 taken out and the steps' different spreads evened (GRPO-Guard)."""
    return ((logp - old + kl) * std).exp()


def dppo_mask(ratio: Tensor, kl: Tensor, advantage: Tensor, most: float) -> Tensor:
    """1 where a term counts: not where the policy is too far off already and the term would push it on."""
    away = ((ratio > 1.0) & (advantage > 0)) | ((ratio < 1.0) & (advantage < 0))
    return (~((kl >= most) & away)).float().detach()


def v_mse(velocity: Tensor, reference: Tensor) -> Tensor:
    """Mean squared distance of two velocities: what holds a decoder to its reference."""
    return (velocity.float() - reference.float()).square().mean()


def _clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def _spread(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1); a map stays."""
    return values.view(-1, 1, 1, 1) if values.ndim == 1 else values
