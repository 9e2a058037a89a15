"""Slots for plans of a generator that the ranks of a group share: each sequence has caches of its own on every rank.

On a CPU the steps are those of `CpuSlots`, guesses included; on accelerators each sequence gets one token in a step.
The first rank chooses the tokens, so no rank can differ from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inkwash.engine.ar import CpuSlots, PlanSequence
from inkwash.engine.ranks.text import SharedRowDecoder, SharedSequences, SharedStepDecoder, SharedText
from inkwash.engine.sampling import GridProposer
from inkwash.models.glm.row_decode import keys_read
from inkwash.nn.attention import SequenceCache, StaticCache


@dataclass(frozen=True)
class _Held:
    """What a sequence in a slot reads: its cache, and the lines of the tables of all its positions."""

    cache: StaticCache
    layers: SequenceCache
    tables: Tensor


class SharedSlots(CpuSlots):
    """See the module."""

    rows: SharedRowDecoder

    def __init__(self, text: SharedText, step: SharedStepDecoder, rows: SharedRowDecoder | None, slots: int) -> None:
        super().__init__(text.model, rows, slots)  # type: ignore[arg-type]
        self._text, self._step, self._on_cpu = text, step, rows is not None
        self._held: dict[int, _Held] = {}

    def leave(self, sequence: PlanSequence) -> None:
        if sequence.slot is not None:
            self._held.pop(sequence.slot, None)
        super().leave(sequence)

    def _read(self, sequences: Sequence[PlanSequence], ahead: Sequence[list[int]]) -> Tensor:
        ids: list[int] = []
        places, spans, lines, starts = [], [], [], []
        held = [self._held[sequence.slot] for sequence in sequences if sequence.slot is not None]
        for slot, (sequence, guesses, state) in enumerate(zip(sequences, ahead, held, strict=True)):
            index = sequence.count - 1
            start, read = sequence.prefix.length + index, [sequence.drawn[index], *guesses]
            places.append((slot, start, len(ids), len(read)))
            spans += [(slot, start + 1 + further) for further in range(len(read))]
            lines.append(state.tables[index : index + len(read)])
            starts.append(start)
            ids += read
        rotary, caches = torch.cat(lines), [state.cache for state in held]
        if self._on_cpu:
            cache = SharedSequences(caches, [state.layers for state in held])
            return self.rows.forward(torch.tensor(ids), rotary, cache, places, spans)
        device = self.model.lm_head.weight.device
        return self._step.forward_rows(torch.tensor(ids, device=device), rotary, caches, starts).float().cpu()

    def _grow(self, length: int) -> None:
        """Nothing is common to the slots."""
        self._length = length

    @torch.inference_mode()
    def _enter(self, sequence: PlanSequence, slot: int) -> None:
        prefix = sequence.prefix
        length = keys_read(prefix.length + prefix.tokens)
        cache = self._text.make_cache(1, length, torch.float32 if self._on_cpu else None)
        cache.copy_from(prefix.cache, prefix.length)
        positions = prefix.positions[:, : prefix.tokens]
        if self._on_cpu:
            tables = self.rows.tables(positions)
        else:
            tables = self._step.tables(positions[:, None].to(self.model.lm_head.weight.device))[0]
        self._held[slot] = _Held(cache, SequenceCache(cache), tables)
        sequence.numbers = sequence.uniforms.tolist()
        sequence.drawn = []
        guesses = self._on_cpu and prefix.grids and self.rows.shares
        sequence.proposer = GridProposer(prefix.grids, prefix.edited) if guesses else None
        self._draw([sequence], [[]], prefix.logits.cpu())


class SharedGenerator:
    """The first rank's AR generator with its decode paths."""

    def __init__(self, text: SharedText) -> None:
        self.text = text
        self._step: SharedStepDecoder | None = None
        self._rows: SharedRowDecoder | None = None

    def slots(self, count: int) -> SharedSlots:
        """New slots for so many sequences."""
        if self._step is None:
            self._step = SharedStepDecoder(self.text)
            on_cpu = self.text.model.lm_head.weight.device.type == "cpu"
            self._rows = SharedRowDecoder(self._step) if on_cpu else None
        return SharedSlots(self.text, self._step, self._rows, count)
