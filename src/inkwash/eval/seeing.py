"""A model that sees asked about held-out scenes, and its marks as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from inkwash.core.errors import RequestError
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.digest import digest
from inkwash.eval.tasks.questions import GROUPS, KINDS, SEED, QuestionScore, Reply, ask_scenes

MAX_TOKENS = 128
_WORLD = 30  # questions that tell which world they are about


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds of questions; raises RequestError for an unknown one."""
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise RequestError(f"There is no kind of question {unknown[0]!r}: known are {', '.join(KINDS)}.", param="kinds")
    return tuple(kinds)


def ask_pipeline(
    pipe: GlmVisionPipeline,
    *,
    count: int,
    kinds: Sequence[str] = KINDS,
    seed: int = SEED,
    think: bool = True,
    tell: Callable[[int], None] | None = None,
) -> QuestionScore:
    """Greedy answers to questions of every kind about ``count`` scenes; ``tell`` hears how many scenes are done."""
    switch = None if think or not pipe.can_switch_thinking else False
    budget = 0 if not think and not pipe.can_switch_thinking else None

    def answer(picture: Image.Image, question: str) -> Reply:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        output = pipe(
            [{"role": "user", "content": content}],
            max_new_tokens=MAX_TOKENS,
            temperature=0,
            enable_thinking=switch,
            thinking_budget=budget,
        )
        boxes = [(box.left, box.top, box.right, box.bottom) for box in output.boxes]
        return Reply(output.content, boxes, output.thoughts)

    return ask_scenes(answer, count=count, seed=seed, kinds=kinds, done=tell)


def as_dict(score: QuestionScore, **settings: Any) -> dict[str, Any]:
    """Shares by kind and group, the settings, and every question with its answer."""
    shares = score.shares()
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
    named = {name: {"right": share, "asked": asked} for name, (share, asked) in shares.items()}
    return {
        "per_kind": {name: named[name] for name in named if name in KINDS},
        "groups": {name: named[name] for name in (*GROUPS, "one word read") if name in named},
        "thought_first": shares["thought first"][0],
        **settings,
        "world": digest(f"{row['question']}\t{row['expected']}" for row in rows[:_WORLD]),
        "questions": rows,
    }
