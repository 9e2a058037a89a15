"""The token loop: prefill in chunks, then one token at a time until a stop, a budget, a loop or a cancel ends it.

Thoughts may have a budget. When it is used up, the tags that end them are put into the conversation as if the model had
written them, and it goes on with its answer; the same cache goes on too, so nothing that was seen is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import Sampling, choose
from inkwash.engine.see.drafts import MOST, Drafts
from inkwash.engine.see.prefix import FeatureCache, PrefixCache, prompt_keys, sight_features
from inkwash.models.glm_v.answer import AnswerStream, forced_ending
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.repetition import RepetitionDetector
from inkwash.models.glm_v.sights import Prompt
from inkwash.models.glm_v.step import StepDecoder
from inkwash.models.glm_v.step_cpu import CpuStep, fits
from inkwash.nn.cache import StaticCache

FinishReason = Literal["stop", "length", "repetition", "cancelled"]
CHUNK = 1024  # tokens of a prompt that are read at once


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much may be said; ``thinking`` None is no bound of its own, ``detect_loops`` ends an answer that repeats."""

    max_new_tokens: int = 1024
    thinking: int | None = None
    detect_loops: bool = True
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise RequestError(
                f"max_new_tokens is {self.max_new_tokens}, but must be at least 1.", param="max_new_tokens"
            )
        if self.thinking is not None and self.thinking < 0:
            raise RequestError(f"thinking_budget is {self.thinking}, but must be 0 or more.", param="thinking_budget")
        if not 0 < self.repetition_penalty <= 10:
            raise RequestError(
                f"repetition_penalty is {self.repetition_penalty}, but must lie above 0 and up to 10.",
                param="repetition_penalty",
            )


@dataclass
class Run:
    """One answer while it is made; `text` grows by every piece that `generate` yields."""

    prompt: Prompt
    cached: int = 0
    text: str = ""
    ids: list[int] = field(default_factory=list)
    thinking_tokens: int = 0
    forced: bool = False
    finish: FinishReason = "length"


class Speaker:
    """A model with its decode path and what it remembers of earlier turns."""

    def __init__(
        self, model: GlmV, processor: GlmVProcessor, stop_ids: tuple[int, ...], *, conversations: int = 4
    ) -> None:
        self.model, self.processor, self.stop_ids = model, processor, frozenset(stop_ids)
        self.decoder = StepDecoder(model)
        self.plain = fits(model)
        self.prefixes = PrefixCache(model, conversations=conversations)
        self.features = FeatureCache()

    def generate(
        self,
        run: Run,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None = None,
    ) -> Iterator[str]:
        """The answer to a prompt in pieces of text, special tokens kept, the stop token left out."""
        length = len(run.prompt.ids)
        longest = self.model.config.text_config.max_position_embeddings
        if length + 1 > longest:
            raise RequestError(
                f"The conversation takes {length} tokens, more than the context of {longest}: shorten it, or use fewer "
                "or smaller pictures, frames or pages.",
                code="context_length_exceeded",
                param="messages",
            )
        tokens = min(budget.max_new_tokens, longest - length)
        keys = prompt_keys(run.prompt)
        cache, run.cached = self.prefixes.take(keys, tokens + MOST)
        logits = self._read(run.prompt, cache, run.cached, cancel)
        try:
            yield from self._speak(run, cache, logits, tokens, sampling, budget, generator, cancel)
        finally:  # also where the reader of the pieces stops early; the last token that was chosen has not been read
            self.prefixes.give(cache, keys, run.ids[:-1], length)

    @torch.no_grad()
    def _read(self, prompt: Prompt, cache: StaticCache, known: int, cancel: CancelToken | None) -> Tensor:
        """Prefill from the first token that is not known on -> logits (1, vocabulary) of the first to say."""
        device = self.model.lm_head.weight.device
        length = len(prompt.ids)
        before = torch.cumsum(prompt.modality != 0, 0) - (prompt.modality != 0).long()  # places seen before a token
        starts = [0]
        for sight in prompt.sights:
            starts.append(starts[-1] + sight.tokens)
        hidden: Tensor | None = None
        for begin in range(known, length, CHUNK):
            if cancel is not None:
                cancel.check()
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

    def _features(self, prompt: Prompt, starts: list[int], first: int, last: int) -> Tensor:
        """Features of the places from ``first`` to ``last``, counted over all that is seen in the prompt."""
        parts = []
        for number, (begin, end) in enumerate(pairwise(starts)):
            if begin < last and end > first:
                whole = sight_features(self.model, prompt, number, self.features)
                parts.append(whole[max(0, first - begin) : last - begin])
        return torch.cat(parts)

    @torch.no_grad()
    def _speak(
        self,
        run: Run,
        cache: StaticCache,
        logits: Tensor,
        tokens: int,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None,
    ) -> Iterator[str]:
        start, position, said = len(run.prompt.ids), run.prompt.next_position, run.ids
        answer = AnswerStream()
        loops = RepetitionDetector() if budget.detect_loops else None
        decode = DecodeStream(skip_special_tokens=False)
        tokenizer = self.processor.tokenizer
        seen = _Penalty(run.prompt.ids, logits, budget.repetition_penalty)
        cos, sin = self.decoder.tables(position, tokens + MOST)
        plain = CpuStep(self.decoder, cache, cos, sin) if self.plain else None
        drafts = Drafts(run.prompt.ids.tolist())
        expected: list[int] = []  # drafted tokens that the cache holds already, behind the last one said
        most_thoughts = tokens if budget.thinking is None else budget.thinking
        forced: list[int] = []  # tokens to be said next, whatever the model would say
        if budget.thinking == 0:
            forced = self._ending(run, budget)
        while True:
            if cancel is not None and cancel.cancelled:
                run.finish = "cancelled"
                return
            token = forced.pop(0) if forced else self._choose(seen(logits[:1]), sampling, generator)
            said.append(token)
            drafts.add(token)
            seen.add(token)
            if token in self.stop_ids:
                run.finish = "stop"
                return
            piece = decode.step(tokenizer, token)
            if piece:
                run.text += piece
                answer.feed(piece)
                yield piece
            run.thinking_tokens += answer.thinking
            if not run.forced and answer.thinking and run.thinking_tokens >= most_thoughts:
                forced = self._ending(run, budget)
            if not forced and loops is not None and loops.add(token):
                run.finish = "repetition"
                return
            if len(said) >= tokens:
                run.finish = "length"
                return
            if expected and expected[0] == token:
                logits, expected = logits[1:], expected[1:]
                continue
            place = len(said) - 1
            if plain is not None:  # a pass of several tokens costs it more than a guess brings in
                logits = plain.step(token, place, start + place)
                continue
            expected = [] if forced else drafts.guess(missed=len(expected))
            ids = torch.tensor([token, *expected], device=logits.device)
            if expected:
                end = place + len(ids)
                logits = self.decoder.block(ids, cos[place:end], sin[place:end], cache, start + place)
            else:
                logits = self.decoder.step(ids, cos[place], sin[place], cache, start + place)

    def _ending(self, run: Run, budget: Budget) -> list[int]:
        """The tags that end thoughts here, as tokens."""
        run.forced = True
        text = forced_ending(run.text, self.processor.style)
        if not text and budget.thinking == 0 and not run.text:
            text = "\n<think></think>"
        return self.processor.encode(text)

    def _choose(self, logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
        if sampling.temperature == 0:
            return int(logits.argmax())
        uniform = torch.rand(1, generator=generator, device=generator.device).to(logits.device)
        return int(choose(logits, uniform, sampling))


class _Penalty:
    """Makes tokens of the prompt and of the answer less likely, by the rule of Keskar et al., arXiv:1909.05858."""

    def __init__(self, prompt: Tensor, logits: Tensor, strength: float) -> None:
        self.strength = strength
        self.seen: Tensor | None = None
        if strength != 1.0:
            self.seen = torch.zeros_like(logits, dtype=torch.bool)
            self.seen[0, prompt.to(logits.device)] = True

    def add(self, token: int) -> None:
        if self.seen is not None:
            self.seen[0, token] = True

    def __call__(self, logits: Tensor) -> Tensor:
        if self.seen is None:
            return logits
        weaker = torch.where(logits > 0, logits / self.strength, logits * self.strength)
        return torch.where(self.seen, weaker, logits)
