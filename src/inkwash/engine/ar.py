"""The first stage: the AR generator plans each picture, one semantic token per 32 x 32 pixels.

Every prompt is read once (prefill), however many plans are sampled from it. The number of tokens is known beforehand
and only codes can be drawn, so no plan ends early and the end token is never computed.

Plans are drawn with continuous batching: they take a slot, draw one token per step, and leave when they are done.

    slots = make_slots(model, step, 8)
    slots.join(sequence)             # between any two steps of the others
    slots.advance([sequence, ...])   # one token each, or more where some were guessed (`sampling.py`)
    slots.leave(sequence)

Prompts of any length, sizes of any kind, with and without references, each with its own sampling settings, share the
steps. `CpuSlots` computes every row as if it were alone (`models/glm/row_decode.py`). `DeviceSlots` keeps all of a step
on an accelerator: the same kernels on the same memory every time, and nothing waits for it. All slots compute in every
step, those of nobody on leftovers; last tokens, places, masks and random numbers stay on the device, and the host only
counts. On CUDA a step is captured once as a graph and replayed, so that a token costs what its kernels cost; a capture
that fails is logged once and steps are then launched one kernel at a time.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from inkwash.core.device import one_thread, return_memory
from inkwash.core.errors import RequestError
from inkwash.engine.reference_cache import ReferenceCache
from inkwash.engine.request import Watch
from inkwash.engine.sampling import GENERATOR, GridProposer, Proposer, Sampling, SamplingRows, Trace, choose_rows, pick
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm.row_decode import RowDecoder, keys_read
from inkwash.models.glm_image.ar import ARGenerator, Grid, decode_positions, prompt_positions
from inkwash.models.glm_image.processor import ImagePrompt
from inkwash.nn.attention import SlotCache, StaticCache
from inkwash.nn.finite import NotFiniteError, check_finite, check_logits

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


def beginning_with(prefix: Prefix, codes: Tensor) -> Prefix:
    """The prefix of a plan whose first token is one of these codes, bool (codes,)."""
    others = F.pad(~codes, (0, prefix.logits.shape[-1] - len(codes)), value=True).to(prefix.logits.device)
    return replace(prefix, logits=prefix.logits.masked_fill(others, -torch.inf))


@dataclass(eq=False)
class PlanSequence:
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

    def join(self, sequence: PlanSequence) -> None:
        """Give the sequence a slot and draw its first token, which the prompt alone decides."""
        assert self._free and sequence.slot is None, "no free slot, or already in one"
        needed = sequence.prefix.length + sequence.tokens
        if needed > self._length:
            self._grow(-(-needed // LENGTH_STEP) * LENGTH_STEP)
        slot = self._free[-1]
        self._enter(sequence, slot)  # may fail for want of memory; then the slot stays free
        self._free.pop()
        sequence.slot, sequence.count = slot, 1

    def leave(self, sequence: PlanSequence) -> None:
        """Free the slot, whether the sequence is done or given up."""
        if sequence.slot is not None:
            self._free.append(sequence.slot)
            sequence.slot = None

    @abstractmethod
    def advance(self, sequences: Sequence[PlanSequence]) -> int:
        """Draw the next token of each of these unfinished sequences, or several; returns how many in all."""

    @abstractmethod
    def plan(self, sequence: PlanSequence) -> Tensor:
        """The tokens drawn so far, on the CPU."""

    @abstractmethod
    def _grow(self, length: int) -> None:
        """Make every slot `length` tokens long and keep what is in it."""

    @abstractmethod
    def _enter(self, sequence: PlanSequence, slot: int) -> None:
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

    def advance(self, sequences: Sequence[PlanSequence]) -> int:
        sequences = sorted(sequences, key=lambda each: each.slot or 0)  # neighbours are attended together
        most = min(MOST_ROWS // len(sequences) - 1, MOST_GUESSES)
        ahead: list[list[int]] = []  # guesses of the tokens after the next one
        for sequence in sequences:
            left = min(most, sequence.tokens - sequence.count - 1)
            ahead.append([] if sequence.proposer is None or left < 1 else sequence.proposer.propose(left))
        with torch.inference_mode():
            return self._draw(sequences, ahead, self._read(sequences, ahead))

    def _read(self, sequences: Sequence[PlanSequence], ahead: Sequence[list[int]]) -> Tensor:
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

    def plan(self, sequence: PlanSequence) -> Tensor:
        return torch.tensor(sequence.drawn[: sequence.count])

    def _draw(self, sequences: Sequence[PlanSequence], ahead: Sequence[list[int]], logits: Tensor) -> int:
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

    def _pick(self, sequences: Sequence[PlanSequence], counts: Sequence[int], logits: Tensor) -> list[int]:
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
            shape = (len(self.rows.step.layers), self.slots, text.num_key_value_heads, length, text.head_width)
            self._cache = SlotCache(*shape)
        else:
            self._cache = self._cache.grown(length)
        rotary = torch.zeros(self.slots, length, 2 * self.rows.step.rotary_dim)
        if self._length:
            rotary[:, : self._length] = self._rotary.view(self.slots, self._length, -1)
        self._rotary, self._length = rotary.flatten(0, 1), length

    @torch.inference_mode()
    def _enter(self, sequence: PlanSequence, slot: int) -> None:
        assert self._cache is not None
        prefix = sequence.prefix
        self._cache.load(slot, prefix.cache, prefix.length)
        tables = self.rows.tables(prefix.positions[:, : prefix.tokens])
        self._rotary[slot * self._length : slot * self._length + len(tables)] = tables
        sequence.numbers = sequence.uniforms.tolist()
        sequence.drawn = []
        sequence.proposer = GridProposer(prefix.grids, prefix.edited) if prefix.grids and self.rows.shares else None
        self._draw([sequence], [[]], prefix.logits)


SLOTS = 8  # plans that one call draws at once
ONE_THREAD_BYTES = 2**28  # generators below this spend their steps between kernels, where a second thread only costs


@dataclass(frozen=True)
class Row:
    """One plan to sample: from which prompt, with which numbers."""

    prefix: Prefix
    uniforms: Tensor  # (tokens,) on the CPU
    trace: Trace | None = None  # filled with what could have been drawn; on a CPU only


def reference_semantic_ids(
    model: ARGenerator, prompt: ImagePrompt, cache: ReferenceCache | None = None
) -> list[Tensor]:
    """Semantic tokens (rows * columns,) of each reference picture."""
    weight = model.lm_head.weight

    def encode(pixels: Tensor) -> Tensor:
        features = model.model.visual(pixels[None].to(weight.device, weight.dtype))
        return model.model.vqmodel.encode(check_finite("The vision encoder", features))[0]

    if cache is None:
        return [encode(reference.pixels) for reference in prompt.references]
    return [cache.get("semantic_ids", (each.pixels,), partial(encode, each.pixels)) for each in prompt.references]


@torch.no_grad()
def read_prompt(model: ARGenerator, prompt: ImagePrompt, semantic_ids: Sequence[Tensor]) -> Prefix:
    """Prefill one prompt whose image placeholders are filled with the references' semantic ids."""
    config, device = model.config, model.lm_head.weight.device
    ids = fill_placeholders(prompt.ids, semantic_ids, config.image_token_id)
    longest = config.text_config.max_position_embeddings
    if len(ids) + prompt.drawn_tokens > longest:
        raise RequestError(
            f"The prompt takes {len(ids)} tokens and the picture {prompt.drawn_tokens}, more than the context of "
            f"{longest}: shorten the prompt, or use fewer or smaller references.",
            code="prompt_too_long",
            param="prompt",
        )
    marks = {"image_start": config.image_start_token_id, "image_end": config.image_end_token_id}
    starts = sum(int(token) == marks["image_start"] for token in ids)
    ends = sum(int(token) == marks["image_end"] for token in ids)
    if ends != len(semantic_ids) or starts != ends + 1:
        raise RequestError("The prompt contains a control token of the image vocabulary: remove it.", param="prompt")
    grids = [reference.grid for reference in prompt.references]
    positions, start = prompt_positions(ids.tolist(), grids, **marks)
    drawn = [prompt.target] if prompt.preview is None else [prompt.preview, prompt.target]
    edited = tuple(semantic_ids[0].tolist()) if grids and grids[0] == prompt.target else ()
    cache = model.make_cache(1, len(ids))
    hidden = model(ids[None].to(device), positions[:, None].to(device), cache=cache)
    return Prefix(
        cache=cache,
        length=len(ids),
        logits=check_logits(GENERATOR, model.lm_head(hidden[:, -1])),
        positions=decode_positions(start, drawn),
        tokens=prompt.drawn_tokens,
        grids=tuple(drawn),
        edited=edited,
    )


def fill_placeholders(ids: Tensor, semantic_ids: Sequence[Tensor], placeholder: int) -> Tensor:
    """Prompt ids with the image placeholders replaced, in order, by the references' semantic ids."""
    holes = ids == placeholder
    if int(holes.sum()) != sum(len(each) for each in semantic_ids):
        raise RequestError("The prompt contains an image placeholder token: remove it.", param="prompt")
    if not semantic_ids:
        return ids
    return ids.masked_scatter(holes, torch.cat(list(semantic_ids)).to(ids))


def sample_plans(
    model: ARGenerator,
    decoder: StepDecoder,
    rows: Sequence[Row],
    sampling: Sampling,
    watch: Watch,
    *,
    rows_per_pass: int | None = None,
) -> list[Tensor]:
    """Tokens (preview and target) of every row, on the CPU; at most `rows_per_pass` rows (None: 8) share a step."""
    slots = make_slots(model, decoder, min(len(rows), rows_per_pass or SLOTS))
    return fill_plans(model, slots, rows, sampling, watch)


def fill_plans(model: ARGenerator, slots: Slots, rows: Sequence[Row], sampling: Sampling, watch: Watch) -> list[Tensor]:
    """The same in given slots, however many."""
    watch.begin("prior", sum(row.prefix.tokens for row in rows))
    waiting = [PlanSequence(row.prefix, row.uniforms, sampling, trace=row.trace) for row in rows][::-1]
    active: list[PlanSequence] = []
    plans: dict[int, Tensor] = {}
    order = {id(sequence): number for number, sequence in enumerate(reversed(waiting))}
    with few_threads(model):
        while waiting or active:
            while waiting and slots.free:
                slots.join(waiting[-1])
                active.append(waiting.pop())
                watch.advance()
            for sequence in [each for each in active if each.finished]:
                plans[order[id(sequence)]] = slots.plan(sequence)
                slots.leave(sequence)
                active.remove(sequence)
            if active:
                watch.advance(slots.advance(active))
    return [plans[number] for number in range(len(rows))]


def few_threads(model: ARGenerator) -> AbstractContextManager[None]:
    """One thread for the steps of a small generator on a CPU; the number does not change what is drawn."""
    layers = model.model.language_model.layers.parameters()
    small = sum(each.numel() * each.element_size() for each in layers) < ONE_THREAD_BYTES
    return one_thread(model.lm_head.weight.device) if small else nullcontext()


def make_slots(model: ARGenerator, step: StepDecoder, slots: int) -> Slots:
    """The kind of slots that fits the model's device."""
    if model.lm_head.weight.device.type == "cpu":
        if step.rows is None:
            step.rows = RowDecoder(step)
            return_memory(model.lm_head.weight.device)  # packing leaves as much freed as it keeps
        return CpuSlots(model, step.rows, slots)

    return DeviceSlots(model, step, slots)


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

    def advance(self, sequences: Sequence[PlanSequence]) -> int:
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

    def plan(self, sequence: PlanSequence) -> Tensor:
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
            logging.getLogger(__name__).warning("AR steps are not captured as a graph: %s", error)
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
    def _enter(self, sequence: PlanSequence, slot: int) -> None:
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
