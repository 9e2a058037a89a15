"""The five dimensions of OneIG-Bench from plain answers, readings and similarities.

Definitions follow the official scripts; a comment says so where the rule surprises. Only one thing differs: nothing is
dropped in silence, except cells that are black all over, which the official scripts drop as well.
Chang et al., OneIG-Bench, arXiv:2506.07977.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.lettering import kept, matches, packed, spaced
from inkwash.eval.benchmarks.oneig_data import DIMENSIONS, OneigQuestions
from inkwash.eval.metrics import edit_distance, mean

MOST_EDITS = {"en": 100, "zh": 50}  # a text that is further away than this is no worse
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def prepared(text: str) -> str:
    """The string that is compared: characters that count, case kept; no white space where Chinese stands."""
    text = kept(text)
    return packed(text) if _CHINESE.search(text) else spaced(text)


@dataclass(frozen=True, kw_only=True)
class TextPicture:
    """What one picture contributes to the text score."""

    distance: int
    matched: int
    total: int

    @property
    def complete(self) -> bool:
        return self.distance == 0


def score_text(wanted: str, read: str) -> TextPicture:
    """Compare a reading with the raw list string of the wanted text."""
    target, seen = prepared(wanted), prepared(read)
    by_character = bool(_CHINESE.search(target))
    gold, found = (list(target), list(seen)) if by_character else (target.split(), seen.split())
    return TextPicture(distance=edit_distance(seen, target), matched=matches(gold, found), total=len(gold))


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """Edit distance, share of complete texts, share of words, and what becomes of them."""

    edit_distance: float
    completion: float
    word_accuracy: float
    score: float


def text_score(pictures: Sequence[TextPicture], language: str) -> TextScore:
    """The text dimension: distance and completion per picture, words over all pictures."""
    total = sum(picture.total for picture in pictures)
    if language not in MOST_EDITS or not total:
        raise ConfigError(f"the text score needs wanted texts in one of {', '.join(MOST_EDITS)}, not {language!r}.")
    distance = mean([float(picture.distance) for picture in pictures])
    completion = mean([float(picture.complete) for picture in pictures])
    words = sum(picture.matched for picture in pictures) / total
    most = MOST_EDITS[language]
    score = 1 - min(most, distance) * (1 - completion) * (1 - words) / most
    return TextScore(edit_distance=distance, completion=completion, word_accuracy=words, score=score)


def alignment_cell(questions: OneigQuestions, answers: Mapping[int, str]) -> float:
    """The score of one cell from its raw answers.

    Only the exact string "Yes" counts, and a question falls when one of its own parents was answered otherwise; a
    parent that fell only because of its own parent still stands.
    """
    absent = sorted(set(questions.questions) - set(answers))
    if absent:
        raise ConfigError(f"the prompt {questions.set}/{questions.id} lacks answers to the questions {absent}.")
    yes = {number: answers[number] == "Yes" for number in questions.questions}
    parents = {number: questions.parents.get(number, ()) for number in questions.questions}
    good = [yes[number] and all(yes[parent] for parent in parents[number] if parent) for number in questions.questions]
    return sum(good) / len(good)


def prompt_score(cells: Sequence[float]) -> float:
    """Mean over the cells of one prompt; an error when all of them were black."""
    if not cells:
        raise ConfigError("a prompt has no cell that is not black; draw it again.")
    return mean(cells)


def dimension(prompts: Sequence[float]) -> float:
    """Mean over prompts, all sets pooled; nan without prompts."""
    return mean(prompts)


def style_cell(csd: Sequence[float], encoder: Sequence[float]) -> float:
    """Style of one cell from its cosines to the style's reference pictures under the two encoders."""
    return (max(max(csd), 0.0) + max(max(encoder), 0.0)) / 2


def diversity_prompt(distances: Sequence[float]) -> float:
    """Mean distance over all pairs of cells."""
    return mean(distances)


def overall(scores: Mapping[str, float]) -> float:
    """The overall score: plain mean of the five dimensions."""
    absent = [name for name in DIMENSIONS if name not in scores or math.isnan(scores[name])]
    if absent:
        raise ConfigError(f"the overall score needs all five dimensions; {', '.join(absent)} is missing.")
    return mean([scores[name] for name in DIMENSIONS])
