"""Steps of the sampler as Gaussians: the law of each level is kept, no noise is Euler, log-probabilities are whole."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from inkwash.models.glm_image.schedule import euler_step
from inkwash.rl.kernels import Kernel, step_kl, step_law, step_logp

SPREAD = 0.6  # standard deviation of the data


def exact_velocity(x: Tensor, sigma: float, spread: float) -> Tensor:
    """E[noise - x0 | x] of data N(0, spread^2) on the straight path."""
    return x * (sigma - (1 - sigma) * spread**2) / (sigma**2 + ((1 - sigma) * spread) ** 2)


def spreads(kernel: Kernel, steps: int, spread: float, count: int = 100_000) -> list[float]:
    """Deviation at every level of what a kernel makes of noise with the exact velocity, over the true one."""
    generator = torch.Generator().manual_seed(0)
    levels = [1.0 - i / steps for i in range(steps)]
    x, found = torch.randn(1, 1, 1, count, generator=generator), []
    for sigma, following in pairwise(levels):
        velocity = exact_velocity(x, sigma, spread)
        mean, std = step_law(kernel, x, velocity, sigma, following, second_sigma=levels[1])
        x = mean + std * torch.randn(x.shape, generator=generator)
        found.append(float(x.std()) / math.hypot(following, (1 - following) * spread))
    return found


def test_cps_keeps_the_noise_of_every_level_where_flow_sde_adds_to_it() -> None:
    """Eight steps to a single picture: CPS has the level's noise, the SDE's steps overshoot it."""
    assert all(abs(each - 1) < 0.02 for each in spreads(Kernel(name="cps", noise=0.8), 8, 0.0))
    assert max(spreads(Kernel(name="flow_sde", noise=0.7), 8, 0.0)) > 1.1


@pytest.mark.parametrize(("name", "noise"), [("cps", 0.1), ("flow_sde", 0.7), ("dance", 0.3)])
def test_the_variance_of_spread_data_is_kept_in_the_limit(name: str, noise: float) -> None:
    """CPS with as much noise per step shrinks spread data, as its x0 is the mean of what is possible."""
    law = spreads(Kernel(name=name, noise=noise), 256, SPREAD, 20_000)  # type: ignore[arg-type]
    assert all(abs(each - 1) < 0.04 for each in law[100:-25])  # the SDE's first steps divide by 1 - sigma


@pytest.mark.parametrize("name", ["ode", "flow_sde", "cps", "dance"])
def test_no_noise_is_the_euler_step_bit_for_bit(name: str) -> None:
    x, v = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    mean, std = step_law(Kernel(name=name), x, v, 0.7, 0.4, second_sigma=0.9)  # type: ignore[arg-type]
    assert std == 0.0 and torch.equal(mean, euler_step(x, v, 0.7, 0.4))


@pytest.mark.parametrize(("name", "noise"), [("flow_sde", 1e-4), ("cps", 1e-4), ("dance", 1e-4)])
def test_little_noise_is_nearly_the_euler_step(name: str, noise: float) -> None:
    x, v = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    mean, std = step_law(Kernel(name=name, noise=noise), x, v, 1.0, 0.8, second_sigma=0.8)  # type: ignore[arg-type]
    assert 0 < std < 1e-3 and (mean - euler_step(x, v, 1.0, 0.8)).abs().max() < 1e-5


def test_the_laws_are_those_of_the_papers() -> None:
    """Each mean and deviation in fp64, written out once more from the formulas."""
    x, v = torch.randn(1, 2, 2, 2, dtype=torch.float64), torch.randn(1, 2, 2, 2, dtype=torch.float64)
    sigma, following, a = 0.75, 0.5, 0.7
    d = following - sigma
    s = a * math.sqrt(sigma / (1 - sigma))
    wanted = {
        "flow_sde": (x * (1 + s**2 * d / (2 * sigma)) + v * (1 + s**2 * (1 - sigma) / (2 * sigma)) * d, s * (-d) ** 0.5)
    }
    std = following * math.sin(a * math.pi / 2)
    clean, noise = x - sigma * v, x + (1 - sigma) * v
    wanted["cps"] = ((1 - following) * clean + (following**2 - std**2) ** 0.5 * noise, std)
    wanted["dance"] = (x + v * d + 0.5 * a**2 * (x - (1 - sigma) * clean) / sigma**2 * d, a * (-d) ** 0.5)
    for name, (mean, deviation) in wanted.items():
        got = step_law(Kernel(name=name, noise=a), x, v, sigma, following, second_sigma=0.9)  # type: ignore[arg-type]
        assert (got[0].double() - mean).abs().max() < 1e-6
        assert got[1] == pytest.approx(deviation, abs=1e-12)


def test_the_log_probability_has_its_constants() -> None:
    after, mean, std = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), 0.37
    law = torch.distributions.Normal(mean.double(), std)
    wanted = law.log_prob(after.double()).flatten(1).mean(1)
    assert torch.allclose(step_logp(after, mean, std).double(), wanted, rtol=1e-6, atol=1e-6)
    other = mean + 0.1
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(other, std), torch.distributions.Normal(mean, std)
    )
    assert torch.allclose(step_kl(other, mean, std), kl.flatten(1).mean(1), atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"name": "sde"}, {"noise": 0.5}, {"name": "cps", "noise": 1.2}, {"name": "dance", "noise": -1}]
)
def test_a_kernel_that_is_none_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"must be|has no noise"):
        Kernel(**wrong)
