"""Whether a point meets its target: a gold box where one is given, else a gold point and the distance to it."""

from __future__ import annotations

import math
import re
from typing import Any

_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d{1,6})?", re.ASCII)
NEAR, FAR = 20.0, 50.0  # thousandths of the screen


def numbers_of(value: Any) -> list[float]:
    """The numbers of a point or box, however it is nested or written; empty for what is too long to be one."""
    text = str(value) if isinstance(value, str | int | float | list | tuple) else ""
    return [float(found) for found in _NUMBER.findall(text)] if len(text) <= 200 else []


def distance_score(distance: float, *, smooth: bool = False) -> float:
    """OSWorld's curve: 1 to 0.8 over the first 20 thousandths, 0 at 50. Public code drops to 0.6 at 20."""
    if distance <= NEAR:
        return 1.0 - 0.2 * distance / NEAR
    return max(0.0, 0.8 * (FAR - distance) / (FAR - NEAR) if smooth else 1.0 - distance / FAR)


def point_score(answer: list[float], wanted: list[float], *, smooth: bool = False) -> float:
    """How well a point (or the middle of a box) meets a gold point or box; inside of a box is 1."""
    if len(answer) == 4:
        answer = [(answer[0] + answer[2]) / 2, (answer[1] + answer[3]) / 2]
    if len(answer) != 2 or len(wanted) not in (2, 4):
        return 0.0
    (x, y), (left, top) = answer, wanted[:2]
    right, bottom = wanted[-2:]
    away = math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom))
    return distance_score(away, smooth=smooth)
