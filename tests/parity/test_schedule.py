"""The noise schedule against the reference scheduler, driven as the released pipeline drives it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.glm_image.pipeline_glm_image import calculate_shift

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.config import SchedulerConfig
from inkwash.models.glm_image.schedule import add_noise, euler_step, schedule

RELEASED = {"use_dynamic_shifting": True, "base_shift": 0.25, "max_shift": 0.75, "time_shift_type": "linear"}
KINDS = [
    RELEASED,
    {**RELEASED, "time_shift_type": "exponential"},
    {**RELEASED, "shift_terminal": 0.1},
    {**RELEASED, "num_train_timesteps": 500, "base_image_seq_len": 100},
    {"use_dynamic_shifting": False, "shift": 3.0},
    {"use_dynamic_shifting": False},
]


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("diffusers").setLevel(logging.ERROR)


def reference(
    config: SchedulerConfig, tokens: int, steps: int | None, timesteps: Any = None, sigmas: Any = None
) -> Any:
    """What the pipeline does between its arguments and the first step."""
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(config.to_dict())
    default = np.linspace(config.num_train_timesteps, 1.0, (steps or 0) + 1)[:-1]
    times = (default if timesteps is None else np.array(timesteps)).astype(np.int64).astype(np.float32)
    levels = times / config.num_train_timesteps if sigmas is None else sigmas
    mu = calculate_shift(tokens, config.base_image_seq_len, config.base_shift, config.max_shift)
    scheduler.set_timesteps(timesteps=times, sigmas=levels, mu=mu)
    return scheduler


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50])
@pytest.mark.parametrize("tokens", [64, 256, 1000, 4096, 16384])
def test_schedule(kind: dict, steps: int, tokens: int) -> None:
    config = SchedulerConfig(**kind)
    if kind.get("shift_terminal") and steps == 1:  # the reference divides zero by zero here
        with pytest.raises(ConfigError, match="shift_terminal"):
            schedule(config, tokens, steps)
        return
    ours, theirs = schedule(config, tokens, steps), reference(config, tokens, steps)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    assert ours.sigmas.dtype == torch.float32
    torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=1e-7)
    assert torch.equal(ours.model_timesteps, theirs.timesteps - 1)


def test_own_timesteps_and_sigmas() -> None:
    config = SchedulerConfig(**RELEASED)
    timesteps, sigmas = [900.9, 500.0, 20.5], [0.9, 0.4, 0.05]
    for arguments in ({"timesteps": timesteps}, {"timesteps": timesteps, "sigmas": sigmas}):
        ours, theirs = schedule(config, 256, **arguments), reference(config, 256, None, **arguments)
        assert torch.equal(ours.timesteps, theirs.timesteps)
        torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=1e-7)
    ours, theirs = schedule(config, 256, sigmas=sigmas), reference(config, 256, 3, sigmas=sigmas)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    torch.testing.assert_close(ours.sigmas, theirs.sigmas, rtol=1e-6, atol=1e-7)


def test_euler_steps() -> None:
    config = SchedulerConfig(**RELEASED)
    ours, theirs = schedule(config, 256, 5), reference(config, 256, 5)
    start = torch.randn(2, 3, 4, 4)
    a = b = start
    for i, timestep in enumerate(theirs.timesteps):
        velocity = torch.sin(a) + i
        a = euler_step(a, velocity, ours.sigmas[i], ours.sigmas[i + 1])
        b = theirs.step(velocity, timestep, b, return_dict=False)[0]
    torch.testing.assert_close(a, b)


def test_noise_path() -> None:
    """One Euler step along the true velocity from pure noise arrives at the picture."""
    clean, noise = torch.randn(2, 3), torch.randn(2, 3)
    assert torch.equal(add_noise(clean, noise, 1.0), noise)
    torch.testing.assert_close(euler_step(add_noise(clean, noise, 0.6), noise - clean, 0.6, 0.0), clean)


@pytest.mark.parametrize("field", ["invert_sigmas", "use_karras_sigmas", "use_beta_sigmas", "stochastic_sampling"])
def test_unsupported_fields_are_named(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        SchedulerConfig.from_dict({**RELEASED, field: True})


@pytest.mark.parametrize(
    "arguments", [{}, {"steps": 0}, {"steps": 3, "timesteps": [9.0]}, {"timesteps": [900.0, 0.2]}, {"sigmas": []}]
)
def test_wrong_arguments(arguments: dict) -> None:
    with pytest.raises(ConfigError):
        schedule(SchedulerConfig(**RELEASED), 256, **arguments)
