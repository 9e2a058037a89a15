"""Several plans are sampled and the one that spells what was asked for is drawn: best of n before the costly stage.

A plan is read by the labels of its codes (`models/glm_image/code_labels.py`): lines of text and things. The first plan
is the one that the seed samples without a choice. Where it is not right, further ones are sampled, a few at a time,
until one is right or `candidates` were seen; the best is kept, of equal ones the first. So the choice depends on seed
and prompt only, and a picture whose first plan is right is the same with and without it.

    choice = PlanChoice(judge, candidates=8)
    while numbers := choice.next_round():     # 0; then 1, 2, 3; then 4 to 7
        for number in numbers:
            choice.add(number, sample(number))
    choice.best
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inkwash.core import seeds
from inkwash.core.errors import RequestError
from inkwash.engine.notes import wanted_words
from inkwash.engine.readback import WantedTexts, compare, edit_target
from inkwash.models.glm_image.ar import Grid
from inkwash.models.glm_image.code_labels import WHOLE, CodeLabels
from inkwash.models.glm_image.folder import Abilities
from inkwash.models.glm_image.weights import GlmImageParts

GROWTH = 4  # a round ends when so many times the plans were sampled as before it; the first samples one
UNREADABLE = "\ufffd"  # a large character whose quarters do not belong together
TEXT, THINGS, LAYOUT = 0.75, 0.25, 0.005  # weights of the score's parts: a letter counts more than the layout
UNASKED = 0.05
RIGHT = 1 - 1e-9  # from here on a plan is right
FREE = 2  # columns by which the free space on both sides may differ

Cells = NDArray[np.int64]


class PlanReader:
    """Reads the grid of a plan or of a reference, ids (rows, columns)."""

    def __init__(self, labels: CodeLabels) -> None:
        self.labels = labels

    def lines(self, grid: Tensor) -> list[str]:
        """Lines of text from above to below; an empty cell between two characters is a space."""
        ids = grid.cpu().numpy()
        character, quarter = self.labels.character[ids], self.labels.quarter[ids]
        found = []
        for row in range(len(ids)):
            whole = np.where(quarter[row] == WHOLE, character[row], -1)
            found.append("".join(self._name(each) for each in whole))
            found.append(self._large(character, quarter, row))
        return [" ".join(line.split()) for line in found if line.strip()]

    def _large(self, character: Cells, quarter: Cells, row: int) -> str:
        """The line of large characters whose upper halves stand in this row."""
        columns = character.shape[1]
        line, column = "", 0
        while column < columns:
            square = np.s_[row : row + 2, column : column + 2]
            if quarter[row, column] not in (1, 2) or character[row, column] < 0:
                lower = quarter[row, column] in (3, 4) and (row == 0 or quarter[row - 1, column] not in (1, 2))
                line += UNREADABLE if lower else " "
                column += 1
            elif quarter[square].tolist() == [[1, 2], [3, 4]] and (character[square] == character[row, column]).all():
                line += self._name(character[row, column])
                column += 2
            else:
                line += UNREADABLE
                column += 2 if quarter[row, column] == 1 else 1
        return line.replace("  ", " ")

    def _name(self, character: int) -> str:
        return " " if character < 0 else self.labels.characters[character]

    def things(self, grid: Tensor) -> Counter[str]:
        """How many of each thing."""
        ids = grid.cpu().numpy()
        begun = self.labels.thing[ids[self.labels.begins[ids] == 1]]
        return Counter(self.labels.things[each] for each in begun if each >= 0)

    def is_balanced(self, grid: Tensor) -> bool:
        """Whether what is shown leaves as much free on the left as on the right."""
        ids = grid.cpu().numpy()
        columns = np.flatnonzero(((self.labels.character[ids] >= 0) | (self.labels.thing[ids] >= 0)).any(axis=0))
        return not len(columns) or abs(int(columns[0]) - (ids.shape[1] - 1 - int(columns[-1]))) <= FREE

    def has_large(self, grid: Tensor) -> bool:
        """Whether any character covers several cells."""
        return bool((self.labels.quarter[grid.cpu().numpy()] > 0).any())


@dataclass(frozen=True, kw_only=True)
class PlanJudge:
    """How well a plan answers one prompt, from 0 to 1: its texts, its things, and where they stand.

    Of a picture that shows something, at least something is wanted. Of an edit only the texts are judged.
    """

    reader: PlanReader
    grid: Grid  # of the picture
    wanted: WantedTexts
    things: tuple[tuple[str, int | None], ...] = ()  # name and number; None where any number will do
    balanced: bool = False  # whether as much should be free on the left as on the right
    large: bool = False  # whether large characters are asked for

    @classmethod
    def of(
        cls,
        reader: PlanReader,
        prompt: str,
        grid: Grid,
        references: Sequence[Tensor] = (),
        limits: Abilities | None = None,
    ) -> PlanJudge | None:
        """For a prompt and the ids (rows, columns) of its references; None where nothing can be judged.

        Texts without quotation marks count where the sentence asks for them.
        """
        if references:
            before = [line for reference in references for line in reader.lines(reference)]
            wanted = edit_target(prompt, before)
            return cls(reader=reader, grid=grid, wanted=wanted) if wanted.texts else None
        words = wanted_words(prompt, limits)
        known = set(reader.labels.things)
        things = tuple((name, count) for name, count in words.things if name in known)
        if not words.texts and not things and words.blank:
            return None
        return cls(
            reader=reader,
            grid=grid,
            wanted=WantedTexts(texts=words.texts),
            things=things,
            balanced=not words.placed,
            large=words.large and bool(words.texts),
        )

    def score(self, tokens: Tensor) -> float:
        """Of a picture's ids, (rows * columns,)."""
        grid = tokens.view(self.grid)
        lines, seen = self.reader.lines(grid), self.reader.things(grid)
        if not (lines or seen):
            return 0.0
        parts: list[tuple[float, float]] = []
        if self.wanted.texts:
            parts.append((TEXT, compare(self.wanted.texts, lines, spare=self.wanted.spare).score))
        elif self.things:
            parts.append((UNASKED, float(not lines)))  # letters that nobody asked for
        if self.things:
            right = [_there(seen[name], count) for name, count in self.things]
            parts.append((THINGS, sum(right) / len(right)))
        if self.balanced:
            parts.append((LAYOUT, float(self.reader.is_balanced(grid))))
        if self.large:
            parts.append((LAYOUT, float(self.reader.has_large(grid))))
        return sum(weight * score for weight, score in parts) / sum(weight for weight, _ in parts)


def _there(seen: int, count: int | None) -> float:
    """Half for the kind, half for the number."""
    if not seen:
        return 0.0
    return 1.0 if count is None or seen == count else 0.5


@dataclass(eq=False)
class PlanChoice:
    """The plans of one picture: what is to be sampled next, and which one is the best so far."""

    judge: PlanJudge | None  # none takes the first plan
    candidates: int
    _tokens: dict[int, Tensor] = field(default_factory=dict, repr=False)
    _scores: dict[int, float] = field(default_factory=dict)
    _begun: int = 0

    def next_round(self) -> range:
        """Numbers of the plans to sample before the next question; empty when the best is found."""
        done = len(self._tokens)
        if done and (self.judge is None or max(self._scores.values()) >= RIGHT):
            return range(0)
        self._begun = min(self.candidates, max(1, done * GROWTH))
        return range(done, self._begun)

    @property
    def open(self) -> bool:
        """Whether plans of this round are still sampled."""
        return len(self._tokens) < self._begun

    def add(self, number: int, tokens: Tensor) -> None:
        """A plan (rows * columns,) was sampled, in any order within its round."""
        self._tokens[number] = tokens
        self._scores[number] = 1.0 if self.judge is None else self.judge.score(tokens)

    @property
    def best(self) -> Tensor:
        """The tokens of the best plan; of equal ones the first."""
        return self._tokens[min(self._scores, key=lambda number: (-self._scores[number], number))]


def candidate_generator(plan_seed: int, number: int) -> torch.Generator:
    """What plan `number` of a picture is sampled from; the first one as without a choice."""
    return seeds.make_generator(plan_seed if number == 0 else seeds.derived_seed("candidate", plan_seed, number))


def candidate_uniforms(plan_seed: int, number: int, tokens: int) -> Tensor:
    """The numbers (tokens,) that choose the tokens of plan `number` of a picture."""
    return torch.rand(tokens, generator=candidate_generator(plan_seed, number))


def check_candidates(requested: int | None, parts: GlmImageParts) -> int:
    """How many plans to sample at most; raises RequestError where a choice is requested and nothing can be read."""
    if parts.code_labels is not None:
        return parts.drawing.plan_candidates if requested is None else requested
    if requested is not None and requested > 1:
        raise RequestError(
            f"plan_candidates is {requested}, but this model does not tell what its semantic codes show: leave it at "
            "1, or ask for verification, which reads the finished picture.",
            param="plan_candidates",
        )
    return 1
