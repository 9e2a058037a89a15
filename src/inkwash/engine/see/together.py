"""Continuous batching of answers: conversations come at any time, say one token each in every round, leave when done.

    together = Together(speaker, slots=8)
    for piece in together.generate(run, sampling, budget, generator): ...   # from any thread

A round reads one chunk of one waiting prompt and lets every answer that has begun say a token; then all of them are
read together (`Speaker.hear`). So a long prompt holds nobody up for longer than a chunk, and an answer has the tokens
that it has alone. The rounds run in one thread, which ends when there is nothing left to say. Nothing is decoded in it:
callers bring pictures and videos in memory, and what turns out to be missing is read beside the rounds.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inkwash.core import log as logs
from inkwash.engine.request import CancelToken
from inkwash.engine.sampling import Sampling
from inkwash.engine.see.generation import Speaker
from inkwash.engine.see.prefix import Keys, prompt_keys
from inkwash.engine.see.speech import Budget, Run, Speech
from inkwash.engine.speculate import MOST
from inkwash.nn.cache import StaticCache

log = logs.get(__name__)

Rounds = Callable[[], bool]
SLOTS = 8


@dataclass(eq=False)
class _Entry:
    """One answer that somebody waits for."""

    run: Run
    tokens: int
    sampling: Sampling
    budget: Budget
    generator: torch.Generator
    cancel: CancelToken | None
    heard: queue.SimpleQueue[str | Exception | None] = field(default_factory=queue.SimpleQueue)
    left: bool = False  # the one who waited has gone
    keys: Keys | None = None
    cache: StaticCache | None = None
    reading: Generator[None, None, Tensor] | None = None
    speech: Speech | None = None
    decoding: bool = False  # its pixels are being read in another thread
    failed: Exception | None = None  # what that has ended with


class Together:
    """A speaker shared by many callers; `generate` is that of `Speaker`."""

    def __init__(self, speaker: Speaker, *, slots: int = SLOTS, run: Callable[[Rounds], None] | None = None) -> None:
        """``slots``: answers made at once, more wait. ``run`` makes rounds until one is False, in another thread."""
        self.speaker, self.slots = speaker, slots
        self.run = run or in_thread
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._entries: list[_Entry] = []
        self._running = False
        self.rounds = 0
        self.most = 0  # answers that were read together in one round

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
        run: Run,
        sampling: Sampling,
        budget: Budget,
        generator: torch.Generator,
        cancel: CancelToken | None = None,
    ) -> Iterator[str]:
        """The answer in pieces, made beside those of other callers."""
        entry = _Entry(run, self.speaker.room(run, budget), sampling, budget, generator, cancel)
        with self._lock:
            self._waiting.append(entry)
            start, self._running = not self._running, True
        if start:
            self._start(entry)
        try:
            while (piece := entry.heard.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            entry.left = True

    def _start(self, entry: _Entry) -> None:
        """Begin the rounds; where no thread is to be had, the answer is given up and the next one tries again."""
        try:
            self.run(self.round)
        except BaseException:
            with self._lock:
                self._running = False
                self._waiting.remove(entry)
            raise

    def round(self) -> bool:
        """One round; False where nobody waits any more, and whoever comes next starts the rounds again."""
        with self._lock:
            while self._waiting and len(self._entries) < self.slots:
                self._entries.append(self._waiting.popleft())
            if not self._entries:
                self._running = False
                return False
        self._read()
        self._speak()
        self.rounds += 1
        if self._entries and all(entry.decoding for entry in self._entries):
            time.sleep(0.005)  # nothing to do until one is ready
        return True

    def _read(self) -> None:
        """One chunk of the prompt that has waited longest."""
        entry = next((entry for entry in self._entries if entry.speech is None and not entry.decoding), None)
        if entry is None:
            return
        if entry.left or entry.failed is not None:
            self._leave(entry, entry.failed)
            return
        try:
            if entry.keys is None:
                entry.keys = prompt_keys(entry.run.prompt)
                entry.cache, entry.run.cached = self.speaker.prefixes.take(entry.keys, entry.tokens + MOST)
                if unread := self.speaker.unread(entry.run.prompt, entry.run.cached):
                    self._decode(entry, unread)
                    return
            if entry.reading is None:
                assert entry.cache is not None
                entry.reading = self.speaker.reading(entry.run.prompt, entry.cache, entry.run.cached, entry.cancel)
            next(entry.reading)
        except StopIteration as end:
            self._begin(entry, end.value)
        except Exception as error:
            self._leave(entry, error)

    def _decode(self, entry: _Entry, sights: frozenset[int]) -> None:
        """Read the pixels of a prompt beside the rounds: a conversation that knew them has gone meanwhile."""

        def work() -> None:
            try:
                entry.run.prompt = entry.run.prompt.decoded(sights)
            except Exception as error:
                entry.failed = error
            finally:
                entry.decoding = False

        entry.decoding = True
        threading.Thread(target=work, name="inkwash-media", daemon=True).start()

    def _begin(self, entry: _Entry, logits: Tensor) -> None:
        assert entry.cache is not None
        entry.speech = self.speaker.speech(
            entry.run, entry.cache, logits, entry.tokens, entry.sampling, entry.budget, entry.generator, entry.cancel
        )

    def _speak(self) -> None:
        """A token of every answer that has begun, then all of them read at once."""
        speeches: list[Speech] = []
        for entry in [entry for entry in self._entries if entry.speech is not None]:
            assert entry.speech is not None
            try:
                piece = "" if entry.left else entry.speech.say()
            except Exception as error:
                self._leave(entry, error)
                continue
            if piece:
                entry.heard.put(piece)
            if entry.left or entry.speech.done:
                self._leave(entry, None)
            else:
                speeches.append(entry.speech)
        self.most = max(self.most, len(speeches))
        try:
            self.speaker.hear(speeches)
        except Exception as error:  # no answer may wait for ever
            log.exception("reading %d answers failed", len(speeches))
            for entry in list(self._entries):
                if entry.speech in speeches:
                    self._leave(entry, error)

    def _leave(self, entry: _Entry, error: Exception | None) -> None:
        """The end of an answer: its conversation is kept where its prompt was read."""
        with self._lock:
            self._entries.remove(entry)
        if entry.speech is not None and entry.cache is not None and entry.keys is not None and error is None:
            self.speaker.keep(entry.run, entry.cache, entry.keys)
        entry.heard.put(error)


def in_thread(rounds: Rounds) -> None:
    """Make rounds in a thread that ends with them."""

    def work() -> None:
        while rounds():
            pass

    threading.Thread(target=work, name="inkwash-answers", daemon=True).start()
