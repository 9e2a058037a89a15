"""The AR stage of many requests at once: prompts are read, sequences join and leave the slots, plans come out.

One thread at a time runs a planner. Between two steps it lets new sequences in, drops those whose request has ended,
and hands out what is ready; an error belongs to the one request that caused it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inkwash.engine.ar import PlanSequence, Prefix, Slots, read_prompt
from inkwash.engine.drawing import Drawing
from inkwash.engine.estimate import Speeds
from inkwash.engine.jobs import Job, as_outcome
from inkwash.engine.output import Plan, upsample
from inkwash.engine.plan_choice import PlanChoice, candidate_uniforms
from inkwash.engine.request import Watch
from inkwash.engine.stages import make_plan
from inkwash.models.glm_image.processor import ImagePrompt

if TYPE_CHECKING:
    from inkwash.core.errors import InkwashError
    from inkwash.engine.pipeline import GlmImagePipeline


@dataclass(eq=False)
class RequestSequence(PlanSequence):
    """A sequence of one request, and the pictures that will be drawn from it."""

    job: Job = field(kw_only=True)
    read: Prefix = field(kw_only=True)  # its prompt
    prompt: ImagePrompt = field(kw_only=True)
    semantic_ids: list[Tensor] = field(kw_only=True)
    pictures: list[int] = field(kw_only=True)
    choice: PlanChoice = field(kw_only=True)
    number: int = field(kw_only=True)  # which candidate of the choice

    def count_tokens(self, tokens: int) -> None:
        """Progress; that of further candidates is none of its own."""
        if self.number == 0:
            self.job.count_tokens(tokens)

    @property
    def preview_tokens(self) -> int:
        """How many tokens the preview takes, 0 without one."""
        return self.tokens - self.prompt.target[0] * self.prompt.target[1]


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the planner reports to: a finished plan, a finished preview, a request that failed."""

    planned: Callable[[Job, int, Plan], None]
    previewed: Callable[[RequestSequence, Tensor], None]
    failed: Callable[[Job, InkwashError], object]


class Planner:
    """Slots, the sequences in them and those that wait for one."""

    def __init__(self, pipe: GlmImagePipeline, slots: int, speeds: Speeds, hooks: Hooks) -> None:
        self.pipe, self.count, self.speeds, self.hooks = pipe, slots, speeds, hooks
        self._slots: Slots | None = None
        self._edition = -1
        self._waiting: deque[RequestSequence] = deque()
        self._active: list[RequestSequence] = []

    @property
    def busy(self) -> bool:
        """Whether any sequence is unfinished."""
        return bool(self._active or self._waiting)

    @property
    def has_free_slot(self) -> bool:
        """Whether another request's sequences would find a slot now."""
        return len(self._active) + len(self._waiting) < self.count

    def admit(self, job: Job) -> None:
        """Check a request against the model, read its prompt, and let its sequences wait for slots."""
        if job.ended:
            return
        job.begin()
        try:
            self._prepare(job)
        except Exception as error:
            self.hooks.failed(job, as_outcome(error, job.handle))

    def step(self, limit: int | None = None) -> None:
        """Fill the slots, then take one step of each sequence, or only of the `limit` oldest.

        Where the generator's weights come and go (`engine.offload`), all that is waiting is drawn to its end instead.
        """
        stages = self.pipe.stages
        if stages.residency is None:
            self._step(limit)
            return
        with stages.resident("ar"):
            while self.busy:
                self._step(None)
            self._slots = None  # holds weights

    def _step(self, limit: int | None) -> None:
        slots = self._current_slots()
        while self._waiting and slots.free:
            sequence = self._waiting.popleft()
            if not sequence.job.ended and self._guarded(sequence, partial(slots.join, sequence)):
                self._active.append(sequence)
                sequence.count_tokens(sequence.count)
        self._settle(slots)
        chosen = self._active[:limit]
        if not chosen:
            return
        start = time.perf_counter()
        before = [sequence.count for sequence in chosen]
        self._advance(slots, chosen)
        drawn = [sequence.count - count for sequence, count in zip(chosen, before, strict=True)]
        if any(drawn):
            self.speeds.saw_tokens(sum(drawn), time.perf_counter() - start)
        for sequence, tokens in zip(chosen, drawn, strict=True):
            if tokens:
                sequence.count_tokens(tokens)
            if sequence.number:
                continue  # the preview that is shown is that of the first candidate
            if sequence.count - tokens < sequence.preview_tokens <= sequence.count:
                self.hooks.previewed(sequence, slots.plan(sequence)[: sequence.preview_tokens])
        self._settle(slots)

    def _prepare(self, job: Job) -> None:
        request, stages = job.request, self.pipe.stages
        prepared = job.prepared = self.pipe.prepare(request)
        if job.plan is not None:
            plan = Drawing(stages, prepared, Watch(cancel=job.cancel)).plan(job.plan)
            for index in range(request.num_images):
                self.hooks.planned(job, index, plan.of_picture(index))
            return
        prompt = prepared.prompts[0]
        semantic_ids = [each.cpu() for each in stages.semantic_ids([prompt])[0]]
        with stages.resident("ar"):
            prefix = read_prompt(stages.parts.ar, prompt, semantic_ids)
        (judge,) = stages.judges([request.prompt], [prompt], [semantic_ids], prepared.candidates)
        shared = request.layout == "same"
        for index in range(1 if shared else request.num_images):
            self._sample_next(
                RequestSequence(
                    prefix,
                    torch.empty(0),
                    prepared.sampling,
                    job=job,
                    read=prefix,
                    prompt=prompt,
                    semantic_ids=semantic_ids,
                    pictures=list(range(request.num_images)) if shared else [index],
                    choice=PlanChoice(judge, prepared.candidates),
                    number=0,
                )
            )

    def _sample_next(self, sequence: RequestSequence) -> bool:
        """Let the next candidates of a picture wait, made after one of them; False when the best is found."""
        assert sequence.job.prepared is not None, "what is planned was prepared"
        numbers = sequence.choice.next_round()
        for number in numbers:
            plan_seed = sequence.job.prepared.plan_seeds[sequence.pictures[0]]
            uniforms = candidate_uniforms(plan_seed, number, sequence.tokens)
            self._waiting.append(
                replace(
                    sequence,
                    prefix=sequence.choice.prefix(number, sequence.read),
                    uniforms=uniforms,
                    number=number,
                    slot=None,
                    count=0,
                    drawn=[],
                    numbers=[],
                    proposer=None,
                )
            )
        return bool(numbers)

    def _settle(self, slots: Slots) -> None:
        """Let go of sequences that are done or that nobody waits for."""
        for sequence in [each for each in self._active if each.finished or each.job.ended]:
            self._active.remove(sequence)
            if sequence.finished and not sequence.job.ended:
                self._guarded(sequence, partial(self._hand_out, slots, sequence))
            slots.leave(sequence)
        self._waiting = deque(sequence for sequence in self._waiting if not sequence.job.ended)

    def _hand_out(self, slots: Slots, sequence: RequestSequence) -> None:
        rows, columns = sequence.prompt.target
        sequence.choice.add(sequence.number, slots.plan(sequence)[-rows * columns :])
        if sequence.choice.open or self._sample_next(sequence):
            return
        prior = upsample(sequence.choice.best, (rows, columns))[None]
        plan = make_plan(prior, [sequence.prompt], [sequence.semantic_ids])
        sequence.job.planned = time.monotonic()
        for index in sequence.pictures:
            self.hooks.planned(sequence.job, index, plan)

    def _advance(self, slots: Slots, sequences: list[RequestSequence]) -> None:
        """One step for all; if it fails, one by one, so that the one at fault is found and the others go on."""
        try:
            slots.advance(sequences)
            return
        except Exception as error:
            if len(sequences) == 1:
                self.hooks.failed(sequences[0].job, as_outcome(error, sequences[0].job.handle))
                return
        for each in sequences:
            self._guarded(each, partial(slots.advance, [each]))

    def _guarded(self, sequence: RequestSequence, work: Callable[[], object]) -> bool:
        try:
            work()
        except Exception as error:
            self.hooks.failed(sequence.job, as_outcome(error, sequence.job.handle))
            return False
        return True

    def _current_slots(self) -> Slots:
        """The slots, made anew when the weights changed while they were empty (an adapter was set)."""
        if self._slots is None or not self._active:
            ar = self.pipe.parts.ar
            edition = weights_edition(ar)
            if self._slots is None or edition != self._edition:
                self._slots, self._edition = self.pipe.stages.slots(self.count), edition
        return self._slots


def weights_edition(module: torch.nn.Module) -> int:
    """A number that grows whenever a weight is written."""
    return sum(parameter._version for parameter in module.parameters())
