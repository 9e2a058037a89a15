"""A model that sees asked about held-out scenes, and its marks as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from inkwash.core.errors import RequestError
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.digest import digest
from inkwash.eval.tasks.questions import SEED, WORDS, QuestionScore, Reply, ask_scenes, kinds_of
from inkwash.scenes.levels import CARD, LEVELS, find_level

MAX_TOKENS = {level.name: level.question_tokens for level in LEVELS.values() if level.question_tokens is not None}
_WORLD = 30  # questions that tell which world they are about


def check_level(level: str, language: str) -> None:
    """Raises RequestError for a level or language without questions."""
    if level not in MAX_TOKENS:
        raise RequestError(
            f"There are no questions at level {level!r}: choose {' or '.join(MAX_TOKENS)}.", param="level"
        )
    if language not in ("en", "zh") or (language == "zh" and find_level(level) is not CARD):
        raise RequestError(
            f"There are no questions in {language!r} at level {level!r}: choose en, or zh at level card.",
            param="language",
        )


def check_kinds(kinds: Sequence[str], level: str = "first") -> tuple[str, ...]:
    """The kinds of questions of a level; raises RequestError for an unknown one."""
    known = kinds_of(level)
    if unknown := [kind for kind in kinds if kind not in known]:
        raise RequestError(f"There is no kind of question {unknown[0]!r}: known are {', '.join(known)}.", param="kinds")
    return tuple(kinds)


def ask_pipeline(
    pipe: GlmVisionPipeline,
    *,
    count: int,
    kinds: Sequence[str] | None = None,
    seed: int = SEED,
    think: bool = True,
    level: str = "first",
    language: str = "en",
    tell: Callable[[int], None] | None = None,
) -> QuestionScore:
    """Greedy answers to questions of every kind about `count` scenes; `tell` hears how many scenes are done."""
    switch = None if think or not pipe.can_switch_thinking else False
    budget = 0 if not think and not pipe.can_switch_thinking else None

    def answer(picture: Image.Image, question: str) -> Reply:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        output = pipe(
            [{"role": "user", "content": content}],
            max_new_tokens=MAX_TOKENS[level],
            temperature=0,
            enable_thinking=switch,
            thinking_budget=budget,
        )
        boxes = [(box.left, box.top, box.right, box.bottom) for box in output.boxes]
        return Reply(output.content, boxes, output.thoughts)

    return ask_scenes(answer, count=count, seed=seed, kinds=kinds, level=level, language=language, done=tell)


def as_dict(score: QuestionScore, **settings: Any) -> dict[str, Any]:
    """Shares by kind and group, the settings, and every question with its answer."""
    shares, kinds = score.shares(), kinds_of(score.level)
    rows = [
        {
            "kind": one.turn.kind,
            "question": one.turn.question,
            "expected": one.turn.answer,
            "answer": one.reply.text,
            "boxes": [list(box) for box in one.reply.boxes],
            "thoughts": one.reply.thoughts,
            "right": one.right,
        }
        for one in score.marked
    ]
    named = {name: {"right": share, "asked": count} for name, (share, count) in shares.items()}
    return {
        "per_kind": {name: named[name] for name in named if name in kinds},
        "groups": {name: named[name] for name in (*score.groups, WORDS, "one word read") if name in named},
        "thought_first": shares["thought first"][0],
        **settings,
        "world": digest(f"{row['question']}\t{row['expected']}" for row in rows[:_WORLD]),
        "questions": rows,
    }
