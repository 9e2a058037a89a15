"""The decoder's sampling loop of a rollout: the engine's velocities, a kernel inside a window of steps, Euler outside.

Without a window, or with the kernel `ode`, the latents are those of `Denoiser.run`, bit for bit. Inside the window
every step is kept in fp32: where it began, where it went, its mean and its deviation; that is what the ratios of
Flow-GRPO are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inkwash.engine.denoise import Denoiser
from inkwash.models.glm_image.schedule import euler_step
from inkwash.rl.kernels import Kernel, step_law, step_noise


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """One random step of all pictures."""

    index: int
    before: Tensor  # (B, C, h, w) fp32
    after: Tensor
    mean: Tensor
    std: float
    sigma: float
    next_sigma: float
    second_sigma: float  # of the schedule


@dataclass(frozen=True, kw_only=True)
class SamplerPath:
    """Finished latents (B, C, h, w) fp32, and the random steps that led there."""

    latents: Tensor
    steps: tuple[KernelStep, ...]


def check_window(window: tuple[int, int], steps: int, kernel: Kernel) -> None:
    """Refuse a window that leaves the schedule, or whose last step has no noise to be random with."""
    first, last = window
    if not 0 <= first <= last <= steps:
        raise ValueError(f"the window of random steps is {first} to {last}, but must lie within 0 to {steps}.")
    if kernel.random and last == steps and first < last:
        raise ValueError(f"the last of {steps} steps ends without noise and cannot be random: end the window before.")


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    latents: Tensor,
    *,
    kernel: Kernel = Kernel(),  # noqa: B008 (frozen)
    window: tuple[int, int] = (0, 0),
    generators: Sequence[torch.Generator] = (),
) -> SamplerPath:
    """Denoise noise (B, C, h, w) of a denoiser that was prepared; the steps of `window` [first, last) are random."""
    check_window(window, denoiser.schedule.steps, kernel)
    levels = denoiser.schedule.sigmas.tolist()
    sigmas = denoiser.schedule.sigmas.to(latents.device)
    latents = latents.float()
    kept: list[KernelStep] = []
    for index in range(denoiser.schedule.steps):
        velocity = torch.cat(
            [denoiser.velocity_of(each, latents[each.pictures], index, denoiser.guided) for each in denoiser.passes]
        )
        if not (kernel.random and window[0] <= index < window[1]):
            latents = euler_step(latents, velocity, sigmas[index], sigmas[index + 1])
            continue
        mean, std = step_law(kernel, latents, velocity, levels[index], levels[index + 1], second_sigma=levels[1])
        after = mean + std * step_noise(mean.shape, list(generators), mean.device)
        kept.append(
            KernelStep(
                index=index,
                before=latents,
                after=after,
                mean=mean,
                std=std,
                sigma=levels[index],
                next_sigma=levels[index + 1],
                second_sigma=levels[1],
            )
        )
        latents = after
    return SamplerPath(latents=latents, steps=tuple(kept))
