"""One answer while it is made: which token is said next, what it adds to the text, and why it ends.

Knows nothing of how tokens are read: `say` chooses from the logits that it was given, and what is to be read then
stands in `reading`. Alone or in company an answer goes through the same moves.
Thoughts may have a budget. When it is used up, the tags that end them are put into the conversation as if the model had
written them, and it goes on with its answer; the same cache goes on too, so nothing that was seen is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from tokenizers.decoders import DecodeStream
from torch import Tensor

from inkwash.core.errors import RequestError
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import Sampling, choose
from inkwash.engine.see.drafts import Drafts
from inkwash.models.glm_v.answer import END_ANSWER, AnswerStream, forced_ending
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.repetition import RepetitionDetector
from inkwash.models.glm_v.sights import Prompt
from inkwash.models.glm_v.step_cpu import CpuStep
from inkwash.nn.cache import StaticCache
from inkwash.nn.finite import check_logits

CANCELLED = -1  # in place of a token
FinishReason = Literal["stop", "length", "repetition", "cancelled"]
Choose = Callable[[Tensor, Sampling, torch.Generator], int]


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
    """What an answer leaves behind; `text` grows by every piece."""

    prompt: Prompt
    cached: int = 0
    text: str = ""
    ids: list[int] = field(default_factory=list)
    thinking_tokens: int = 0
    forced: bool = False
    finish: FinishReason = "length"


class Speech:
    """One answer between its prompt and its end."""

    def __init__(
        self,
        run: Run,
        cache: StaticCache,
        logits: Tensor,
        *,
        tokens: int,
        tables: tuple[Tensor, Tensor],
        processor: GlmVProcessor,
        stop_ids: frozenset[int],
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None,
        choose: Choose,
        agree: Callable[[int], int],
    ) -> None:
        self.run, self.cache, self.tokens, self.tables = run, cache, tokens, tables
        self.start = len(run.prompt.ids)
        self.done = False
        self.reading: list[int] = []  # the token said last and guesses behind it; empty where the cache holds it
        self.step: CpuStep | None = None  # its buffers where it is decoded on a CPU
        self._logits = logits
        self._expected: list[int] = []  # guessed tokens that the cache holds already, behind the last one said
        self._processor, self._stop_ids = processor, stop_ids
        self._sampling, self._budget, self._generator = sampling, budget, generator
        self._cancel, self._choose, self._agree = cancel, choose, agree
        self._answer = AnswerStream()
        self._loops = RepetitionDetector() if budget.detect_loops else None
        self._decode = DecodeStream(skip_special_tokens=False)
        self._penalty = _Penalty(run.prompt.ids, logits, budget.repetition_penalty)
        self._drafts = Drafts(run.prompt.ids.tolist())
        self._forced = self._ending() if budget.thinking == 0 else []  # to be said next, whatever the model would say

    @property
    def place(self) -> int:
        """Which token of the answer was said last: its line in the tables."""
        return len(self.run.ids) - 1

    def say(self) -> str:
        """Choose one token -> the text that it completes; `done` where it was the last."""
        run = self.run
        if self._cancel is not None and self._cancel.cancelled:
            token = CANCELLED
        elif self._forced:
            token = self._forced.pop(0)
        else:
            token = self._choose(self._penalty(self._logits[:1]), self._sampling, self._generator)
        if (token := self._agree(token)) == CANCELLED:
            return self._end("cancelled")
        run.ids.append(token)
        self._drafts.add(token)
        self._penalty.add(token)
        if token in self._stop_ids:  # for 4.1V the answer's closing tag is one
            closing = END_ANSWER if token == self._processor.tokenizer.token_to_id(END_ANSWER) else ""
            run.text += closing
            return closing + self._end("stop")
        piece = self._decode.step(self._processor.tokenizer, token) or ""
        if piece:
            run.text += piece
            self._answer.feed(piece)
        run.thinking_tokens += self._answer.thinking
        most_thoughts = self.tokens if self._budget.thinking is None else self._budget.thinking
        if not run.forced and self._answer.thinking and run.thinking_tokens >= most_thoughts:
            self._forced = self._ending()
        if not self._forced and self._loops is not None and self._loops.add(token):
            return piece + self._end("repetition")
        if len(run.ids) >= self.tokens:
            return piece + self._end("length")
        if self._expected and self._expected[0] == token:
            self._logits, self._expected, self.reading = self._logits[1:], self._expected[1:], []
        else:
            self.reading = [token]
        return piece

    def guess(self) -> None:
        """Add to what is read next what may follow it."""
        self._expected = [] if self._forced else self._drafts.guess(missed=len(self._expected))
        self.reading = [*self.reading[:1], *self._expected]

    def heard(self, logits: Tensor) -> None:
        """The logits (L, vocabulary) of what was to be read."""
        self._logits = logits
        if logits.shape[0] == 1:
            self._expected = []

    def _end(self, reason: FinishReason) -> str:
        self.run.finish, self.done, self.reading = reason, True, []
        return ""

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
