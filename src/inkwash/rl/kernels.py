"""One step of the decoder's sampler as a Gaussian: its mean, its deviation, and the log-probability of where it went.

`ode` is the Euler step of the engine. The others add noise and correct the mean so that each level keeps its law:
`flow_sde` (Flow-GRPO, arXiv:2505.05470), `cps` (coefficients-preserving sampling, arXiv:2509.05952), `dance`
(DanceGRPO, arXiv:2505.07818). Paths are x = (1 - sigma) x0 + sigma noise and the velocity is noise - x0; sigma falls.

The log-probability is always that of the Gaussian, in fp32, with its 1 / (2 std^2) and its constants. Public code of
CPS drops them, and what it then calls a ratio is no importance ratio. It is the mean over the latent's numbers, as in
public code, so that a clip range of so many nats is that number divided by their count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from inkwash.models.glm_image.schedule import euler_step

KernelName = Literal["ode", "flow_sde", "cps", "dance"]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel and its amount of noise: `a` of flow_sde and cps, `eta` of dance; no noise is the Euler step."""

    name: KernelName = "ode"
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in get_args(KernelName):
            raise ValueError(f"kernel must be one of {', '.join(get_args(KernelName))}, got {self.name!r}.")
        if self.name == "ode" and self.noise:
            raise ValueError(f"the kernel ode has no noise, got {self.noise}.")
        if not 0.0 <= self.noise <= (1.0 if self.name == "cps" else math.inf):
            raise ValueError(f"noise must be 0 or more, and at most 1 of cps, got {self.noise}.")

    @property
    def random(self) -> bool:
        return self.noise > 0


def step_law(
    kernel: Kernel, latents: Tensor, velocity: Tensor, sigma: float, next_sigma: float, *, second_sigma: float
) -> tuple[Tensor, float]:
    """Mean (B, C, h, w) and standard deviation of the latents at `next_sigma`, fp32.

    `second_sigma` stands for sigma where a formula divides by 1 - sigma and sigma is 1.
    """
    x, v = latents.float(), velocity.float()
    change = next_sigma - sigma
    if not kernel.random:
        return euler_step(x, v, sigma, next_sigma), 0.0
    if kernel.name == "flow_sde":
        diffusion = kernel.noise * math.sqrt(sigma / (1.0 - (second_sigma if sigma >= 1.0 else sigma)))
        drift = diffusion**2 / (2.0 * sigma)
        mean = x * (1.0 + drift * change) + v * (1.0 + drift * (1.0 - sigma)) * change
        return mean, diffusion * math.sqrt(-change)
    if kernel.name == "cps":
        std = next_sigma * math.sin(kernel.noise * math.pi / 2.0)
        mean = (1.0 - next_sigma) * (x - sigma * v) + math.sqrt(next_sigma**2 - std**2) * (x + (1.0 - sigma) * v)
        return mean, std
    score = (x - (1.0 - sigma) * (x - sigma * v)) / sigma**2
    mean = x + v * change + 0.5 * kernel.noise**2 * score * change
    return mean, kernel.noise * math.sqrt(-change)


def step_logp(after: Tensor, mean: Tensor, std: float) -> Tensor:
    """log N(after; mean, std) as the mean over a picture's numbers: (B,), fp32."""
    error = (after.float() - mean.float()).square() / (2.0 * std**2)
    return -error.flatten(1).mean(1) - math.log(std) - 0.5 * math.log(2.0 * math.pi)


def step_kl(mean: Tensor, old_mean: Tensor, std: float) -> Tensor:
    """KL of two steps of one deviation, as the mean over a picture's numbers: (B,)."""
    return ((mean.float() - old_mean.float()).square() / (2.0 * std**2)).flatten(1).mean(1)


def step_noise(shape: torch.Size, generators: list[torch.Generator], device: torch.device) -> Tensor:
    """Noise (B, C, h, w) of a step, each picture's from its own generator on the CPU."""
    return torch.stack([torch.randn(shape[1:], generator=each) for each in generators]).to(device)
