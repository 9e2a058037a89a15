"""Seeds, whole numbers from 0 below 2**63, and the random generator of each picture. Torch is imported when needed.

The noise is the first thing drawn from a picture's generator, as in the reference pipeline; the plan is sampled from
a second generator whose seed is a digest of the first one's state. So the noise is the same whether a plan was
sampled or given, a plan is the same whether it was asked for alone or with its picture, and neither depends on the
other pictures of a batch. No global random state is read or written. Seeds that nobody asked for are short.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inkwash.core.errors import RequestError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SEEDS = 2**63
_DRAWN = 2**32  # short enough to type again


def draw_seed() -> int:
    """A seed nobody asked for."""
    return secrets.randbelow(_DRAWN)


def following_seed(seed: int, number: int) -> int:
    """The seed of picture `number` of a request whose first picture has `seed`."""
    return (seed + number) % SEEDS


def derived_seed(*parts: object) -> int:
    """A seed that follows from some values, and looks like any other."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, parts)).encode()).digest()[:8], "little") % SEEDS


def make_generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    import torch

    return torch.Generator(device).manual_seed(seed)


def per_picture(generator: torch.Generator | Sequence[torch.Generator] | None, count: int) -> list[torch.Generator]:
    """A generator for each of `count` pictures.

    A list is taken as it is. A single generator serves the first picture itself; picture k gets a new one with the
    seed of the first plus k, or a digest of its state plus k if it was used before. None draws a seed.
    """
    import torch

    if generator is None:
        base = draw_seed()
        return [make_generator(base + k) for k in range(count)]
    if isinstance(generator, torch.Generator):
        base = generator.initial_seed() if is_fresh(generator) else digest(generator)
        return [generator, *(make_generator(following_seed(base, k), generator.device) for k in range(1, count))]
    generators = list(generator)
    if len(generators) != count or not all(isinstance(each, torch.Generator) for each in generators):
        raise RequestError(
            f"{len(generators)} generators were given for {count} pictures: pass one torch.Generator for each picture, "
            "or a single one.",
            param="generator",
        )
    return generators


def is_fresh(generator: torch.Generator) -> bool:
    """True while nothing was drawn since the seed was set."""
    import torch

    unused = make_generator(generator.initial_seed(), generator.device)
    return torch.equal(generator.get_state(), unused.get_state())


def reported_seed(generator: torch.Generator) -> int | None:
    """The seed that repeats the picture; None for a generator that was used before."""
    return generator.initial_seed() if is_fresh(generator) else None


def digest(generator: torch.Generator) -> int:
    """A number below 2**63 that stands for the generator's whole state; draws nothing."""
    state = generator.get_state().cpu().numpy().tobytes()
    return int.from_bytes(hashlib.sha256(state).digest()[:8], "little") % SEEDS


def plan_generator(generator: torch.Generator) -> torch.Generator:
    """The generator of the AR stage, always on the CPU, where one number per token costs nothing."""
    return make_generator(digest(generator))


def noise(generator: torch.Generator, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Starting noise (1, C, H, W), drawn on the generator's own device and in the decoder's number type."""
    import torch

    return torch.randn((1, *shape), generator=generator, device=generator.device, dtype=dtype).to(device)
