"""What a drawing request may ask for: one plain check per field, without torch, shared by every front door.

Each check returns the accepted value or raises RequestError with the value, what is allowed and how to fix it.
The limits are those of the model family; a smaller model may be at its best in a narrower range.
"""

from __future__ import annotations

import math

from inkwash.core.errors import RequestError
from inkwash.core.types import Size

SIZE_STEP = 32  # one semantic token covers 32x32 pixels
MIN_SIDE = 32
MAX_SIDE = 2048
MAX_ASPECT = 4.0
MAX_STEPS = 1000
MAX_IMAGES = 64
MAX_GUIDANCE = 100.0
MAX_TEMPERATURE = 10.0
GREEDY_BELOW = 1e-5  # a temperature: what logits are divided by, so that they stay finite
MIN_REPETITION_PENALTY, MAX_REPETITION_PENALTY = 0.01, 10.0
MAX_SEED = 2**63 - 1
MAX_ADAPTER_WEIGHT = 10.0


def check_prompt(prompt: str) -> str:
    """A prompt has at least one visible character and is valid Unicode."""
    if not prompt.strip():
        raise RequestError(
            'The prompt is empty: describe the picture, for example: A poster that says "HELLO"', param="prompt"
        )
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"The prompt has a broken character at position {error.start + 1}: pass it as UTF-8 text.", param="prompt"
        ) from None
    return prompt


def check_size(size: Size) -> Size:
    """Both sides a multiple of 32 within 64..2048, and not longer than 4:1."""
    for name, side in zip(("width", "height"), size, strict=True):
        if not MIN_SIDE <= side <= MAX_SIDE or side % SIZE_STEP:
            nearest = min(max(round(side / SIZE_STEP) * SIZE_STEP, MIN_SIDE), MAX_SIDE)
            raise RequestError(
                f"The {name} {side} of size {size} is not allowed: it must be a multiple of {SIZE_STEP} from "
                f"{MIN_SIDE} to {MAX_SIDE}; the nearest is {nearest}.",
                param="size",
            )
    if max(size) > MAX_ASPECT * min(size):
        raise RequestError(
            f"The size {size} is {max(size) / min(size):.1f} times longer than wide: at most {MAX_ASPECT:g}:1 is "
            f"allowed, for example {Size(512, 128)}.",
            param="size",
        )
    return size


def check_whole(name: str, value: int, low: int, high: int, *, advice: str = "") -> int:
    """A whole number within low..high."""
    if not low <= value <= high or value != int(value):
        hint = f": {advice}" if advice else ""
        raise RequestError(f"{name} is {value}, but must be a whole number from {low} to {high}{hint}.", param=name)
    return value


def check_real(name: str, value: float, low: float, high: float, *, advice: str = "") -> float:
    """A finite number within low..high; NaN and infinities are refused."""
    if not math.isfinite(value) or not low <= value <= high:
        hint = f": {advice}" if advice else ""
        raise RequestError(f"{name} is {value}, but must be a number from {low:g} to {high:g}{hint}.", param=name)
    return value


def check_steps(steps: int) -> int:
    """Denoising steps of the decoder."""
    return check_whole("steps", steps, 1, MAX_STEPS, advice="20 is a good start")


def check_guidance(scale: float) -> float:
    """Guidance scale; 1 turns guidance off."""
    return check_real("guidance", scale, 0.0, MAX_GUIDANCE, advice="1.5 is a good start, 1 turns guidance off")


def check_temperature(temperature: float) -> float:
    """Sampling temperature of the semantic tokens."""
    return check_real("temperature", temperature, 0.0, MAX_TEMPERATURE, advice="0.9 is a good start")


def check_nucleus(name: str, mass: float) -> float:
    """Share of the chances that the semantic tokens are sampled from; `name` is the field's."""
    if not 0 < mass <= 1:
        option = name.replace("_", "-")
        raise RequestError(
            f"{option} is {mass}, but must be a number above 0 and at most 1: 0.75 is a good start.", param=name
        )
    return mass


def check_seed(seed: int) -> int:
    """Seed of the first picture."""
    return check_whole("seed", seed, 0, MAX_SEED)


MAX_CANDIDATES = 64


def check_candidates(value: int) -> int:
    """How many plans may be sampled for one picture."""
    return check_whole("plan_candidates", value, 1, MAX_CANDIDATES)


def check_count(count: int) -> int:
    """How many pictures one request draws."""
    return check_whole("n", count, 1, MAX_IMAGES, advice="call again for more pictures")


def check_adapter_weight(weight: float) -> float:
    """How strongly a LoRA acts: 1 is as it was trained, below 0 against it."""
    return check_real("lora", weight, -MAX_ADAPTER_WEIGHT, MAX_ADAPTER_WEIGHT, advice="1 is as it was trained")
