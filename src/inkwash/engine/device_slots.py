"""Slots on an accelerator: a step is the same kernels on the same memory every time, and nothing waits for it.

All slots compute in every step, those of nobody on leftovers. Last tokens, places, masks and random numbers stay on the
device; the host only counts. On CUDA a step is captured once as a graph and replayed, so that a token costs what its
kernels cost; a capture that fails is logged once and steps are then launched one kernel at a time.
"""

from __future__ import annotations

from collections.abc import Sequence as Many

import torch
from torch import Tensor

from inkwash.core import log as logs
from inkwash.engine.sampling import GENERATOR, SamplingRows, choose_rows
from inkwash.engine.slots import Sequence, Slots
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.nn.cache import StaticCache
from inkwash.nn.finite import NotFiniteError

log = logs.get(__name__)


class DeviceSlots(Slots):
    """See the module; works on a CPU too, where tests hold it to `CpuSlots`."""

    _cache: StaticCache
    _mask: Tensor
    _rotary: Tensor
    _uniforms: Tensor
    _drawn: Tensor
    _broken: Tensor

    def __init__(self, model: ARGenerator, step: StepDecoder, slots: int) -> None:
        super().__init__(model, slots)
        self.step, self.device = step, model.lm_head.weight.device
        self.vocabulary = model.lm_head.weight.shape[0]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._capturable = self.device.type == "cuda"

    def advance(self, sequences: Many[Sequence]) -> int:
        slots = [sequence.slot for sequence in sequences]
        self._active.copy_(torch.tensor([slot in slots for slot in range(self.slots)]), non_blocking=True)
        if self._capturable and self._graph is None:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._token()
        for sequence in sequences:
            sequence.count += 1
        return len(sequences)

    def plan(self, sequence: Sequence) -> Tensor:
        """Waits for the device."""
        if bool(self._broken[sequence.slot]):
            raise NotFiniteError(GENERATOR)
        return self._drawn[sequence.slot, : sequence.count].cpu()

    @torch.no_grad()
    def _token(self) -> None:
        """One token for every active slot: the whole step, without a number that passes through Python."""
        index = self._index
        line = torch.arange(self.slots, device=self.device)
        place = self._start + index
        hidden = self._mask.gather(1, place[:, None])
        self._mask.scatter_(1, place[:, None], torch.where(self._active[:, None], 0.0, hidden))
        rotary, mask = self._rotary[line, index], self._mask[:, None, None]
        logits = self.step.forward_token(self._last, rotary, self._cache, place, mask)
        self._broken.logical_or_(self._active & ~torch.isfinite(logits).all(dim=-1))
        following = (index + 1).clamp(max=self._length - 1)
        number = self._uniforms.gather(1, following[:, None])[:, 0]
        token = choose_rows(logits.float() + self._barred, number, self._sampling)
        token = torch.where(self._active, token, self._last)
        kept = self._drawn.gather(1, following[:, None])[:, 0]
        self._drawn.scatter_(1, following[:, None], torch.where(self._active, token, kept)[:, None])
        self._last.copy_(token)
        index.add_(self._active)

    def _capture(self) -> None:
        """Record `_token` once; the state it touches while warming up is put back."""
        state = (self._last, self._index, self._mask, self._drawn, self._broken, self._cache.k, self._cache.v)
        before = [each.clone() for each in state]
        try:
            side = torch.cuda.Stream(self.device)
            side.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(side):
                for _ in range(2):
                    self._token()
            torch.cuda.current_stream(self.device).wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._token()
            self._graph = graph
        except RuntimeError as error:
            log.warning("AR steps are not captured as a graph: %s", error)
            self._capturable = False
        for each, value in zip(state, before, strict=True):
            each.copy_(value)

    @torch.no_grad()
    def _grow(self, length: int) -> None:
        old, slots, device, dtype = self._length, self.slots, self.device, self.step.head.dtype
        cache = self.model.make_cache(slots, length)
        mask = torch.full((slots, length), torch.finfo(dtype).min, dtype=dtype, device=device)
        mask[:, 0] = 0.0  # an empty slot attends to its first place, so that no row is all hidden
        rotary = torch.zeros(slots, length, 2 * self.step.rotary_dim, dtype=dtype, device=device)
        uniforms = torch.zeros(slots, length, device=device)
        drawn = torch.zeros(slots, length, dtype=torch.long, device=device)
        if old:
            cache.k[:, :, :, :old], cache.v[:, :, :, :old] = self._cache.k, self._cache.v
            pairs = ((mask, self._mask), (rotary, self._rotary), (uniforms, self._uniforms), (drawn, self._drawn))
            for new, kept in pairs:
                new[:, :old] = kept
        else:
            self._last = torch.zeros(slots, dtype=torch.long, device=device)
            self._index, self._start = torch.zeros_like(self._last), torch.zeros_like(self._last)
            self._active = torch.zeros(slots, dtype=torch.bool, device=device)
            self._broken = torch.zeros_like(self._active)  # whose logits were not finite
            ones = torch.ones(slots, device=device)
            every = torch.full_like(self._last, self.vocabulary)
            self._sampling = SamplingRows(ones, ones.clone(), every, torch.zeros_like(ones))
            self._barred = torch.zeros(slots, self.vocabulary, device=device)
        self._cache = cache
        self._mask, self._rotary, self._uniforms, self._drawn = mask, rotary, uniforms, drawn
        self._length, self._graph = length, None

    @torch.no_grad()
    def _enter(self, sequence: Sequence, slot: int) -> None:
        prefix, sampling = sequence.prefix, sequence.sampling
        self._cache.k[:, slot, :, : prefix.length] = prefix.cache.k[:, 0, :, : prefix.length]
        self._cache.v[:, slot, :, : prefix.length] = prefix.cache.v[:, 0, :, : prefix.length]
        self._cache.k[:, slot, :, prefix.length :] = 0.0  # what is masked still counts if the last guest left NaN
        self._cache.v[:, slot, :, prefix.length :] = 0.0
        self._mask[slot] = torch.finfo(self._mask.dtype).min
        self._mask[slot, : prefix.length] = 0.0
        tables = self.step.tables(prefix.positions[:, None, : prefix.tokens].to(self.device))
        self._rotary[slot, : prefix.tokens] = tables[0]
        self._uniforms[slot, : prefix.tokens] = sequence.uniforms.to(self.device)
        self._start[slot], self._index[slot] = prefix.length, 0
        settings = SamplingRows.of([sampling], self.vocabulary, self.device)
        for mine, new in zip(vars(self._sampling).values(), vars(settings).values(), strict=True):
            mine[slot] = new[0]
        self._broken[slot] = False
        self._barred[slot] = 0.0
        self._barred[slot, self._vocabulary(sampling) :] = -torch.inf
        logits = prefix.logits.float() + self._barred[slot]
        first = choose_rows(logits, self._uniforms[slot, :1], settings)
        self._last[slot] = self._drawn[slot, 0] = first[0]
