"""Questions about held-out scenes, asked and marked: does a model that sees name, count, point and read?

    score = ask_scenes(pipe_answer, count=300)

Every scene shows words that were never trained on and is asked each kind of question once, in words that were never
trained on either. Colours, shapes and counts are right when the answer is the exact one, boxes when their intersection
over union with the true box is above one half, and a reading when it is exact. The kinds are those of `scenes.ask`,
and `shapes`, which shapes there are.

At level `card` the scenes are held-out cards of several sizes and the kinds those of `scenes.card_ask`; of readings the
share of words that were read counts, too. One card in eight has a picture beside it that shows nothing known, which
must be said.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from inkwash.data.card_questions import nothing_turn, sample_card_turn
from inkwash.data.questions import DialogueTurn, sample_turn
from inkwash.scenes.ask import Thousandths
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import BASIC, CARD, find_level
from inkwash.scenes.nothing import sample_nothing
from inkwash.scenes.render import render

KINDS = ("color", "exists", "shapes", "count", "where", "read")
GROUPS = {"colours and shapes": ("color", "exists", "shapes"), "counting": ("count",), "boxes": ("where",)}
CARD_KINDS = ("things", "exists", "color", "count", "read", "where", "absent", "structure", "style", "nothing")
CARD_GROUPS = {
    "things named": ("things", "exists"),
    "colours": ("color",),
    "counts": ("count",),
    "boxes": ("where",),
    "not there": ("absent", "nothing"),
}
CARD_SIZES = ((384, 384), (256, 256), (512, 512), (384, 256), (256, 384), (320, 224))
NOTHING_EVERY = 8  # cards to one picture of nothing
WORDS = "words"  # of all readings, the share that was read
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

    turn: DialogueTurn
    reply: Reply
    right: bool


@dataclass
class QuestionScore:
    """All marks; `shares` sums them up."""

    marked: list[Marked] = field(default_factory=list)
    level: str = "first"

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        return CARD_GROUPS if find_level(self.level) is CARD else GROUPS

    def shares(self) -> dict[str, tuple[float, int]]:
        """Share of right answers and their number: by kind, by group, and of one-word readings."""
        rows: dict[str, list[bool]] = {}
        for one in self.marked:
            names = [one.turn.kind, *(group for group, kinds in self.groups.items() if one.turn.kind in kinds)]
            if one.turn.kind == "read" and find_level(self.level) is not CARD and "\n" not in one.turn.answer:
                names.append("one word read")
            if one.turn.kind == "read" and find_level(self.level) is CARD:
                rows.setdefault(WORDS, []).extend(words_read(one.turn, one.reply))
            for name in names:
                rows.setdefault(name, []).append(one.right)
        thinks = [bool(one.reply.thoughts) for one in self.marked]
        rows["thought first"] = thinks
        return {name: (sum(marks) / len(marks), len(marks)) for name, marks in rows.items() if marks}


def kinds_of(level: str) -> tuple[str, ...]:
    """The kinds of questions at a level."""
    return CARD_KINDS if find_level(level) is CARD else KINDS


def ask_scenes(
    answer: Callable[[Image.Image, str], Reply],
    *,
    count: int = 300,
    seed: int = SEED,
    kinds: Sequence[str] | None = None,
    level: str = "first",
    language: str = "en",
    done: Callable[[int], None] | None = None,
) -> QuestionScore:
    """Ask about `count` held-out scenes; `answer` gets a picture and a question."""
    score = QuestionScore(level=level)
    chosen = kinds_of(level) if kinds is None else tuple(kinds)
    for number in range(count):
        rng = random.Random(f"{seed}/{number}" if find_level(level) is BASIC else f"{level}/{language}/{seed}/{number}")
        turns = _about_card(rng, number, chosen, language) if find_level(level) is CARD else _about_scene(rng, chosen)
        for picture, turn in turns:
            reply = answer(picture, turn.question)
            score.marked.append(Marked(turn, reply, mark(turn, reply)))
        if done is not None:
            done(number + 1)
    return score


def _about_scene(rng: random.Random, kinds: Sequence[str]) -> Iterator[tuple[Image.Image, DialogueTurn]]:
    scene = sample_scene(rng, split="held_out")
    picture = render(scene)
    for kind in kinds:
        yield picture, sample_turn(scene, rng, split="held_out", kinds=(kind,))


def _about_card(
    rng: random.Random, number: int, kinds: Sequence[str], language: str
) -> Iterator[tuple[Image.Image, DialogueTurn]]:
    width, height = CARD_SIZES[number % len(CARD_SIZES)]
    scene = sample_card_scene(rng, width=width, height=height, split="held_out", language=language)
    picture = render(scene)
    for kind in kinds:
        if kind != "nothing":
            turn = sample_card_turn(scene, rng, split="held_out", kinds=(kind,), language=language)
            if turn.kind == kind:  # an empty card has no place to ask for
                yield picture, turn
        elif number % NOTHING_EVERY == 0:
            nothing = Image.fromarray(sample_nothing(rng, width, height))
            yield nothing, nothing_turn(rng, split="held_out", language=language)


def mark(turn: DialogueTurn, reply: Reply) -> bool:
    """Whether an answer is right."""
    if turn.box is not None:
        return any(iou(turn.box, box) > 0.5 for box in reply.boxes[:1])
    if turn.kind == "read":
        return _unquoted(reply.text) == _unquoted(turn.answer)
    return _plain(reply.text) == _plain(turn.answer)


def iou(truth: Thousandths, box: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(truth[2], box[2]) - max(truth[0], box[0])
    high = min(truth[3], box[3]) - max(truth[1], box[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (truth, box)]
    return wide * high / (sum(areas) - wide * high)


def words_read(turn: DialogueTurn, reply: Reply) -> list[bool]:
    """For each word of a reading (Chinese: each character) whether it is in the answer, as often as it stands there."""
    left = Counter(_words(reply.text))
    read = []
    for word in _words(turn.answer):
        read.append(left[word] > 0)
        left[word] -= 1
    return read


def _words(text: str) -> list[str]:
    return re.findall(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+", _unquoted(text))


def _unquoted(text: str) -> str:
    """A reading, with or without quotation marks round its lines."""
    return "\n".join(re.sub(r'^["“](.*)["”]$', r"\1", line.strip()) for line in text.strip().split("\n"))


def _plain(text: str) -> str:
    """Small letters and single spaces, no full stop; what is listed in any order; grey is gray."""
    words = re.sub(r"[.。\s]+", " ", text.lower().replace("grey", "gray")).strip()
    return " and ".join(sorted(re.split(r", | and |、|和", words)))
