"""Questions about held-out scenes, asked and marked: does a model that sees name, count, point and read?

    score = ask_scenes(pipe_answer, count=300)

Every scene shows words that were never trained on and is asked each kind of question once, in words that were never
trained on either. Colours, shapes and counts are right when the answer is the exact one, boxes when their intersection
over union with the true box is above one half, and a reading when it is exact. The kinds are those of `scenes.ask`,
and `shapes`, which shapes there are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PIL import Image

from inkwash.data.questions import Turn, sample_turn
from inkwash.scenes.ask import Thousandths
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render

KINDS = ("color", "exists", "shapes", "count", "where", "read")
GROUPS = {"colours and shapes": ("color", "exists", "shapes"), "counting": ("count",), "boxes": ("where",)}
SEED = 300


@dataclass(frozen=True)
class Reply:
    """What a model answered: its words, and the boxes in them in thousandths."""

    text: str
    boxes: Sequence[Sequence[float]] = ()
    thoughts: str = ""


@dataclass(frozen=True)
class Marked:
    """One question, its answer and the mark."""

    turn: Turn
    reply: Reply
    right: bool


@dataclass
class QuestionScore:
    """All marks; `shares` sums them up."""

    marked: list[Marked] = field(default_factory=list)

    def shares(self) -> dict[str, tuple[float, int]]:
        """Share of right answers and their number: by kind, by group, and of one-word readings."""
        rows: dict[str, list[bool]] = {}
        for one in self.marked:
            names = [one.turn.kind, *(group for group, kinds in GROUPS.items() if one.turn.kind in kinds)]
            if one.turn.kind == "read" and "\n" not in one.turn.answer:
                names.append("one word read")
            for name in names:
                rows.setdefault(name, []).append(one.right)
        thinks = [bool(one.reply.thoughts) for one in self.marked]
        rows["thought first"] = thinks
        return {name: (sum(marks) / len(marks), len(marks)) for name, marks in rows.items() if marks}


def ask_scenes(
    answer: Callable[[Image.Image, str], Reply],
    *,
    count: int = 300,
    seed: int = SEED,
    kinds: Sequence[str] = KINDS,
    done: Callable[[int], None] | None = None,
) -> QuestionScore:
    """Ask about ``count`` held-out scenes; ``answer`` gets a picture and a question."""
    score = QuestionScore()
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        scene = sample_scene(rng, split="held_out")
        picture = render(scene)
        for kind in kinds:
            turn = sample_turn(scene, rng, split="held_out", kinds=(kind,))
            reply = answer(picture, turn.question)
            score.marked.append(Marked(turn, reply, mark(turn, reply)))
        if done is not None:
            done(number + 1)
    return score


def mark(turn: Turn, reply: Reply) -> bool:
    """Whether an answer is right."""
    if turn.box is not None:
        return any(iou(turn.box, box) > 0.5 for box in reply.boxes[:1])
    if turn.kind == "read":
        return reply.text.strip() == turn.answer
    return _plain(reply.text) == _plain(turn.answer)


def iou(truth: Thousandths, box: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(truth[2], box[2]) - max(truth[0], box[0])
    high = min(truth[3], box[3]) - max(truth[1], box[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (truth, box)]
    return wide * high / (sum(areas) - wide * high)


def _plain(text: str) -> str:
    """Small letters and single spaces, no full stop; shapes in any order; grey is gray."""
    words = re.sub(r"[.\s]+", " ", text.lower().replace("grey", "gray")).strip()
    return " and ".join(sorted(words.split(" and ")))
