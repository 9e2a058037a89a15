"""One answer while it is made: which token is said next, what it adds to the text, and why it ends.

Knows nothing of how tokens are read: `sample_next` chooses from the logits that `set_logits` gave, and what is to be
read then stands in `pending`. Alone or in a batch an answer goes through the same moves.
Thoughts may have a budget. When it is used up, the tags that end them are put into the conversation as if the model had
written them, and it goes on with its answer; the same cache goes on too, so nothing that was seen is lost.
An answer that keeps a rule (`Budget.mask`) thinks as freely as any other; the rule begins behind its thoughts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import MOST, NgramProposer, Sampling, choose
from inkwash.engine.see.penalties import Penalties
from inkwash.engine.see.token_mask import TokenMask
from inkwash.models.glm_v.answer import ANSWER, END_ANSWER, END_THINK, THINK, AnswerStream, forced_ending, overlap
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.repetition import RepetitionDetector
from inkwash.models.glm_v.vision_input import VisionPrompt
from inkwash.nn.attention import SequenceCache, StaticCache
from inkwash.nn.finite import check_logits

CANCELLED = -1  # in place of a token
FinishReason = Literal["stop", "length", "repetition", "cancelled"]
Choose = Callable[[Tensor, Sampling, torch.Generator], int]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much may be said, and what ends it or is weighed against it.

    thinking: None is no bound of its own. detect_loops: end an answer that repeats.
    stop: texts at which the answer ends, left out of it; thoughts are not searched. stop_ids: tokens likewise.
    frequency_penalty, presence_penalty: taken from the logits of tokens said already, for each time and at all.
    logit_bias: added to the logits of tokens. mask: the rule that the answer keeps. logprobs: how many of the likeliest
    tokens are noted beside each token of the answer (0: the token alone; None: nothing).
    """

    max_new_tokens: int = 1024
    thinking: int | None = None
    detect_loops: bool = True
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    mask: TokenMask | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise RequestError(
                f"max_new_tokens is {self.max_new_tokens}, but must be at least 1.", param="max_new_tokens"
            )
        if self.thinking is not None and self.thinking < 0:
            raise RequestError(f"thinking_budget is {self.thinking}, but must be 0 or more.", param="thinking_budget")
        limits.check_real(
            "repetition_penalty",
            self.repetition_penalty,
            limits.MIN_REPETITION_PENALTY,
            limits.MAX_REPETITION_PENALTY,
            advice="1 turns it off",
        )
        for name in ("frequency_penalty", "presence_penalty"):
            if not -2 <= getattr(self, name) <= 2:
                raise RequestError(f"{name} is {getattr(self, name)}, but must be from -2 to 2.", param=name)
        if not all(self.stop):
            raise RequestError("stop holds an empty text: leave it out.", param="stop")


@dataclass(frozen=True)
class TokenLogprob:
    """One token of an answer: how likely the model found it, and the likeliest ones, before any penalty or rule."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass
class AnswerRecord:
    """What an answer leaves behind; `text` grows by every piece."""

    prompt: VisionPrompt
    cached: int = 0
    text: str = ""
    ids: list[int] = field(default_factory=list)
    thinking_tokens: int = 0
    forced: bool = False
    forced_places: list[int] = field(default_factory=list)  # places of tokens that were put in, not chosen
    finish: FinishReason = "length"
    stopped_by: str | int | None = None  # the text or token of `Budget.stop` or `stop_ids` that ended it
    logprobs: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class AnswerShared:
    """What all answers of a model share: its texts, the tokens that end them, how one is chosen and agreed on."""

    processor: GlmVProcessor
    stop_ids: frozenset[int]
    choose: Choose
    agree: Callable[[int], int]  # among the processes that hold shares of the model


class AnswerState:
    """One answer between its prompt and its end."""

    def __init__(
        self,
        run: AnswerRecord,
        cache: StaticCache,
        logits: Tensor,
        *,
        tokens: int,
        tables: Tensor,
        shared: AnswerShared,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None,
    ) -> None:
        self.run, self.cache, self.tokens, self.tables = run, cache, tokens, tables
        self.start = len(run.prompt.ids)
        self.done = False
        self.pending: list[int] = []  # the token said last and guesses behind it; empty where the cache holds it
        self._logits = logits
        self._expected: list[int] = []  # guessed tokens that the cache holds already, behind the last one said
        self._processor, self._stop_ids = shared.processor, shared.stop_ids
        self._sampling, self._budget, self._generator = sampling, budget, generator
        self._cancel, self._choose, self._agree = cancel, shared.choose, shared.agree
        self._answer = AnswerStream()
        self._loops = RepetitionDetector() if budget.detect_loops else None
        self._decode = DecodeStream(skip_special_tokens=False)
        self._penalty = Penalties(
            run.prompt.ids,
            logits,
            repetition=budget.repetition_penalty,
            frequency=budget.frequency_penalty,
            presence=budget.presence_penalty,
            bias=budget.logit_bias,
        )
        self._proposer = NgramProposer(run.prompt.ids.tolist())
        self._mask, self._masked = budget.mask, False  # the mask acts once the thoughts are over
        self._emitted = 0  # characters of the text that were given out
        self._thoughts_end = shared.processor.token_id(END_THINK) if budget.mask is not None else None
        self._forced = self._opening()  # to be said next, whatever the model would say

    @property
    def place(self) -> int:
        """Which token of the answer was said last: its line in the tables."""
        return len(self.run.ids) - 1

    @cached_property
    def layers(self) -> SequenceCache:
        """The cache for passes of rows on a CPU."""
        return SequenceCache(self.cache)

    @property
    def rotary(self) -> Tensor:
        """The lines of the tables (L, 2 R) of what is read next."""
        return self.tables[self.place : self.place + len(self.pending)]

    def sample_next(self) -> str:
        """Choose one token -> the text that is certain now; `done` where it was the last."""
        run = self.run
        masked = self._masked and not self._forced
        if self._forced:
            run.forced_places.append(len(run.ids))
        token = self._agree(self._choose_next(masked))
        if token == CANCELLED:
            return self._finish("cancelled")
        if self._mask is not None and not self._masked and self._thoughts_end is not None and token in self._stop_ids:
            token = self._thoughts_end  # an answer that keeps a rule cannot end within its thoughts
        run.ids.append(token)
        self._proposer.add(token)
        self._penalty.add(token)
        if token in self._stop_ids:  # for 4.1V the answer's closing tag is one
            return self._finish("stop", END_ANSWER if token == self._token(END_ANSWER) else "")
        if token in self._budget.stop_ids:
            run.stopped_by = token
            return self._finish("stop")
        piece = self._decode.step(self._processor.tokenizer, token) or ""
        if piece:
            run.text += piece
            self._answer.feed(piece)
        run.thinking_tokens += self._answer.thinking
        self._note(token)
        if masked and self._mask is not None:
            self._mask.take(token)
        reason = self._reason(token)
        text = self._emit()
        if self.done:
            return text
        if reason is not None:
            return text + self._finish(reason, END_ANSWER if masked and self._answer.tagged else "")
        if self._expected and self._expected[0] == token:
            self._logits, self._expected, self.pending = self._logits[1:], self._expected[1:], []
        else:
            self.pending = [token]
        return text

    def _choose_next(self, masked: bool) -> int:
        if self._cancel is not None and self._cancel.cancelled:
            return CANCELLED
        if self._forced:
            return self._forced.pop(0)
        logits = self._penalty(self._logits[:1])
        if masked and self._mask is not None:
            logits = self._mask.apply(logits)
        return self._choose(logits, self._sampling, self._generator)

    def _reason(self, token: int) -> FinishReason | None:
        """Why the answer ends behind this token, if it does; thoughts that go on for too long are ended here."""
        run = self.run
        if self._mask is not None and not self._masked and token == self._thoughts_end:
            self._masked = True
            self._forced = self._forced or self._processor.encode(ANSWER if self._tagged else "\n")
        looping = not self._forced and not self._masked and self._loops is not None and self._loops.add(token)
        thoughts = self.tokens // 2 if self._mask is not None else self.tokens  # a rule needs room for its answer
        most = thoughts if self._budget.thinking is None else self._budget.thinking
        spent = run.thinking_tokens >= most or (looping and self._mask is not None)
        if not run.forced and self._answer.thinking and spent:
            self._forced = self._ending()
        elif looping:
            return "repetition"
        if self._masked and self._mask is not None and self._mask.complete:
            return "stop"
        return "length" if len(run.ids) >= self.tokens else None

    def _emit(self, *, last: bool = False) -> str:
        """The text that was not given out yet and belongs to no stop text; finding one ends the answer."""
        run, stops, keep = self.run, self._budget.stop, 0
        if stops and self._answer.answering:
            thoughts = run.text.rfind(END_THINK)
            start = max(0 if thoughts < 0 else thoughts + len(END_THINK), self._emitted)
            found = [(place, stop) for stop in stops if (place := run.text.find(stop, start)) >= 0]
            if found:
                place, run.stopped_by = min(found)
                self._forget_noted(len(run.text) - place)
                run.text = run.text[:place]
                self._end("stop")
            elif not last:
                keep = overlap(run.text[start:], stops)
        text = run.text[self._emitted : len(run.text) - keep]
        self._emitted += len(text)
        return text

    def _forget_noted(self, characters: int) -> None:
        """Drop the notes on tokens that are cut off with so many characters."""
        noted = self.run.logprobs
        while noted and characters > 0:
            characters -= len(self._processor.decode([noted[-1].token]))
            if characters >= 0:
                noted.pop()

    def _note(self, token: int) -> None:
        """Write down how likely a token of the answer was."""
        count = self._budget.logprobs
        if count is None or not self._answer.speaking or token in self._tags:
            return
        chances = self._logits[0].float().log_softmax(-1)
        values, ids = chances.topk(min(count, len(chances)))
        top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
        self.run.logprobs.append(TokenLogprob(token, float(chances[token]), top))

    @cached_property
    def _tags(self) -> frozenset[int]:
        return frozenset(self._processor.tokenizer.get_added_tokens_decoder())

    @property
    def _tagged(self) -> bool:
        return self._processor.style == "tagged"

    def _token(self, text: str) -> int | None:
        found: int | None = self._processor.tokenizer.token_to_id(text)
        return found

    def guess(self) -> None:
        """Add to what is read next what may follow it."""
        self._expected = [] if self._forced else self._proposer.propose(MOST)
        self.pending = [*self.pending[:1], *self._expected]

    def set_logits(self, logits: Tensor) -> None:
        """The logits (L, vocabulary) of what was to be read."""
        self._logits = logits
        if logits.shape[0] == 1:
            self._expected = []

    def _end(self, reason: FinishReason) -> None:
        self.run.finish, self.done, self.pending = reason, True, []

    def _finish(self, reason: FinishReason, closing: str = "") -> str:
        """The end of the answer: what is left to tell."""
        self.run.text += closing
        self._end(reason)
        return self._emit(last=True)

    def _opening(self) -> list[int]:
        """What is said first: no thoughts where they are forbidden, thoughts before an answer that keeps a rule."""
        if self._mask is not None and self.run.prompt.text.endswith(END_THINK):
            self._masked = True
            return self._processor.encode("\n")
        if self._budget.thinking == 0:
            return self._ending()
        if self._mask is not None:
            return self._processor.encode(THINK if self._tagged else f"\n{THINK}")
        return []

    def _ending(self) -> list[int]:
        """The tags that end thoughts here, as tokens."""
        run = self.run
        run.forced = True
        text = forced_ending(run.text, self._processor.style)
        if not text and self._budget.thinking == 0 and not run.text:
            text = "\n<think></think>"
        return self._processor.encode(text)


def choose_token(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The likeliest token, or one by the sampling and the generator's next number."""
    check_logits("The model", logits)
    if sampling.temperature == 0:
        return int(logits.argmax())
    uniform = torch.rand(1, generator=generator, device=generator.device).to(logits.device)
    return int(choose(logits, uniform, sampling))
