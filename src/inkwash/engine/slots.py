"""Continuous batching of the AR stage: sequences take a slot, draw one token per step, and leave when they are done.

    slots = make_slots(model, step, 8)  # of `ar.py`
    slots.join(sequence)             # between any two steps of the others
    slots.advance([sequence, ...])   # one token each, or more where some were guessed (`speculate.py`)
    slots.leave(sequence)

Prompts of any length, sizes of any kind, with and without references, each with its own sampling settings, share the
steps. `CpuSlots` computes every row as if it were alone (`models/glm/decode_cpu.py`); `DeviceSlots`, in
`device_slots.py`, keeps all of a step on an accelerator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inkwash.engine.sampling import Sampling, Trace, pick
from inkwash.engine.speculate import GridProposer, Proposer
from inkwash.models.glm.decode_cpu import RowDecoder, keys_read
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.positions import Grid
from inkwash.nn.cache import SlotCache, StaticCache

MOST_ROWS, MOST_GUESSES = 24, 11  # rows of a pass with guesses, and guesses of one sequence in it
LENGTH_STEP = 256  # slots grow by so many tokens at least, so that growing is rare


@dataclass(frozen=True)
class Prefix:
    """A prompt that was read: its cache (one row), the logits of the first token and the plan's positions.

    `grids` and `edited` are those of `GridProposer`; without grids every token is drawn in a pass of its own.
    """

    cache: StaticCache
    length: int
    logits: Tensor  # (1, vision vocabulary)
    positions: Tensor  # (3, tokens + 1)
    tokens: int
    grids: tuple[Grid, ...] = ()
    edited: tuple[int, ...] = ()


@dataclass(eq=False)
class Sequence:
    """One plan being drawn from a prefix, which several may share."""

    prefix: Prefix
    uniforms: Tensor  # (tokens,) fp32 on the CPU
    sampling: Sampling
    slot: int | None = None
    count: int = 0  # tokens drawn so far
    drawn: list[int] = field(default_factory=list, repr=False)  # on a CPU only
    numbers: list[float] = field(default_factory=list, repr=False)
    proposer: Proposer | None = field(default=None, repr=False)
    trace: Trace | None = field(default=None, repr=False)  # what could have been drawn, where it is asked for

    @property
    def tokens(self) -> int:
        return self.prefix.tokens

    @property
    def finished(self) -> bool:
        return self.count == self.tokens


class Slots(ABC):
    """A fixed number of places for sequences; not thread-safe, one thread owns it."""

    def __init__(self, model: ARGenerator, slots: int) -> None:
        self.model, self.slots = model, slots
        self.codes = model.config.vq_config.num_embeddings
        self._free = list(range(slots))[::-1]
        self._length = 0

    @property
    def free(self) -> int:
        """How many sequences may still join."""
        return len(self._free)

    def join(self, sequence: Sequence) -> None:
        """Give the sequence a slot and draw its first token, which the prompt alone decides."""
        assert self._free and sequence.slot is None, "no free slot, or already in one"
        needed = sequence.prefix.length + sequence.tokens
        if needed > self._length:
            self._grow(-(-needed // LENGTH_STEP) * LENGTH_STEP)
        slot = self._free[-1]
        self._enter(sequence, slot)  # may fail for want of memory; then the slot stays free
        self._free.pop()
        sequence.slot, sequence.count = slot, 1

    def leave(self, sequence: Sequence) -> None:
        """Free the slot, whether the sequence is done or given up."""
        if sequence.slot is not None:
            self._free.append(sequence.slot)
            sequence.slot = None

    @abstractmethod
    def advance(self, sequences: Many[Sequence]) -> int:
        """Draw the next token of each of these unfinished sequences, or several; returns how many in all."""

    @abstractmethod
    def plan(self, sequence: Sequence) -> Tensor:
        """The tokens drawn so far, on the CPU."""

    @abstractmethod
    def _grow(self, length: int) -> None:
        """Make every slot `length` tokens long and keep what is in it."""

    @abstractmethod
    def _enter(self, sequence: Sequence, slot: int) -> None:
        """Copy the prefix into the slot and draw the first token."""

    def _vocabulary(self, sampling: Sampling) -> int:
        return self.codes if sampling.codes_only else self.model.lm_head.weight.shape[0]


class CpuSlots(Slots):
    """Rows that do not see each other, to the last bit; caches are fp32 whatever the number type of the weights."""

    def __init__(self, model: ARGenerator, rows: RowDecoder, slots: int) -> None:
        super().__init__(model, slots)
        self.rows = rows
        self._cache: SlotCache | None = None
        self._rotary = torch.empty(0, 0)

    def advance(self, sequences: Many[Sequence]) -> int:
        sequences = sorted(sequences, key=lambda each: each.slot or 0)  # neighbours are attended together
        most = min(MOST_ROWS // len(sequences) - 1, MOST_GUESSES)
        ahead = [self._ahead(sequence, most) for sequence in sequences]
        with torch.inference_mode():
            return self._draw(sequences, ahead, self._read(sequences, ahead))

    def _read(self, sequences: Many[Sequence], ahead: Many[list[int]]) -> Tensor:
        """Logits behind the last token of each sequence and behind each of its guesses."""
        cache, length = self._cache, self._length
        assert cache is not None
        ids, places, lines, spans = [], [], [], []
        for sequence, guesses in zip(sequences, ahead, strict=True):
            slot, index = sequence.slot, sequence.count - 1
            assert slot is not None and not sequence.finished
            at = sequence.prefix.length + index
            for further, code in enumerate([sequence.drawn[index], *guesses]):
                ids.append(code)
                places.append(slot * length + at + further)
                lines.append(slot * length + index + further)
                spans.append((slot, at + 1 + further))
        numbers = torch.tensor([ids, places, lines])
        rotary = self._rotary.index_select(0, numbers[2])
        return self.rows.forward(numbers[0], rotary, cache, numbers[1], spans)

    def _ahead(self, sequence: Sequence, most: int) -> list[int]:
        """Guesses of the tokens after the next one."""
        most = min(most, sequence.tokens - sequence.count - 1)
        return [] if sequence.proposer is None or most < 1 else sequence.proposer.propose(most)

    def plan(self, sequence: Sequence) -> Tensor:
        return torch.tensor(sequence.drawn[: sequence.count])

    def _draw(self, sequences: Many[Sequence], ahead: Many[list[int]], logits: Tensor) -> int:
        """Append each sequence's next token, and further ones as long as they were guessed; returns how many."""
        tokens = iter(self._pick(sequences, [len(guesses) + 1 for guesses in ahead], logits))
        count = first = 0
        for sequence, guesses in zip(sequences, ahead, strict=True):
            rows = [next(tokens) for _ in range(len(guesses) + 1)]
            right = next((i for i, guess in enumerate(guesses) if rows[i] != guess), len(guesses))
            drawn = rows[: right + 1]  # what stands behind was read after another token
            if sequence.trace is not None:
                read = logits[first : first + len(drawn), : self._vocabulary(sequence.sampling)]
                sequence.trace.saw(read, drawn, sequence.sampling)
            first += len(rows)
            sequence.drawn += drawn
            sequence.count = len(sequence.drawn)
            count += len(drawn)
            if sequence.proposer is not None:
                for token in drawn:
                    sequence.proposer.add(token)
        return count

    def _pick(self, sequences: Many[Sequence], counts: Many[int], logits: Tensor) -> list[int]:
        """A token for each row, each sequence with so many. Rows over one vocabulary are chosen together."""
        sizes = [self._vocabulary(sequence.sampling) for sequence in sequences]
        if len(set(sizes)) > 1:
            parts = zip(sequences, counts, logits.split(list(counts)), strict=True)
            return [token for one, count, rows in parts for token in self._pick([one], [count], rows)]
        numbers, samplings = [], []
        for sequence, count in zip(sequences, counts, strict=True):
            numbers += sequence.numbers[len(sequence.drawn) : len(sequence.drawn) + count]
            samplings += [sequence.sampling] * count
        return pick(logits[:, : sizes[0]], numbers, samplings)

    def _grow(self, length: int) -> None:
        text = self.model.config.text_config
        length = keys_read(length)
        if self._cache is None:
            shape = (text.num_hidden_layers, self.slots, text.num_key_value_heads, length, text.head_width)
            self._cache = SlotCache(*shape)
        else:
            self._cache = self._cache.grown(length)
        rotary = torch.zeros(self.slots, length, 2 * self.rows.step.rotary_dim)
        if self._length:
            rotary[:, : self._length] = self._rotary.view(self.slots, self._length, -1)
        self._rotary, self._length = rotary.flatten(0, 1), length

    @torch.inference_mode()
    def _enter(self, sequence: Sequence, slot: int) -> None:
        assert self._cache is not None
        prefix = sequence.prefix
        self._cache.load(slot, prefix.cache, prefix.length)
        tables = self.rows.tables(prefix.positions[:, : prefix.tokens])
        self._rotary[slot * self._length : slot * self._length + len(tables)] = tables
        sequence.numbers = sequence.uniforms.tolist()
        sequence.drawn = []
        sequence.proposer = GridProposer(prefix.grids, prefix.edited) if prefix.grids and self.rows.shares else None
        self._draw([sequence], [[]], prefix.logits)
