"""Finding things: boxes in thousandths, matched one to one with the wanted ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.answer import BOX, END_BOX
from inkwash.models.glm_v.boxes import Box, find_boxes
from inkwash.rl.verifiers.normalization import canonical
from inkwash.rl.verifiers.verdict import Verdict, Verifier

MAX_BOXES = 200
_NOTHING = {"", "none", "无", "没有"}  # `canonical` makes [] of an empty list
Measure = Literal["f1", "recall"]


@dataclass(frozen=True, kw_only=True)
class Grounding(Verifier):
    """The domain `grounding`: F1 of the boxes, or the paper's share of wanted boxes that were found (`recall`).

    With `recall` more boxes than wanted cost nothing, which a policy soon finds.
    """

    iou: float = 0.5
    measure: Measure = "f1"

    def __post_init__(self) -> None:
        if not 0.0 < self.iou <= 1.0 or self.measure not in get_args(Measure):
            raise ConfigError(
                f"grounding has iou {self.iou} and measure {self.measure!r}; iou must lie above 0 and up to 1, and "
                f"measure be one of {', '.join(get_args(Measure))}."
            )

    def decide(self, answer: str, wanted: str) -> Verdict:
        parsed, truth = _boxes(answer), _boxes(wanted)
        if not truth:
            nothing = not parsed and is_nothing(answer) and is_nothing(wanted)
            return Verdict.right("nothing there") if nothing else Verdict.wrong("nothing there", "no box is wanted")
        if len(parsed) > MAX_BOXES or not parsed:
            return Verdict.wrong("boxes", f"{len(parsed)} boxes")
        found = matched(parsed, truth, self.iou)
        score = found / len(truth) if self.measure == "recall" else 2 * found / (len(parsed) + len(truth))
        return Verdict(score=score, rule="boxes", reason=f"{found} of {len(truth)} found with {len(parsed)} boxes")


def is_nothing(text: str) -> bool:
    """Whether a text says that nothing is there."""
    return canonical(text).strip("[](){} ") in _NOTHING


def _boxes(text: str) -> list[Box]:
    return find_boxes(f"{BOX}{text.replace(BOX, ' ').replace(END_BOX, ' ')}{END_BOX}")


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.right, b.right) - max(a.left, b.left)
    height = min(a.bottom, b.bottom) - max(a.top, b.top)
    shared = max(0.0, width) * max(0.0, height)
    union = area(a) + area(b) - shared
    return shared / union if union > 0 else 0.0


def area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def matched(answer: Sequence[Box], wanted: Sequence[Box], iou: float) -> int:
    """The most wanted boxes that can each have a box of their own (maximum bipartite matching by augmenting paths)."""
    near = [[place for place, box in enumerate(answer) if overlap(box, truth) >= iou] for truth in wanted]
    owner: dict[int, int] = {}

    def place(truth: int, tried: set[int]) -> bool:
        for box in near[truth]:
            if box not in tried:
                tried.add(box)
                if box not in owner or place(owner[box], tried):
                    owner[box] = truth
                    return True
        return False

    return sum(place(truth, set()) for truth in range(len(wanted)))
