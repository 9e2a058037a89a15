"""The token loop: a prompt is prefilled in chunks, then tokens are sampled and read one by one until the answer ends.

`AnswerGenerator` does this for one answer at a time in the thread that asks; `batcher.py` for several at once. Both use
the same pieces: `prefill` for a prompt, `AnswerState` for an answer, `forward` for the next logits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.ranks.text import SharedRowDecoder, SharedSequences, SharedStepDecoder, SharedText
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import MOST, Sampling
from inkwash.engine.see.answer_state import AnswerRecord, AnswerShared, AnswerState, Budget, FinishReason, choose_token
from inkwash.engine.see.parallel import TensorParallelGroup
from inkwash.engine.see.prefix import (
    FeatureCache,
    Keys,
    PrefixCache,
    input_features,
    prompt_keys,
    unread_inputs,
)
from inkwash.models.glm.decode import StepDecoder
from inkwash.models.glm.row_decode import RowDecoder, takes
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.positions import next_positions
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.vision_input import VisionPrompt
from inkwash.nn.attention import SequenceCaches, StaticCache

__all__ = ["AnswerGenerator", "AnswerRecord", "Budget", "FinishReason"]

CHUNK = 1024  # tokens of a prompt that are read at once


class AnswerGenerator:
    """A model with its decode path and what it remembers of earlier turns."""

    def __init__(
        self,
        model: GlmV,
        processor: GlmVProcessor,
        stop_ids: tuple[int, ...],
        *,
        conversations: int = 4,
        ranks: TensorParallelGroup | None = None,
        shared: SharedText | None = None,
    ) -> None:
        """`ranks`: the processes among which the model is shared; all of them say the first one's tokens.

        `shared`: the group that this process leads; the others compute what it asks for.
        """
        self.model, self.processor, self.stop_ids = model, processor, frozenset(stop_ids)
        self.ranks, self.shared = ranks, shared
        self.decoder: StepDecoder
        self.rows: RowDecoder | None = None
        if shared is not None:
            self.decoder = step = SharedStepDecoder(shared)
            self.rows = SharedRowDecoder(step) if takes(step) else None
        else:
            self.decoder = StepDecoder(model, None if ranks is None else ranks.total)
            self.rows = RowDecoder(self.decoder) if ranks is None and takes(self.decoder) else None
        self.prefixes = PrefixCache(model, conversations=conversations)
        self.features = FeatureCache()

    def generate(
        self,
        run: AnswerRecord,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None = None,
    ) -> Iterator[str]:
        """The answer to a prompt in pieces of text, special tokens kept, the stop token left out."""
        tokens = self.answer_length(run, budget)
        keys = prompt_keys(run.prompt)
        cache, run.cached = self.prefixes.take(keys, tokens + MOST)
        logits = _finished(self.prefill(run.prompt, cache, run.cached, cancel))
        try:
            state = self.begin_answer(run, cache, logits, tokens, sampling, budget, generator, cancel)
            while not state.done:
                if piece := state.sample_next():
                    yield piece
                self.forward([state])
        finally:  # also where the reader of the pieces stops early
            self.keep(run, cache, keys)

    def unread(self, prompt: VisionPrompt, known: int | None = None) -> frozenset[int]:
        """The inputs to be decoded before a prompt is read; `known` tokens of it are (None: look)."""
        if known is None:
            known = self.prefixes.known(prompt_keys(prompt))
        return unread_inputs(prompt, known, self.features)

    def answer_length(self, run: AnswerRecord, budget: Budget) -> int:
        """How many tokens the answer may have; raises RequestError for a conversation that is too long."""
        length = len(run.prompt.ids)
        longest = self.model.config.text_config.max_position_embeddings
        if length + 1 > longest:
            raise RequestError(
                f"The conversation takes {length} tokens, more than the context of {longest}: shorten it, or use fewer "
                "or smaller pictures, frames or pages.",
                code="context_length_exceeded",
                param="messages",
            )
        return min(budget.max_new_tokens, longest - length)

    def begin_answer(
        self,
        run: AnswerRecord,
        cache: StaticCache,
        logits: Tensor,
        tokens: int,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None,
    ) -> AnswerState:
        """An answer after its prompt was read."""
        return AnswerState(
            run,
            cache,
            logits,
            tokens=tokens,
            tables=self._tables(run.prompt.next_position, tokens + MOST),
            shared=AnswerShared(
                processor=self.processor, stop_ids=self.stop_ids, choose=self._choose, agree=self._agree
            ),
            sampling=sampling,
            budget=budget,
            generator=generator,
            cancel=cancel,
        )

    def keep(self, run: AnswerRecord, cache: StaticCache, keys: Keys) -> None:
        """Remember a conversation; the last token that was said has not been read."""
        self.prefixes.give(cache, keys, run.ids[:-1], len(run.prompt.ids))

    @torch.no_grad()
    def forward(self, states: Sequence[AnswerState]) -> None:
        """Read what each of these answers has said last; those that ended or were guessed right need nothing.

        On a CPU in fp32 every answer gets the bits that it gets alone, and reads guesses behind its token. Elsewhere
        several share their products, and one alone reads guesses instead.
        """
        waiting = [state for state in states if state.pending]
        if not waiting:
            return
        if self.rows is not None:
            self._forward_rows(self.rows, waiting)
        elif len(waiting) == 1:
            self._forward_one(waiting[0])
        else:
            ids = torch.tensor([state.pending[0] for state in waiting], device=self.model.lm_head.weight.device)
            rotary, caches = torch.cat([state.rotary for state in waiting]), [state.cache for state in waiting]
            starts = [state.start + state.place for state in waiting]
            logits = self.decoder.forward_rows(ids, rotary, caches, starts)
            for state, row in zip(waiting, logits.split(1), strict=True):
                state.set_logits(row)

    def _forward_one(self, state: AnswerState) -> None:
        state.guess()
        start, ids = state.start + state.place, torch.tensor(state.pending, device=self.model.lm_head.weight.device)
        read = self.decoder.forward_block if len(ids) > 1 else self.decoder.forward_token
        state.set_logits(read(ids, state.rotary, state.cache, start))

    def _forward_rows(self, rows: RowDecoder, states: Sequence[AnswerState]) -> None:
        """In one pass: what each answer said last, and guesses where reading a further row costs little."""
        ids: list[int] = []
        places, spans = [], []
        for slot, state in enumerate(states):
            if rows.shares:
                state.guess()
            start = state.start + state.place
            places.append((slot, start, len(ids), len(state.pending)))
            spans += [(slot, start + further + 1) for further in range(len(state.pending))]
            ids += state.pending
        layers = [state.layers for state in states]
        cache = SequenceCaches(layers) if self.shared is None else SharedSequences([s.cache for s in states], layers)
        rotary = torch.cat([state.rotary for state in states])
        logits = rows.forward(torch.tensor(ids), rotary, cache, places, spans).clone()  # no inference tensor
        for state, rows_logits in zip(states, logits.split([len(each.pending) for each in states]), strict=True):
            state.set_logits(rows_logits)

    def _tables(self, first: int, count: int) -> Tensor:
        """Tables (count, 2 R) of text positions from `first` on."""
        return self.decoder.tables(next_positions(first, count)[:, None].to(self.model.lm_head.weight.device))[0]

    @torch.no_grad()
    def prefill(
        self, prompt: VisionPrompt, cache: StaticCache, known: int, cancel: CancelToken | None
    ) -> Generator[None, None, Tensor]:
        """Prefill from the first token that is not known on, chunk by chunk -> logits (1, vocabulary)."""
        device = self.model.lm_head.weight.device
        length = len(prompt.ids)
        before = torch.cumsum(prompt.modality != 0, 0) - (prompt.modality != 0).long()  # places seen before a token
        starts = [0]
        for vision_input in prompt.vision_inputs:
            starts.append(starts[-1] + vision_input.tokens)
        hidden: Tensor | None = None
        for begin in range(known, length, CHUNK):
            if hidden is not None:
                yield
            if self._agree(int(cancel is not None and cancel.cancelled)):
                raise Cancelled
            end = min(begin + CHUNK, length)
            modality = prompt.modality[begin:end]
            count = int((modality != 0).sum())
            features = None
            if count:
                first = int(before[begin:end][modality != 0][0])
                features = self._features(prompt, starts, first, first + count)
            hidden = self.model(
                prompt.ids[None, begin:end].to(device),
                prompt.positions[:, None, begin:end].to(device),
                features=features,
                modality=modality[None].to(device) if count else None,
                cache=cache,
                start=begin,
            )
        assert hidden is not None
        logits: Tensor = self.model.lm_head(hidden[:, -1])
        return logits

    def _features(self, prompt: VisionPrompt, starts: list[int], first: int, last: int) -> Tensor:
        """Features of the places from `first` to `last`, counted over all that is seen in the prompt."""
        parts = []
        for number, (begin, end) in enumerate(pairwise(starts)):
            if begin < last and end > first:
                whole = input_features(self.model, prompt, number, self.features)
                parts.append(whole[max(0, first - begin) : last - begin])
        return torch.cat(parts)

    def _agree(self, value: int) -> int:
        return value if self.ranks is None else self.ranks.agree(value)

    def _choose(self, logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
        return choose_token(logits, sampling, generator)


def _finished(steps: Generator[None, None, Tensor]) -> Tensor:
    """The result of a generator that is run to its end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            logits: Tensor = end.value
            return logits
