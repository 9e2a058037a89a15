"""How tokens are chosen, and how those that probably come next are proposed.

A semantic token is chosen by temperature, top-k, nucleus, min-p, and one uniform number. Inverse-CDF sampling: the kept
probabilities stand in falling order and the uniform number says how far to walk. Each row's choice depends on its own
logits and its own number only, never on other rows or on global random state.

A model may read some proposals in one pass and draws at each place as it would have drawn alone; what differs from the
proposal, and all behind it, is thrown away. So the tokens are the same with and without proposals (speculative
decoding, arXiv:2211.17192, where the draft is a lookup and both sides throw the same dice).

`NgramProposer` serves answers, which repeat names of the question, brackets of boxes and rows of tables.
`GridProposer` serves plans: a picture is mostly background, its letters return, and a plan resembles its preview or the
picture that it edits.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.engine.request import SamplingOverrides
from inkwash.models.glm_image.ar import Grid
from inkwash.models.glm_image.folder import ModelDefaults
from inkwash.nn.finite import NotFiniteError

GENERATOR = "The AR generator"  # in a sentence about its numbers
LIKELIEST = 64  # how many codes `pick` sorts
HALF_MARGIN = 1e-3  # a chance that much above a half has no equal, however its sum was rounded


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Temperature 0 is greedy, and so is one near it.

    `codes_only` keeps image marks and reserved ids out of the picture's grid.

    `min_p` leaves out what is less likely than that share of the likeliest (arXiv:2407.01082). A nucleus leaves out
    every second thought once one code has most of the chances: where a line may begin in any of ten rows, "not yet"
    is the likeliest everywhere and the line is never begun. Beside a letter that is certain min-p leaves nothing,
    beside an empty cell it leaves the line its chance.

    The reference samples over the whole vision vocabulary and may therefore stop a token early; that is
    `codes_only=False`, which is kept for comparisons.
    """

    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int | None = None
    min_p: float = 0.0
    codes_only: bool = True

    def __post_init__(self) -> None:
        if limits.check_temperature(self.temperature) < limits.GREEDY_BELOW:
            object.__setattr__(self, "temperature", 0.0)
        limits.check_nucleus("top_p", self.top_p)
        limits.check_real("min_p", self.min_p, 0.0, 1.0)
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k is {self.top_k}, but must be at least 1, or None for no limit.", param="top_k")

    @classmethod
    def of(cls, defaults: ModelDefaults, overrides: SamplingOverrides) -> Sampling:
        """What is asked for over the model's own.

        A nucleus that is asked for takes the place of the checkpoint's min-p: they are two ways to leave codes out.
        """
        has_nucleus = overrides.top_p is not None and overrides.top_p < 1
        return cls(
            temperature=defaults.temperature if overrides.temperature is None else overrides.temperature,
            top_p=defaults.top_p if overrides.top_p is None else overrides.top_p,
            top_k=defaults.top_k,
            min_p=0.0 if has_nucleus else defaults.min_p,
        )


PLAIN = Sampling(temperature=1.0, top_p=1.0)  # the model's own distribution, nothing left out


@dataclass(frozen=True)
class SamplingRows:
    """The settings of several rows as tensors (B,) on the logits' device, for `choose_rows`."""

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor  # the size of the vocabulary for no limit
    min_p: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sampling], vocabulary: int, device: torch.device | str = "cpu") -> SamplingRows:
        limits = [min(row.top_k or vocabulary, vocabulary) for row in rows]
        return cls(
            torch.tensor([row.temperature for row in rows], device=device),
            torch.tensor([row.top_p for row in rows], device=device),
            torch.tensor(limits, device=device),
            torch.tensor([row.min_p for row in rows], device=device),
        )


def choose(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> Tensor:
    """Token ids (B,) from logits (B, V) and numbers (B,) in [0, 1), one setting for all rows."""
    rows = SamplingRows.of([sampling], logits.shape[-1], logits.device)
    return choose_rows(logits, uniforms, rows)


def choose_rows(logits: Tensor, uniforms: Tensor, rows: SamplingRows) -> Tensor:
    """Token ids (B,) from logits (B, V), numbers (B,) and each row's settings; waits for no device.

    Chances in fp32, since bf16 cannot hold a CDF; their sums in fp64, so that no order of adding matters.
    """
    greedy = rows.temperature == 0
    mass, ids, last = _ordered(logits, rows)
    reach = uniforms[:, None].double() * mass.gather(-1, last)
    chosen = torch.searchsorted(mass, reach, right=True).minimum(last)
    return torch.where(greedy, logits.argmax(dim=-1), ids.gather(-1, chosen)[:, 0])


def kept(logits: Tensor, rows: SamplingRows) -> Tensor:
    """Which ids (B, V), bool, each row of logits may draw: every one that `choose_rows` or `pick` can return."""
    chances = _chances(logits, rows)
    if bool((rows.top_p >= 1).all()) and bool((rows.top_k >= logits.shape[-1]).all()):  # min-p alone needs no order
        likely = chances >= rows.min_p[:, None] * chances.amax(dim=-1, keepdim=True)
    else:
        _, ids, last = _ordered(logits, rows)
        place = torch.arange(logits.shape[-1], device=logits.device)
        likely = torch.zeros_like(ids, dtype=torch.bool).scatter(-1, ids, place <= last)
    best = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).bool()
    return torch.where((rows.temperature == 0)[:, None], best, likely)


def _chances(logits: Tensor, rows: SamplingRows) -> Tensor:
    """Probabilities (B, V), fp32."""
    return (logits.float() / torch.where(rows.temperature == 0, 1.0, rows.temperature)[:, None]).softmax(dim=-1)


def _ordered(logits: Tensor, rows: SamplingRows) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the chances in falling order (B, V), fp64, their ids, and the place (B, 1) of the last one kept."""
    ordered, ids = _chances(logits, rows).sort(dim=-1, descending=True, stable=True)
    likely = ordered >= rows.min_p[:, None] * ordered[:, :1]
    ordered = ordered.double()
    mass = ordered.cumsum(dim=-1)
    limit = rows.top_k[:, None].expand(len(logits), 1)
    whole = torch.where(limit < logits.shape[-1], mass.gather(-1, limit - 1), 1.0)
    nucleus = rows.top_p[:, None].double() * whole  # top-p counts within the top-k, as in the reference
    before = F.pad(mass[:, :-1], (1, 0))
    place = torch.arange(logits.shape[-1], device=logits.device)
    last = ((before < nucleus) & (place < limit) & likely).sum(dim=-1, keepdim=True).clamp(min=1) - 1
    return mass, ids, last


@dataclass
class Trace:
    """What a plan could have drawn, token by token: the ids that were kept, and the sampler's log-probability.

    Training by reinforcement renormalises over these ids: the truncated law is the one that was sampled from.
    """

    ids: list[Tensor] = field(default_factory=list)  # of each token
    logps: list[float] = field(default_factory=list)

    def saw(self, logits: Tensor, tokens: Sequence[int], sampling: Sampling) -> None:
        """Note the tokens that were drawn from these logits (n, codes)."""
        rows = SamplingRows.of([sampling] * len(tokens), logits.shape[-1], logits.device)
        inside = kept(logits, rows)
        scaled = logits.float() / (sampling.temperature or 1.0)
        for row, token in enumerate(tokens):
            ids = inside[row].nonzero()[:, 0]
            if not bool(inside[row, token]):  # chosen by another order of adding, at the very edge of the nucleus
                ids = torch.cat([ids, torch.tensor([token])]).sort().values
            self.ids.append(ids)
            self.logps.append(float(scaled[row, token] - scaled[row, ids].logsumexp(0)))


def pick(logits: Tensor, uniforms: Sequence[float], rows: Sequence[Sampling]) -> list[int]:
    """`choose_rows` on a CPU, more than ten times as fast.

    A code whose chance alone is the nucleus, or beside which nothing is likely enough, needs no order. Otherwise few
    codes are left, so only the likeliest are sorted; rows where more are, or in which equal chances leave the order
    open, take the long way.
    """
    temperatures = torch.tensor([row.temperature or 1.0 for row in rows])
    chances = (logits.float() / temperatures[:, None]).softmax(dim=-1)
    largest, likeliest = chances.max(dim=-1)
    tokens = []
    for number, (row, chance, code) in enumerate(zip(rows, largest.tolist(), likeliest.tolist(), strict=True)):
        if not chance > 0:  # NaN
            raise NotFiniteError(GENERATOR)
        if row.temperature == 0:
            tokens.append(int(logits[number].argmax()))
        elif chance >= max(_float32(row.top_p), 0.5 + HALF_MARGIN) or 1.0 + HALF_MARGIN - chance < chance * row.min_p:
            tokens.append(code)
        else:
            tokens.append(_of_likeliest(logits[number], chances[number], uniforms[number], row))
    return tokens


def _of_likeliest(logits: Tensor, chances: Tensor, number: float, row: Sampling) -> int:
    """The token of one row (V,) with several codes in its nucleus."""
    vocabulary = len(chances)
    some, ids = chances.topk(min(LIKELIEST, vocabulary))
    token = _walk(some.tolist(), ids.tolist(), number, row, vocabulary)
    if token is None:
        return int(choose(logits[None], torch.tensor([number], dtype=torch.float32), row))
    return token


def _walk(chances: list[float], ids: list[int], number: float, row: Sampling, vocabulary: int) -> int | None:
    """The token where a walk of `number` through the nucleus ends; None if these chances do not settle it."""
    limited = row.top_k is not None and row.top_k < vocabulary
    if limited and (row.top_k or 0) >= len(chances):
        return None
    limit = (row.top_k or 0) if limited else len(chances)
    masses, mass = [], 0.0
    for chance in chances[:limit]:
        mass += chance
        masses.append(mass)
    nucleus = _float32(row.top_p) * (mass if limited else 1.0)
    last = next((i for i, reached in enumerate(masses) if reached >= nucleus), None)
    floor = _float32(_float32(row.min_p) * chances[0])
    likely = sum(chance >= floor for chance in chances)
    if likely < len(chances):
        last = min(likely, limit if last is None else last + 1) - 1
    elif last is None:
        if not limited:
            return None
        last = limit - 1
    if last + 1 == len(chances) < vocabulary or any(a == b for a, b in pairwise(chances[: last + 2])):
        return None  # the order of equal chances is not topk's to choose
    reach = number * masses[last]
    return ids[next((i for i in range(last) if masses[i] > reach), last)]


def _float32(value: float) -> float:
    """The nearest number that fits in 32 bits, as the tensors of `SamplingRows` hold it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


NONE = -1  # no place, or no code: neither is negative
MOST = 8  # tokens that an answer proposes at once
_PAUSE = 3  # tokens without a proposal after a wrong one
# A further row costs about a sixth of a pass; it pays where it is right more often than that, and some more.
WORTH = 0.3
# The odds of a way to guess: before its first guess, and how much the last one leaves of them.
AT_FIRST, KEEP = 0.5, 0.8

# The ways, the first of equal odds counts: what stood beside the same three or two codes before, what stands at the
# same place of the grid before or of the edited picture, and the last code again.
THREE, TWO, SAME_PLACE, LAST = range(4)


class Proposer(Protocol):
    """What is known about one sequence while it is drawn."""

    def add(self, token: int) -> None:
        """The next token was drawn."""

    def propose(self, most: int) -> list[int]:
        """Up to `most` tokens that probably come next, as far as reading them pays."""


class NgramProposer:
    """What stood behind the same two tokens before (prompt lookup, Saxena 2023).

    How far is proposed follows from how often it was right of late.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._after: dict[tuple[int, int], int] = {}
        self._reach, self._wait = 2, 0
        self._proposed, self._left = 0, list[int]()  # of the last proposal: how many, and those not drawn yet
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """The next token of the conversation."""
        self._tokens.append(token)
        count = len(self._tokens)
        if count > 2:
            self._after[self._tokens[-3], self._tokens[-2]] = count - 1
        if self._left and self._left[0] == token:
            self._left.pop(0)

    def propose(self, most: int) -> list[int]:
        """Some tokens that may follow."""
        if self._proposed:
            if not self._left:
                self._reach = min(MOST, 2 * self._reach)
            elif len(self._left) == self._proposed:
                self._reach, self._wait = max(1, self._reach // 2), _PAUSE
            self._proposed, self._left = 0, []
        if self._wait:
            self._wait -= 1
            return []
        place = self._after.get((self._tokens[-2], self._tokens[-1])) if len(self._tokens) > 1 else None
        if place is None:
            return []
        found = self._tokens[place : place + min(self._reach, most)]
        self._proposed, self._left = len(found), list(found)
        return found


class GridProposer:
    """What the neighbours on the grid make likely.

    There are several ways to guess, and a guess costs nothing to judge: the code that is drawn in the end shows what
    would have been right, whether it was read or not. How often each way was right lately says which one to follow and
    how far it pays to read ahead; in random codes, not at all.

    grids: those of the plan, in order. edited: codes of the picture that is edited, on the grid of the plan's last.
    """

    def __init__(self, grids: Sequence[Grid], edited: Sequence[int] = ()) -> None:
        self._places = _places(tuple(grids))
        self._edited = [NONE] * (len(self._places) - len(edited)) + list(edited)
        self._tokens: list[int] = []
        self._after_three: dict[tuple[int, int, int], int] = {}
        self._after_two: dict[tuple[int, int], int] = {}
        self._odds: dict[tuple[int, bool], float] = {}  # of a way, after a wrong guess and after a right one
        self._right = False

    def add(self, token: int) -> None:
        """The next code was drawn."""
        code = token
        if self._tokens:
            after, candidates = self._right, self._candidates()
            self._right = self._best(candidates, after)[1] == code
            for way, guess in candidates:
                self._odds[way, after] = KEEP * self._odds.get((way, after), AT_FIRST) + (1 - KEEP) * (guess == code)
        left, above, corner = self._around()
        self._after_three[left, above, corner] = self._after_two[left, above] = code
        self._tokens.append(code)

    def propose(self, most: int) -> list[int]:
        """Up to `most` codes that probably come next, as far as reading them pays."""
        tokens, known = self._tokens, len(self._tokens)
        end = min(known + most, len(self._places))
        right, all_right = self._right, 1.0
        while len(tokens) < end:
            way, guess = self._best(self._candidates(), right)
            all_right *= self._odds.get((way, right), AT_FIRST)
            if all_right < WORTH:
                break
            tokens.append(guess)
            right = True  # or else the next one does not count
        found = tokens[known:]
        del tokens[known:]
        return found

    def _best(self, candidates: Sequence[tuple[int, int]], right: bool) -> tuple[int, int]:
        return max(candidates, key=lambda each: self._odds.get((each[0], right), AT_FIRST))

    def _candidates(self) -> list[tuple[int, int]]:
        """The ways that have a guess at the next code, and their guesses."""
        at = len(self._tokens)
        left, above, corner = self._around()
        found = []
        if (code := self._after_three.get((left, above, corner))) is not None:
            found.append((THREE, code))
        if (code := self._after_two.get((left, above))) is not None:
            found.append((TWO, code))
        before = self._places[at].before
        if self._edited[at] != NONE:
            found.append((SAME_PLACE, self._edited[at]))
        elif before != NONE:
            found.append((SAME_PLACE, self._tokens[before]))
        return [*found, (LAST, self._tokens[-1])]

    def _around(self) -> tuple[int, int, int]:
        """The codes on the left of the next place, above it, and above on the right."""
        place, tokens = self._places[len(self._tokens)], self._tokens
        return (
            NONE if place.left == NONE else tokens[place.left],
            NONE if place.above == NONE else tokens[place.above],
            NONE if place.corner == NONE else tokens[place.corner],
        )


class _Place(NamedTuple):
    """Places in the order of the plan, NONE where there is none."""

    left: int
    above: int
    corner: int  # above on the right
    before: int  # at the same row and column of the grid before


@lru_cache(maxsize=64)
def _places(grids: tuple[Grid, ...]) -> tuple[_Place, ...]:
    found: list[_Place] = []
    start, last = 0, (0, 0)
    for rows, columns in grids:
        first = len(found)
        for row in range(rows):
            for column in range(columns):
                at = len(found)
                above = at - columns if row else NONE
                found.append(
                    _Place(
                        left=at - 1 if column else NONE,
                        above=above,
                        corner=above + 1 if row and column + 1 < columns else NONE,
                        before=start + row * last[1] + column if row < last[0] and column < last[1] else NONE,
                    )
                )
        start, last = first, (rows, columns)
    return tuple(found)
