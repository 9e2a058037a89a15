"""Continuous batching of answers: conversations come at any time, get one token each in every step, leave when done.

    batcher = AnswerBatcher(answers, slots=8)
    for piece in batcher.generate(run, sampling, budget, generator): ...   # from any thread

A step prefills one chunk of one waiting prompt and samples a token of every answer that has begun; then all of them are
read in one pass (`AnswerGenerator.forward`). So a long prompt delays nobody for longer than a chunk, and an answer has
the tokens that it has alone. The steps run in one thread, which ends when no answer is left. No media are decoded in
it: callers bring pictures and videos in memory, and what turns out to be missing is read in another thread.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import MOST, Sampling
from inkwash.engine.see.answer_state import AnswerRecord, AnswerState, Budget
from inkwash.engine.see.generator import AnswerGenerator
from inkwash.engine.see.prefix import Keys, prompt_keys
from inkwash.nn.attention import StaticCache

log = logging.getLogger(__name__)

StepFn = Callable[[], bool]
SLOTS = 8


@dataclass(eq=False)
class _Entry:
    """One answer that somebody waits for."""

    run: AnswerRecord
    tokens: int
    sampling: Sampling
    budget: Budget
    generator: torch.Generator
    cancel: CancelToken | None
    pieces: queue.SimpleQueue[str | Exception | None] = field(default_factory=queue.SimpleQueue)
    left: bool = False  # the one who waited has gone
    keys: Keys | None = None
    cache: StaticCache | None = None
    prefill: Generator[None, None, Tensor] | None = None
    state: AnswerState | None = None
    decoding: bool = False  # its pixels are being read in another thread
    failed: Exception | None = None  # what that has ended with


class AnswerBatcher:
    """An `AnswerGenerator` shared by many callers, with the same `generate`."""

    def __init__(
        self, answers: AnswerGenerator, *, slots: int = SLOTS, run: Callable[[StepFn], None] | None = None
    ) -> None:
        """`slots`: answers made at once, more wait. `run` calls a step until it is False, in another thread."""
        self.answers, self.slots = answers, slots
        self.run = run or in_thread
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._entries: list[_Entry] = []
        self._running = False
        self.steps = 0
        self.largest_batch = 0  # answers that were read in one pass

    @property
    def waiting(self) -> int:
        """Answers that wait for a slot."""
        return len(self._waiting)

    @property
    def answering(self) -> int:
        """Answers in slots."""
        return len(self._entries)

    def generate(
        self,
        run: AnswerRecord,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None = None,
    ) -> Iterator[str]:
        """The answer in pieces, made beside those of other callers."""
        entry = _Entry(run, self.answers.answer_length(run, budget), sampling, budget, generator, cancel)
        with self._lock:
            self._waiting.append(entry)
            start, self._running = not self._running, True
        if start:
            self._start(entry)
        try:
            while (piece := entry.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            entry.left = True

    def _start(self, entry: _Entry) -> None:
        """Begin the steps; where no thread is to be had, the answer is given up and the next one tries again."""
        try:
            self.run(self.step)
        except BaseException:
            with self._lock:
                self._running = False
                self._waiting.remove(entry)
            raise

    def step(self) -> bool:
        """One step; False where nobody waits any more, and whoever comes next starts the steps again."""
        with self._lock:
            while self._waiting and len(self._entries) < self.slots:
                self._entries.append(self._waiting.popleft())
            if not self._entries:
                self._running = False
                return False
        self._prefill()
        self._sample_all()
        self.steps += 1
        if self._entries and all(entry.decoding for entry in self._entries):
            time.sleep(0.005)  # nothing to do until one is ready
        return True

    def _prefill(self) -> None:
        """One chunk of the prompt that has waited longest."""
        entry = next((entry for entry in self._entries if entry.state is None and not entry.decoding), None)
        if entry is None:
            return
        if entry.left or entry.failed is not None:
            self._leave(entry, entry.failed)
            return
        try:
            if entry.keys is None:
                entry.keys = prompt_keys(entry.run.prompt)
                entry.cache, entry.run.cached = self.answers.prefixes.take(entry.keys, entry.tokens + MOST)
                if unread := self.answers.unread(entry.run.prompt, entry.run.cached):
                    self._decode(entry, unread)
                    return
            if entry.prefill is None:
                assert entry.cache is not None
                entry.prefill = self.answers.prefill(entry.run.prompt, entry.cache, entry.run.cached, entry.cancel)
            next(entry.prefill)
        except StopIteration as end:
            self._begin(entry, end.value)
        except Exception as error:
            self._leave(entry, error)

    def _decode(self, entry: _Entry, vision_inputs: frozenset[int]) -> None:
        """Read the pixels of a prompt in another thread: a conversation that knew them has gone meanwhile."""

        def work() -> None:
            try:
                entry.run.prompt = entry.run.prompt.decoded(vision_inputs)
            except Exception as error:
                entry.failed = error
            finally:
                entry.decoding = False

        entry.decoding = True
        threading.Thread(target=work, name="inkwash-media", daemon=True).start()

    def _begin(self, entry: _Entry, logits: Tensor) -> None:
        assert entry.cache is not None
        entry.state = self.answers.begin_answer(
            entry.run, entry.cache, logits, entry.tokens, entry.sampling, entry.budget, entry.generator, entry.cancel
        )

    def _sample_all(self) -> None:
        """A token of every answer that has begun, then all of them read at once."""
        states: list[AnswerState] = []
        for entry in [entry for entry in self._entries if entry.state is not None]:
            assert entry.state is not None
            try:
                piece = "" if entry.left else entry.state.sample_next()
            except Exception as error:
                self._leave(entry, error)
                continue
            if piece:
                entry.pieces.put(piece)
            if entry.left or entry.state.done:
                self._leave(entry, None)
            else:
                states.append(entry.state)
        self.largest_batch = max(self.largest_batch, len(states))
        try:
            self.answers.forward(states)
        except Exception as error:  # no answer may wait for ever
            log.exception("reading %d answers failed", len(states))
            for entry in list(self._entries):
                if entry.state in states:
                    self._leave(entry, error)

    def _leave(self, entry: _Entry, error: Exception | None) -> None:
        """The end of an answer: its conversation is kept where its prompt was read."""
        with self._lock:
            self._entries.remove(entry)
        if entry.state is not None and entry.cache is not None and entry.keys is not None and error is None:
            self.answers.keep(entry.run, entry.cache, entry.keys)
        entry.pieces.put(error)


def in_thread(step: StepFn) -> None:
    """Call a step until it returns False, in a thread that ends then."""

    def work() -> None:
        while step():
            pass

    threading.Thread(target=work, name="inkwash-answers", daemon=True).start()
