"""The answer inside a response: the form a response must have, and the one box that holds its result.

Everything here is exact and linear: a response that offers two results offers none, so that a policy cannot hedge, and
tags that stand where they do not belong void the response. The form follows the released models: thoughts and answer
tags (`4.1v`), or thoughts and plain text (`4.5v`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inkwash.models.glm_v.answer import ANSWER, BOX, END_ANSWER, END_BOX, END_THINK, STOPS, THINK

Style = Literal["4.1v", "4.5v", "none"]
BoxKind = Literal["marks", "latex"]

MAX_ANSWER = 20_000  # characters of an answer; bounds the time of every rule
LATEX_BOX = "\\boxed{"
_TAGS = (THINK, END_THINK, ANSWER, END_ANSWER)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a response is written. `opened`: the prompt itself ends in `<think>`, so the response may lack it."""

    style: Style = "4.1v"
    box: BoxKind = "marks"
    opened: bool = False


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The answer of a response, or None and the reason."""

    answer: str | None
    reason: str = ""


def extract(response: str, form: Form, *, strict: bool = True) -> Extraction:
    """The boxed result of a response; where `strict` is off and nothing is boxed, its whole answer."""
    part = answer_part(response, form)
    if part is None:
        return Extraction(answer=None, reason=f"the response does not have the form of {form.style}")
    if len(part) > MAX_ANSWER:
        return Extraction(answer=None, reason=f"the answer has more than {MAX_ANSWER} characters")
    foreign = LATEX_BOX in part if form.box == "marks" else BOX in part or END_BOX in part
    if foreign:
        return Extraction(answer=None, reason="the answer has boxes of the other kind")
    boxes = _marked(part) if form.box == "marks" else _latex(part)
    if boxes is None:
        return Extraction(answer=None, reason="a box is not closed, or lies inside of another one")
    if len(boxes) > 1:
        return Extraction(answer=None, reason=f"the answer has {len(boxes)} boxes instead of one")
    if not boxes and strict:
        return Extraction(answer=None, reason="the answer has no box")
    answer = (boxes[0] if boxes else part).strip()
    return Extraction(answer=answer) if answer else Extraction(answer=None, reason="the answer is empty")


def extract_wanted(truth: str, form: Form) -> str:
    """A ground truth is plain text; the tags and the box of a response are taken off where it has them."""
    text = truth.strip()
    if text.startswith(THINK) and END_THINK in text:
        text = text.partition(END_THINK)[2].strip()
    if text.startswith(ANSWER) and text.endswith(END_ANSWER):
        text = text[len(ANSWER) : -len(END_ANSWER)].strip()
    boxes = _marked(text) or (_latex(text) if form.box == "latex" else None)
    return boxes[0].strip() if boxes and len(boxes) == 1 else text


def answer_part(response: str, form: Form) -> str | None:
    """What follows the thoughts, without answer tags; None where the form is not kept."""
    text = _unstopped(response.strip())
    if form.style == "none":
        return text.rpartition(END_THINK)[2].strip()
    if text.startswith(THINK):
        text = text[len(THINK) :]
    elif not form.opened:
        return None
    thoughts, closed, rest = text.partition(END_THINK)
    rest = rest.strip()
    if not closed:
        return None
    if form.style == "4.1v":
        if not (rest.startswith(ANSWER) and rest.endswith(END_ANSWER)) or len(rest) < len(ANSWER) + len(END_ANSWER):
            return None
        rest = rest[len(ANSWER) : -len(END_ANSWER)].strip()
    lowered = thoughts.lower(), rest.lower()
    return None if any(tag in side for tag in _TAGS for side in lowered) else rest


def _unstopped(text: str) -> str:
    """Without the token that ended the generation."""
    for stop in STOPS:
        text = text.removesuffix(stop).rstrip()
    return text


def _marked(text: str) -> list[str] | None:
    """The texts between the marks of boxes; None where the marks do not pair."""
    boxes = []
    while BOX in text or END_BOX in text:
        before, _, rest = text.partition(BOX)
        inner, closed, text = rest.partition(END_BOX)
        if END_BOX in before or BOX in inner or not closed:
            return None
        boxes.append(inner)
    return boxes


def _latex(text: str) -> list[str] | None:
    """The arguments of `\\boxed{}`, braces matched; None where one is not closed or lies in another."""
    boxes, at = [], 0
    while (start := text.find(LATEX_BOX, at)) >= 0:
        begin = start + len(LATEX_BOX)
        end = _closing(text, begin)
        if end is None or LATEX_BOX in text[begin:end]:
            return None
        boxes.append(text[begin:end])
        at = end
    return boxes


def _closing(text: str, begin: int) -> int | None:
    depth, escaped = 1, False
    for place in range(begin, len(text)):
        mark = text[place]
        if escaped:
            escaped = False
        elif mark == "\\":
            escaped = True
        elif mark in "{}":
            depth += 1 if mark == "{" else -1
            if depth == 0:
                return place
    return None
