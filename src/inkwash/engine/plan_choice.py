"""Several plans are sampled and the one that spells what was asked for is drawn: best of n before the costly stage.

A plan is read by the labels of its codes (`models/glm_image/code_labels.py`): lines of text and things. The first plan
is the one that the seed samples without a choice. Where it is not right, further ones are sampled, a few at a time,
until one is right or `candidates` were seen; the best is kept, of equal ones the first. Where a colour of the ground is
wanted, further ones begin with a code that has it, and what follows goes on from that. So the choice depends on seed
and prompt only, and a picture whose first plan is right is the same with and without it.

    choice = PlanChoice(judge, candidates=8)
    while numbers := choice.next_round():     # 0; then 1, 2, 3; then 4 to 7
        for number in numbers:
            choice.add(number, sample(choice.prefix(number, prefix), number))
    choice.best
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inkwash.core import seeds
from inkwash.core.errors import RequestError
from inkwash.engine.ar import Prefix, beginning_with
from inkwash.engine.prompt_reading import HAN, wanted_words
from inkwash.engine.readback import WantedTexts, best_span, compare, edit_target, edited_things, letters, matching
from inkwash.models.glm_image.ar import Grid
from inkwash.models.glm_image.code_labels import QUARTERS, WHOLE, CodeLabels
from inkwash.models.glm_image.folder import Abilities
from inkwash.models.glm_image.weights import GlmImageParts

GROWTH = 4  # a round ends when so many times the plans were sampled as before it; the first samples one
UNREADABLE = "\ufffd"  # a large character whose quarters do not belong together
# Weights of the score's parts: a letter counts more than looks.
TEXT, LEGIBLE, KEPT, THINGS, GROUND, INKS = 0.75, 0.4, 0.3, 0.25, 0.15, 0.1
SAME, ALIGNED, BALANCED, LARGE = 0.05, 0.06, 0.06, 0.03
UNASKED = 0.05
GROUND_SHARE, INK_SHARE = 0.5, 0.75  # a colour is right when more than this has it
LEAST_CONTRAST, LEGIBLE_SHARE = 2.8, 0.7  # of letters and ground; more of the letters have it on 95 % of true cards
SAME_SHARE = 0.7  # of the cells of an edited picture that stay in most edits
WHOLE_WORDS = 0.3  # of the score of texts: how many of their words stand in one line, without a break
LIKELY_QUARTERS = 2  # of the four cells of a large character must most likely be quarters of some
SURE_QUARTERS = 3  # must be able to show the same one
SURE_SHARE = 50  # per cent of the cells of their codes, on average: of less the decoder makes no letter
# From here on a plan is right: two columns aside may be, one wrong letter of a hundred may not. That which is edited is
# not read without faults.
RIGHT, RIGHT_EDIT = 0.988, 0.98
FOLLOWS = 2  # rows from one line of text to the next
FREE, UNEVEN = 1, 5  # columns by which the free space on both sides may differ, and differs where nothing is balanced


SignShares = dict[str, int]  # the characters that a place may show, the likeliest first, with their shares


class SignPlace(NamedTuple):
    """A character's place in a line of text: what it may show, nothing for a space, and the code that stands there."""

    signs: SignShares
    code: int


@dataclass(frozen=True, kw_only=True)
class PlanTexts:
    """Lines of text from above to below, and the codes that make up each wanted text, by its letters."""

    lines: list[str]
    codes: dict[str, list[int]]


class PlanReader:
    """Reads the grid of a plan or of a reference, ids (rows, columns).

    A code may show several characters (the upper left quarters of E and F look alike), and the glyphs of the prompt
    tell the decoder which. So where texts are wanted, a place that may show their letter is read as that letter.
    """

    def __init__(self, labels: CodeLabels) -> None:
        self.labels = labels

    def lines(self, grid: Tensor, wanted: Sequence[str] = ()) -> list[str]:
        """Lines of text from above to below; an empty cell between two characters is a space."""
        return self.texts(grid, wanted).lines

    def texts(self, grid: Tensor, wanted: Sequence[str] = ()) -> PlanTexts:
        """The lines, and where the wanted texts were read."""
        ids = grid.tolist()
        large = self._large(ids)
        used = {(row + i, column + j) for row, column in large for i in (0, 1) for j in (0, 1)}
        found: list[list[SignPlace]] = []
        for row, codes in enumerate(ids):
            found.append(
                [
                    SignPlace({} if (row, column) in used else self._whole(code), code)
                    for column, code in enumerate(codes)
                ]
            )
            found.append(self._large_line(ids, row, large))
        return _resolved([line for line in found if any(place.signs for place in line)], wanted)

    def _whole(self, code: int) -> SignShares:
        """The characters that a cell alone may show; none where it is most likely a quarter."""
        parts = self.labels.letters.get(code, {})
        return {} if self._is_part(code) else {sign: share for (sign, part), share in parts.items() if part == WHOLE}

    def _is_part(self, code: int, quarters: Sequence[int] = QUARTERS) -> bool:
        """Whether a code is most likely one of these quarters of a large character."""
        return next(iter(self.labels.letters.get(code, ())), ("", WHOLE))[1] in quarters

    def _large(self, ids: list[list[int]]) -> dict[tuple[int, int], SignShares]:
        """Large characters by the place of their upper left quarter: enough of the four cells may show them."""
        found: dict[tuple[int, int], SignShares] = {}
        taken: set[tuple[int, int]] = set()
        for row, column in itertools.product(range(len(ids) - 1), range(len(ids[0]) - 1)):
            square = [(row + i, column + j) for i in (0, 1) for j in (0, 1)]
            codes = [ids[i][j] for i, j in square]
            if taken & {*square} or sum(map(self._is_part, codes)) < LIKELY_QUARTERS:
                continue
            parts = [self.labels.letters.get(code, {}) for code in codes]
            shares: SignShares = {}
            for sign in {sign for part in parts for sign, _ in part}:
                each = [part.get((sign, quarter), 0) for quarter, part in zip(QUARTERS, parts, strict=True)]
                if sum(map(bool, each)) >= SURE_QUARTERS and sum(each) >= len(QUARTERS) * SURE_SHARE:
                    shares[sign] = sum(each)
            if shares:
                found[row, column] = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
                taken.update(square)
        return found

    def _large_line(self, ids: list[list[int]], row: int, large: dict[tuple[int, int], SignShares]) -> list[SignPlace]:
        """The line of large characters whose upper halves stand in this row, quarters without the others among them."""
        line: list[SignPlace] = []
        column = 0
        while column < len(ids[row]):
            code = ids[row][column]
            if (row, column) in large:
                line.append(SignPlace(large[row, column], code))
                column += 2
                continue
            within = any((row - i, column - j) in large for i in (0, 1) for j in (0, 1))
            upper = self._is_part(code, (1, 2)) and not within
            lower = self._is_part(code, (3, 4)) and not within
            below = row > 0 and self._is_part(ids[row - 1][column], (1, 2))
            line.append(SignPlace({UNREADABLE: 0} if upper or (lower and not below) else {}, code))
            column += 2 if upper and self._is_part(code, (1,)) else 1
        return line

    def things(self, grid: Tensor, wanted: Sequence[str] = ()) -> Counter[str]:
        """How many of each thing; a piece that begins one of several is that of a wanted one."""
        found = Counter[str]()
        for code in grid.flatten().tolist():
            pieces = self.labels.pieces.get(code, [])
            chosen = next((name for name, begins in pieces if begins and name in wanted), None)
            likeliest, begins = next(iter(pieces), ("", False))
            if chosen or begins:
                found[chosen or likeliest] += 1
        return found

    def ground(self, grid: Tensor) -> Counter[str]:
        """How many cells along the edge tell which colour of the picture's ground."""
        ids = grid.cpu().numpy()
        edge = np.concatenate([ids[0], ids[-1], ids[1:-1, 0], ids[1:-1, -1]])
        return self._colors(self.labels.ground[edge])

    def inks(self, codes: Sequence[int]) -> Counter[str]:
        """How many of the codes show letters of which colour."""
        return self._colors(self.labels.ink[codes])

    def _colors(self, places: NDArray[np.int64]) -> Counter[str]:
        """The colours at these places of the list of colours, -1 for none."""
        return Counter(self.labels.colors[place] for place in places.tolist() if place >= 0)

    def legible(self, grid: Tensor) -> float | None:
        """The share of letters that stand out from the ground beside them, of those for which both colours are told."""
        ids = grid.cpu().numpy()
        inks, grounds = self.labels.ink[ids], np.pad(self.labels.ground[ids], 1, constant_values=-1)
        standing_out = []
        for row, column in np.argwhere(inks >= 0).tolist():
            around = grounds[row : row + 3, column : column + 3].ravel()
            if (around >= 0).any():
                ground = np.bincount(around[around >= 0]).argmax()
                standing_out.append(self.labels.contrast[inks[row, column], ground] >= LEAST_CONTRAST)
        return float(np.mean(standing_out)) if standing_out else None

    def balance(self, grid: Tensor) -> float:
        """From 1, where what is shown leaves as much free on the left as on the right (97 % of true cards), to 0."""
        ids = grid.cpu().numpy()
        columns = np.flatnonzero(np.isin(ids, self.labels.code).any(axis=0))
        if not len(columns):
            return 1.0
        uneven = abs(int(columns[0]) - (ids.shape[1] - 1 - int(columns[-1])))
        return min(1.0, max(0.0, (UNEVEN - uneven) / (UNEVEN - FREE)))

    def aligned(self, grid: Tensor) -> float | None:
        """The share of lines of text that are flush with the one above or centred under it; None where none follows.

        A line follows another that stands at most one empty row above it.
        """
        letters = np.isin(grid.cpu().numpy(), [*self.labels.letters])
        rows = np.flatnonzero(letters.any(axis=1))
        spans = [(int(columns[0]), int(columns[-1])) for columns in map(np.flatnonzero, letters[rows])]
        pairs = [
            above[0] == below[0] or above[1] == below[1] or abs(sum(above) - sum(below)) <= 1
            for step, (above, below) in zip(np.diff(rows), itertools.pairwise(spans), strict=True)
            if step <= FOLLOWS
        ]
        return sum(pairs) / len(pairs) if pairs else None

    def has_large(self, grid: Tensor) -> bool:
        """Whether any character covers several cells."""
        return any(self._is_part(code) for code in grid.flatten().tolist())


def _resolved(lines: Sequence[Sequence[SignPlace]], wanted: Sequence[str]) -> PlanTexts:
    """The likeliest character of each place, or the one that a wanted text has there; nothing is a space."""
    texts = [[next(iter(place.signs), " ") for place in line] for line in lines]
    places = [(row, column) for row, line in enumerate(lines) for column, place in enumerate(line) if place.signs]
    read = [{letters(sign): sign for sign in lines[row][column].signs} for row, column in places]
    codes: dict[str, list[int]] = {}
    for target in sorted({letters(text) for text in wanted}, key=lambda text: (-len(text), text)):
        _, start, end = best_span(target, read)
        codes[target] = []
        for i, j in matching(target, read[start:end]):
            row, column = places[start + j]
            texts[row][column] = read[start + j][target[i]]
            read[start + j] = {}
            codes[target].append(lines[row][column].code)
    return PlanTexts(lines=[" ".join("".join(line).split()) for line in texts], codes=codes)


@dataclass(frozen=True, kw_only=True)
class PlanJudge:
    """How well a plan answers one prompt, from 0 to 1: its texts, its things, their colours, and where they stand.

    Of a picture that shows something, at least something is wanted. An edit keeps what its instruction does not name.
    """

    reader: PlanReader
    grid: Grid  # of the picture
    wanted: WantedTexts
    things: tuple[tuple[str, int | None], ...] = ()  # name and number; None where any number will do
    edit: bool = False  # whether it goes on from other pictures, whose layout is kept
    edited: Tensor | None = None  # the ids (rows, columns) of the one whose cells it keeps
    balanced: bool = False  # whether as much should be free on the left as on the right
    large: bool = False  # whether large characters are asked for
    ground: str | None = None  # the colour of the ground, by the model's own name
    inks: tuple[tuple[str, str], ...] = ()  # texts and their colours

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
            return cls._of_edit(reader, prompt, grid, references, limits)
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
            ground=words.ground,
            inks=words.inks,
        )

    @classmethod
    def _of_edit(
        cls, reader: PlanReader, prompt: str, grid: Grid, references: Sequence[Tensor], limits: Abilities | None
    ) -> PlanJudge | None:
        """Of several references the texts alone are judged: which one gives what, is not known."""
        before = [line for reference in references for line in reader.lines(reference)]
        wanted, words = edit_target(prompt, before), wanted_words(prompt, limits)
        if len(references) > 1:
            wanted = replace(wanted, kept=())
            return cls(reader=reader, grid=grid, wanted=wanted, edit=True) if wanted.texts else None
        first = references[0]
        named = {**dict(words.things), **dict.fromkeys(words.absent, 0)}
        things = edited_things(prompt, reader.things(first), named, words.known)
        grounds = reader.ground(first).most_common(1)
        return cls(
            reader=reader,
            grid=grid,
            wanted=wanted,
            things=tuple(things.items()) if limits else (),
            edit=True,
            edited=first if first.shape == grid else None,
            ground=words.ground or next((color for color, _ in grounds), None),
            inks=tuple((text, ink) for text, ink in words.inks if text in wanted.texts),
        )

    @property
    def beginning(self) -> Tensor | None:
        """The codes, bool (codes,), that have the wanted colour of the ground; None where none is wanted."""
        labels = self.reader.labels
        if self.ground not in labels.colors:
            return None
        codes = torch.from_numpy(labels.ground == labels.colors.index(self.ground))
        return codes if codes.any() else None

    def score(self, tokens: Tensor) -> float:
        """Of a picture's ids, (rows * columns,)."""
        grid = tokens.view(self.grid)
        texts = self.reader.texts(grid, (*self.wanted.texts, *self.wanted.kept))
        lines = texts.lines
        seen = self.reader.things(grid, [name for name, _ in self.things])
        if not (lines or seen or self.edit):
            return 0.0
        parts: list[tuple[float, float]] = []
        if self.wanted.texts:
            spelled = compare(self.wanted.texts, lines, spare=self.wanted.spare).score
            words = _whole_words(self.wanted.texts, lines, longest=self.grid[1], others=self.edit)
            parts.append((TEXT, spelled if words is None else (1 - WHOLE_WORDS) * spelled + WHOLE_WORDS * words))
        elif self.things and not self.edit:
            parts.append((UNASKED, float(not lines)))  # letters that nobody asked for
        if self.things:
            right = [_there(seen[name], count) for name, count in self.things]
            parts.append((THINGS, sum(right) / len(right)))
        if self.wanted.kept:
            found = compare(self.wanted.kept, lines).texts
            parts.append((KEPT, sum(match.closeness for match in found) / len(found)))
        if self.edited is not None:
            same = float((grid == self.edited).float().mean())
            parts.append((SAME, min(1.0, same / SAME_SHARE)))
        parts += [(GROUND, right) for right in self._ground(grid)]
        parts += [
            (INKS / len(self.inks), self._ink(texts.codes.get(letters(text), []), ink)) for text, ink in self.inks
        ]
        if (legible := self.reader.legible(grid)) is not None:
            parts.append((LEGIBLE, 1.0 if legible > LEGIBLE_SHARE else legible))
        if not self.edit and (aligned := self.reader.aligned(grid)) is not None:
            parts.append((ALIGNED, aligned))
        if self.balanced:
            parts.append((BALANCED, self.reader.balance(grid)))
        if self.large:
            parts.append((LARGE, float(self.reader.has_large(grid))))
        if not parts:
            return 1.0  # the picture that is edited shows nothing, and nothing that can be read is wanted
        return sum(weight * score for weight, score in parts) / sum(weight for weight, _ in parts)

    def _ground(self, grid: Tensor) -> Iterator[float]:
        """The share of the edge that has the wanted colour, of what tells one."""
        found = self.reader.ground(grid)
        if self.ground is not None and found:
            yield _share(found, self.ground, GROUND_SHARE)

    def _ink(self, codes: Sequence[int], color: str) -> float:
        """The share of the characters of a text that have the wanted colour, of those that tell one."""
        found = self.reader.inks(codes)
        return _share(found, color, INK_SHARE) if found else 0.0


def _share(found: Counter[str], color: str, enough: float) -> float:
    """Of what was found; 1 from a share on, as a code may be common to two colours."""
    share = found[color] / found.total()
    return 1.0 if share > enough else share


def _whole_words(texts: Sequence[str], lines: Sequence[str], *, longest: int, others: bool) -> float | None:
    """The share of the words of the texts that stand whole in a line; None where no word has to.

    Chinese may go on in the next line anywhere, and so must what is longer than a line. Words beyond those of the texts
    lower the share, unless `others` may be there.
    """
    split = [word.casefold() for text in texts for word in text.split()]
    words = [word for word in split if not HAN.search(word) and len(word) <= longest]
    if not words:
        return None
    left = Counter(word.casefold() for line in lines for word in line.split())
    whole = sum(min(count, left[word]) for word, count in Counter(words).items())
    surplus = 0 if others or len(words) < len(split) else max(0, left.total() - len(split))
    return whole / (len(words) + surplus)


def _there(seen: int, count: int | None) -> float:
    """Half for the kind, half for the number; nothing where a thing should be gone."""
    if not (seen and count != 0):
        return float(count == 0 and not seen)
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
        if done and (self.judge is None or max(self._scores.values()) >= (RIGHT_EDIT if self.judge.edit else RIGHT)):
            return range(0)
        self._begun = min(self.candidates, max(1, done * GROWTH))
        return range(done, self._begun)

    @property
    def open(self) -> bool:
        """Whether plans of this round are still sampled."""
        return len(self._tokens) < self._begun

    def prefix(self, number: int, prefix: Prefix) -> Prefix:
        """From what plan `number` is sampled, given what was read of its prompt."""
        beginning = None if self.judge is None or number == 0 else self.judge.beginning
        return prefix if beginning is None else beginning_with(prefix, beginning)

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
