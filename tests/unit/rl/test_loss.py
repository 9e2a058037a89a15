"""Losses of reinforcement against their formulas: autograd in fp64, closed forms, truth tables."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from inkwash.rl.kernels import step_kl, step_logp
from inkwash.rl.loss import (
    awm,
    awm_logp,
    dppo_mask,
    flow_policy,
    grpo_tokens,
    guarded_ratio,
    k3,
    nft,
    rollout_weight,
    v_mse,
)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_k3_is_zero_at_home_and_estimates_the_divergence() -> None:
    assert torch.equal(k3(torch.tensor([-1.0]), torch.tensor([-1.0])), torch.tensor([0.0]))
    p, q = randn(6, seed=1).softmax(0), randn(6, seed=2).softmax(0)
    drawn = torch.multinomial(p, 400_000, replacement=True, generator=torch.Generator().manual_seed(3))
    exact = float((p * (p / q).log()).sum())
    assert float(k3(p.log()[drawn], q.log()[drawn]).mean()) == pytest.approx(exact, rel=0.02)
    assert bool((k3(p.log(), q.log()) >= 0).all())


def test_the_unbiased_penalty_has_the_divergence_s_gradient() -> None:
    """Weighted by the ratio, the expected gradient of k3 is that of KL(policy || reference); unweighted it is not."""
    z = randn(5, seed=1).requires_grad_()
    reference = randn(5, seed=2).log_softmax(0)
    logp = z.log_softmax(0)
    (true,) = torch.autograd.grad((logp.exp() * (logp - reference)).sum(), z, retain_graph=True)
    law = logp.exp().detach()
    ratio = (logp - logp.detach()).exp()
    (weighted,) = torch.autograd.grad((law * ratio * k3(logp, reference)).sum(), z, retain_graph=True)
    (plain,) = torch.autograd.grad((law * k3(logp, reference)).sum(), z)
    assert (weighted - true).abs().max() < 1e-12
    assert (plain - true).abs().max() > 1e-3


def test_tokens_match_the_written_formula() -> None:
    """Value and gradient with clip-higher, weights and the penalty, token by token."""
    n = 60
    logp = (randn(n, seed=1) * 0.4 - 1).requires_grad_()
    old, reference = logp.detach() + randn(n, seed=2) * 0.3, logp.detach() + randn(n, seed=3) * 0.2
    advantage, weight = randn(n, seed=4), randn(n, seed=5).abs()
    got = grpo_tokens(logp, old, advantage, weight, 37.0, low=0.2, high=0.28, reference=reference, beta=0.05)
    (gradient,) = torch.autograd.grad(got.loss, logp, retain_graph=True)
    value, wanted, cut = 0.0, torch.zeros(n, dtype=torch.float64), 0
    for i in range(n):
        ratio, a, w = (logp[i] - old[i]).exp().item(), float(advantage[i]), float(weight[i])
        clipped = min(max(ratio, 0.8), 1.28)
        value -= w * min(ratio * a, clipped * a) / 37
        binding = clipped * a < ratio * a
        cut += binding
        d = (reference[i] - logp[i]).item()
        penalty = torch.tensor(d).double().exp() - d - 1
        value += 0.05 * w * ratio * float(penalty) / 37
        inner = 0.0 if binding else -w * ratio * a / 37
        # d/dlogp of ratio * (e^d - d - 1), with dd/dlogp = -1
        wanted[i] = inner + 0.05 * w * ratio * float(penalty - (torch.tensor(d).double().exp() - 1)) / 37
    assert got.loss.item() == pytest.approx(value, abs=1e-9)
    assert (gradient - wanted).abs().max() < 1e-9
    assert float(got.clipped) == pytest.approx(cut / n) and 0 < cut < n
    assert float(got.kl) == pytest.approx(k3(logp, reference).sum().item())


@pytest.mark.parametrize(
    ("ratio", "advantage", "moves"),
    [(1.5, 1, False), (1.25, 1, True), (1.5, -1, True), (0.7, -1, False), (0.7, 1, True)],
)
def test_clip_higher_stops_only_what_goes_too_far(ratio: float, advantage: float, moves: bool) -> None:
    old = torch.zeros(1)
    logp = torch.tensor([ratio]).log().requires_grad_()
    got = grpo_tokens(logp, old, torch.tensor([float(advantage)]), torch.ones(1), 1.0)
    (gradient,) = torch.autograd.grad(got.loss, logp)
    assert bool(gradient.any()) == moves and float(got.clipped) == float(not moves)


def test_no_tokens_are_no_loss() -> None:
    empty = torch.zeros(0, requires_grad=True)
    got = grpo_tokens(empty, empty, empty, empty, 5.0)
    got.loss.backward()
    assert got.loss.item() == 0.0 and float(got.ratio) == 0.0


def test_the_rollout_s_weight_is_capped_and_detached() -> None:
    old = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
    weight = rollout_weight(old, torch.tensor([0.0, -3.0, 0.5]))
    assert weight.tolist() == pytest.approx([1.0, 2.0, 0.60653], abs=1e-5) and not weight.requires_grad


def test_nft_at_the_old_policy_is_flow_matching_by_advantage() -> None:
    """There the gradient is (2r - 1) times that of 5 |x0 - x0_hat|^2 / w, whatever beta is."""
    b = 4
    clean, noise, sigma = (
        randn(b, 3, 2, 2, seed=1),
        randn(b, 3, 2, 2, seed=2),
        torch.tensor([0.2, 0.5, 0.7, 0.9]).double(),
    )
    level = sigma.view(-1, 1, 1, 1)
    noisy = level * noise + (1 - level) * clean
    old = randn(b, 3, 2, 2, seed=3)
    advantage = torch.tensor([2.0, -1.0, 0.5, -9.0]).double()
    for beta in (1.0, 0.1):
        velocity = old.clone().requires_grad_()
        (got,) = torch.autograd.grad(nft(velocity, old, noisy, sigma, clean, advantage, beta=beta), velocity)
        matching = old.clone().requires_grad_()
        error = noisy - level * matching - clean
        width = error.detach().abs().flatten(1).mean(1).view(-1, 1, 1, 1)
        (plain,) = torch.autograd.grad((error.square() / width).mean(), matching)
        r = (advantage / 5).clamp(-1, 1) / 2 + 0.5
        assert (got - 5 * (2 * r - 1).view(-1, 1, 1, 1) * plain).abs().max() < 1e-6


def test_nft_is_the_written_formula() -> None:
    b, beta = 3, 0.3
    clean, noisy, old, velocity = (randn(b, 2, 2, 2, seed=i) for i in range(4))
    sigma, advantage = torch.tensor([0.3, 0.6, 0.9]).double(), torch.tensor([1.0, -2.0, 0.0]).double()
    wanted = 0.0
    for i in range(b):
        r = min(max(float(advantage[i]) / 5, -1), 1) / 2 + 0.5
        plus, minus = beta * velocity[i] + (1 - beta) * old[i], (1 + beta) * old[i] - beta * velocity[i]
        for share, v in ((r, plus), (1 - r, minus)):
            error = noisy[i] - sigma[i] * v - clean[i]
            wanted += share * float(error.square().mean() / error.abs().mean()) / beta
    assert float(nft(velocity, old, noisy, sigma, clean, advantage, beta=beta)) == pytest.approx(
        5 * wanted / b, rel=1e-6
    )
    maps = advantage.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    assert torch.allclose(
        nft(velocity, old, noisy, sigma, clean, maps, beta=beta),
        nft(velocity, old, noisy, sigma, clean, advantage, beta=beta),
    )


def test_region_credit_reaches_its_region_only() -> None:
    """Where the map is 0 the positive and the negative pull cancel at the old policy."""
    clean, noisy, old = (randn(1, 2, 4, 4, seed=i) for i in range(3))
    maps = torch.zeros(1, 1, 4, 4).double()
    maps[..., :2] = 3.0
    velocity = old.clone().requires_grad_()
    (got,) = torch.autograd.grad(nft(velocity, old, noisy, torch.tensor([0.5]).double(), clean, maps), velocity)
    assert float(got[..., 2:].abs().max()) < 1e-7 < float(got[..., :2].abs().max())


def test_awm_is_matching_weighted_by_advantage() -> None:
    """On policy the gradient is -A/5 times that of the score, and the score falls with the matching error."""
    clean, noise, sigma = randn(3, 2, 2, 2, seed=1), randn(3, 2, 2, 2, seed=2), torch.tensor([0.3, 0.6, 0.9])
    velocity = randn(3, 2, 2, 2, seed=3).float().requires_grad_()
    clean, noise = clean.float(), noise.float()
    advantage = torch.tensor([1.0, -4.0, 50.0])
    score = awm_logp(velocity, noise, clean, sigma)
    (got,) = torch.autograd.grad(awm(score, score.detach(), advantage), velocity, retain_graph=True)
    (wanted,) = torch.autograd.grad(-(torch.tensor([1.0, -4.0, 5.0]) / 5 * score).mean(), velocity)
    assert torch.allclose(got, wanted, atol=1e-7)
    error = (velocity.detach() - (noise - clean)).square().flatten(1).mean(1).double()
    exact = -((error + 1e-10) ** 0.25 - 1e-10**0.25) * sigma.double() / 0.25
    assert (score.double() - exact).abs().max() < 1e-5
    assert float(awm_logp(noise - clean, noise, clean, sigma).abs().max()) < 1e-9


def test_awm_stops_at_its_clip_range() -> None:
    old = torch.zeros(2)
    logp = torch.tensor([1.0, 0.5], requires_grad=True)  # ratios 2.7 and 1.6 with a range of 0 to 2
    (got,) = torch.autograd.grad(awm(logp, old, torch.ones(2)), logp)
    assert float(got[0]) == 0.0 and float(got[1]) != 0.0


MASK = [
    (ratio, advantage, far, not (far and ((ratio > 1 and advantage > 0) or (ratio < 1 and advantage < 0))))
    for ratio, advantage, far in itertools.product((0.9, 1.0, 1.1), (-1.0, 0.0, 1.0), (False, True))
]


@pytest.mark.parametrize(("ratio", "advantage", "far", "counts"), MASK)
def test_the_divergence_mask(ratio: float, advantage: float, far: bool, counts: bool) -> None:
    kl = torch.tensor([2e-5 if far else 5e-6])
    assert bool(dppo_mask(torch.tensor([ratio]), kl, torch.tensor([advantage]), 1e-5)) == counts


def test_the_guarded_ratio_has_no_bias() -> None:
    """Under a policy near the old one its mean is 1; the plain mean-reduced ratio lies below in its logarithm."""
    generator = torch.Generator().manual_seed(0)
    numbers, std = 64, 0.4
    old = torch.zeros(1, 1, 8, 8)
    mean = old + 0.05 * torch.randn(old.shape, generator=generator)
    ratios, logs = [], []
    for _ in range(20):
        after = old + std * torch.randn(800, 1, 8, 8, generator=generator)
        new, before = step_logp(after, mean.expand_as(after), std), step_logp(after, old.expand_as(after), std)
        kl = step_kl(mean, old, std).expand(800)
        ratios.append(guarded_ratio(new, before, kl, std))
        logs.append(new - before)
    assert abs(float(torch.cat(ratios).mean()) - 1) < 1e-3
    assert float(torch.cat(logs).mean()) == pytest.approx(-float(step_kl(mean, old, std)), rel=0.1)
    assert numbers == old.numel()


@pytest.mark.parametrize("trust", ["clip", "guard", "dppo"])
def test_every_flow_loss_starts_as_the_policy_gradient(trust: str) -> None:
    """At the old policy: minus A times the gradient of the log-probability (guard: times std over the step)."""
    old_mean, std, change = randn(4, 2, 2, 2, seed=1).float(), 0.3, -0.2
    after = old_mean + std * randn(4, 2, 2, 2, seed=2).float()
    advantage = torch.tensor([1.0, -1.0, 0.5, 0.0])
    mean = old_mean.clone().requires_grad_()
    logp, kl = step_logp(after, mean, std), step_kl(mean, old_mean, std)
    loss = flow_policy(logp, logp.detach(), kl, advantage, trust=trust, std=std, change=change, numbers=8)  # type: ignore[arg-type]
    (got,) = torch.autograd.grad(loss, mean, retain_graph=True)
    (plain,) = torch.autograd.grad(-(advantage * logp).mean(), mean)
    factor = std / -change if trust == "guard" else 1.0
    assert torch.allclose(got, factor * plain, atol=1e-6) and float(got.abs().max()) > 1e-3


@pytest.mark.parametrize("trust", ["clip", "guard", "dppo"])
def test_flow_losses_match_the_written_formulas(trust: str) -> None:
    """Value and gradient away from the old policy, sample by sample in fp64; some terms are cut, some are not."""
    n, numbers, std, change, nats = 40, 8, 0.3, -0.2, 0.66
    spread = 3 * nats / numbers / (std if trust == "guard" else 1.0)
    old, kl, advantage = randn(n, seed=1), randn(n, seed=3).abs() * 2 * nats / numbers, randn(n, seed=4)
    logp = (old + spread * randn(n, seed=2)).requires_grad_()
    named: dict[str, Any] = {"trust": trust, "std": std, "change": change, "numbers": numbers}
    loss = flow_policy(logp, old, kl, advantage, **named, clip_nats=nats, kl_nats=nats)
    (gradient,) = torch.autograd.grad(loss, logp)
    value, wanted, cut = 0.0, torch.zeros(n, dtype=torch.float64), 0
    for i in range(n):
        a, difference = float(advantage[i]), float(logp[i].detach() - old[i])
        if trust == "guard":
            ratio, width, scale = math.exp((difference + float(kl[i])) * std), nats * std / numbers, 1 / 0.2
        else:
            ratio, width, scale = math.exp(difference), nats / numbers, 1.0
        if trust == "dppo":
            away = (ratio > 1 and a > 0) or (ratio < 1 and a < 0)
            out = away and float(kl[i]) >= nats / numbers
            value -= 0.0 if out else ratio * a * scale / n
        else:
            bound = min(max(ratio, 1 - width), 1 + width)
            out = bound * a < ratio * a
            value -= min(ratio * a, bound * a) * scale / n
        cut += out
        wanted[i] = 0.0 if out else -ratio * a * scale / n * (std if trust == "guard" else 1.0)
    assert loss.item() == pytest.approx(value, abs=1e-9) and 0 < cut < n
    assert (gradient - wanted).abs().max() < 1e-9


def test_clip_ranges_are_in_nats() -> None:
    """The same policy change is cut or not by its nats, whatever the number of latents."""
    for numbers in (16, 16_384):
        old = torch.zeros(1)
        for nats, cut in ((0.5, False), (0.9, True)):
            logp = torch.full((1,), nats / numbers).requires_grad_()
            loss = flow_policy(logp, old, old, torch.ones(1), trust="clip", std=1.0, change=-0.1, numbers=numbers)
            (gradient,) = torch.autograd.grad(loss, logp)
            assert bool(gradient == 0) == cut


def test_v_mse() -> None:
    assert float(v_mse(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))) == 2.5
