"""One action on a phone: a JSON object, every field of which must be right.

JSON and Python's literals are read by a parser. The public code evaluates the model's text as Python, with which a
policy can run code in its trainer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from inkwash.models.glm_v.boxes import Box
from inkwash.models.glm_v.literals import read_literal
from inkwash.rl.verifiers.grounding import overlap
from inkwash.rl.verifiers.similarity import common_share
from inkwash.rl.verifiers.verdict import Verdict, Verifier

LONGEST = 4_000
GRID = 999  # coordinates are whole numbers from 0 to this


@dataclass(frozen=True, kw_only=True)
class AndroidWorld(Verifier):
    """The domain `androidworld`: the product over the fields; texts by common letters, boxes by IoU, others equal."""

    def decide(self, answer: str, wanted: str) -> Verdict:
        truth, parsed = read_action(wanted), read_action(answer)
        if parsed is None or truth is None:
            return Verdict.wrong("unreadable", "no action in JSON")
        if parsed.keys() != truth.keys():
            return Verdict.wrong("fields", "other fields than wanted")
        scores = {name: _field(name, parsed[name], truth[name]) for name in truth}
        return Verdict(score=math.prod(scores.values()), rule="action")


def read_action(text: str) -> dict[str, Any] | None:
    """The object that a text is; None where it is none."""
    if len(text) > LONGEST:
        return None
    try:
        value = read_literal(text.strip())
    except ValueError:
        return None
    return value if isinstance(value, dict) and value and all(isinstance(key, str) for key in value) else None


def _field(name: str, answer: Any, wanted: Any) -> float:
    if name == "box_2d":
        there, target = _box(answer), _box(wanted)
        if there is None or target is None:
            return 0.0
        return 1.0 if there == target else overlap(there, target)
    if type(answer) is not type(wanted) or not isinstance(answer, str | int | float | bool | None):
        return 0.0
    if name == "text" and isinstance(answer, str):
        return common_share(answer, wanted)
    return float(answer == wanted)


def _box(value: Any) -> Box | None:
    """A box written as [[left, top, right, bottom]] in whole thousandths and in order."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(type(number) is int and 0 <= number <= GRID for number in value):
        return None
    left, top, right, bottom = value
    if left > right or top > bottom:
        return None
    return Box(left=left, top=top, right=right, bottom=bottom)
