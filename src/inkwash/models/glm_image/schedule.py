"""The noise schedule of a drawing: which timesteps the decoder sees and how far each Euler step goes.

The decoder is told unshifted timesteps, while the sigmas it moves along are shifted towards noise, the more so the
larger the picture. Pure functions over numbers; the fields come from the checkpoint's `scheduler_config.json`.
Sources: flow matching, arXiv:2210.02747; resolution-dependent shift, arXiv:2403.03206.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.config import SchedulerConfig

Numbers = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Timesteps (n,) and sigmas (n + 1,), both fp32 and falling; the last sigma is 0."""

    timesteps: Tensor
    sigmas: Tensor

    @property
    def steps(self) -> int:
        return self.timesteps.shape[0]

    @property
    def model_timesteps(self) -> Tensor:
        """What the decoder is called with: it counts from 0, the schedule from 1."""
        return self.timesteps - 1


def schedule(
    config: SchedulerConfig,
    tokens: int,
    steps: int | None = None,
    *,
    timesteps: Sequence[float] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Schedule:
    """The schedule for a picture of `tokens` image tokens: by a number of steps, or by given timesteps or sigmas.

    Given sigmas are still shifted, as the released pipeline does it; given timesteps lose their fractions. Neither may
    rise from step to step, and where both are given they must be equally long; given sigmas alone need as many steps.
    """
    if timesteps is None and steps is None:
        steps = len(sigmas) if sigmas is not None else None
    if timesteps is None and steps is None:
        raise ConfigError("A schedule needs a number of steps, timesteps or sigmas; none was given.")
    times = _whole(timesteps) if timesteps is not None else default_timesteps(steps or 0, config.num_train_timesteps)
    levels = times / np.float32(config.num_train_timesteps) if sigmas is None else np.asarray(sigmas, np.float32)
    if len(levels) != len(times) or (steps is not None and steps != len(times)):
        raise ConfigError(
            f"{len(times)} timesteps, {len(levels)} sigmas and {steps} steps do not agree; make their numbers equal."
        )
    if len(levels) == 0 or not (levels > 0).all():
        raise ConfigError("Timesteps and sigmas of a schedule must be above 0, and there must be at least one.")
    if (np.diff(levels) > 0).any() or (np.diff(times) > 0).any():
        raise ConfigError("Timesteps and sigmas of a schedule must not rise from step to step.")
    shifted = torch.from_numpy(shift_sigmas(config, levels, tokens)).float()
    return Schedule(timesteps=torch.from_numpy(times), sigmas=torch.cat([shifted, shifted.new_zeros(1)]))


def default_timesteps(steps: int, num_train_timesteps: int = 1000) -> Numbers:
    """`steps` whole numbers from `num_train_timesteps` down towards, and without, 1."""
    if steps < 1:
        raise ConfigError(f"The number of steps is {steps}, but must be at least 1.")
    return _whole(np.linspace(num_train_timesteps, 1.0, steps + 1)[:-1])


def shift_amount(config: SchedulerConfig, tokens: int) -> float:
    """mu, growing with the square root of the number of image tokens."""
    return config.base_shift + config.max_shift * math.sqrt(tokens / config.base_image_seq_len)


def shift_sigmas(config: SchedulerConfig, sigmas: Numbers, tokens: int) -> Numbers:
    """Move sigmas towards 1: by the picture's size under `use_dynamic_shifting`, by the constant `shift` without."""
    if config.use_dynamic_shifting:
        mu = shift_amount(config, tokens)
        weight = math.exp(mu) if config.time_shift_type == "exponential" else mu
        shifted = weight / (weight + (1 / sigmas - 1))
    else:
        shifted = config.shift * sigmas / (1 + (config.shift - 1) * sigmas)
    if not config.shift_terminal:
        return shifted
    rest = 1 - shifted
    if rest[-1] <= 0:
        raise ConfigError("One step at full noise cannot be stretched to shift_terminal; take more steps.")
    return 1 - rest * (1 - config.shift_terminal) / rest[-1]


def euler_step(latents: Tensor, velocity: Tensor, sigma: Tensor | float, next_sigma: Tensor | float) -> Tensor:
    """One step along the velocity, from noise level sigma to next_sigma, in fp32."""
    return latents.float() + (next_sigma - sigma) * velocity.float()


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """The straight path from picture (sigma 0) to noise (sigma 1); its velocity is noise - clean."""
    return sigma * noise + (1.0 - sigma) * clean


def _whole(values: Sequence[float] | Numbers) -> Numbers:
    """Fractions cut off, as the released pipeline does; fp32 because the time embedding takes floats."""
    return np.asarray(values).astype(np.int64).astype(np.float32)
