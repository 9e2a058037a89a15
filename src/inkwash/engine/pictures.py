"""What a decode worker does for a request: a look at its plan, then the picture, with guesses at it on the way.

Nothing here takes the engine's lock: a job tells its own events, and its end is the engine's business.
"""

from __future__ import annotations

import logging
import time

from torch import Tensor

from inkwash.engine import events
from inkwash.engine.denoise import StepCallback, StepState
from inkwash.engine.estimate import Speeds
from inkwash.engine.jobs import Job
from inkwash.engine.output import GlmImagePipelineOutput, Plan
from inkwash.engine.partials import draw_preview, show_guess, spread_steps
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.planner import RequestSequence, weights_edition
from inkwash.engine.reference_cache import ReferenceCache
from inkwash.engine.request import Progress

log = logging.getLogger(__name__)


class PictureDrawer:
    """Draws the pictures of jobs with one pipeline, from any thread."""

    def __init__(self, pipe: GlmImagePipeline, speeds: Speeds, references: ReferenceCache) -> None:
        self.pipe, self.speeds, self.references = pipe, speeds, references
        self._edition = -1

    def preview(self, sequence: RequestSequence, index: int, tokens: Tensor) -> None:
        """Tell a look at a picture whose preview tokens are there."""
        job = sequence.job
        if index in job.denoised:
            return  # the picture itself is already being drawn
        try:
            image = draw_preview(self.pipe, job.picture_request(index), tokens, sequence.prompt.target, job.cancel)
        except Exception as error:  # a preview is a courtesy: the request goes on without it
            if not job.ended:
                log.warning("no preview for request %s: %s", job.handle.id, error)
            return
        job.tell(events.Partial(index=index, image=image, kind="preview"))

    def draw(self, job: Job, index: int, plan: Plan) -> GlmImagePipelineOutput:
        """Denoise and decode one picture; raises what stops it."""
        job.begin()
        job.denoised.setdefault(index, 0)
        start = time.perf_counter()

        def progress(state: Progress) -> None:
            if state.stage == "denoise":
                job.count_step(index, state.done, state.total)

        self._forget_old_weights()
        assert job.prepared is not None, "what is planned was prepared"
        output = self.pipe.draw(
            job.prepared.picture(index),
            plan=plan,
            on_step=self._guesses(job, index),
            progress=progress,
            cancel=job.cancel,
        )
        self.speeds.saw_picture(job.work, time.perf_counter() - start)
        return output

    def _guesses(self, job: Job, index: int) -> StepCallback | None:
        """The callback that shows the decoder's guesses, at the steps where partial pictures are due."""
        previewed = job.plan is None and not job.request.images
        due = spread_steps(job.work.steps, job.partial_images - previewed) if job.partial_images > previewed else []
        if not due:
            return None

        def show(state: StepState) -> None:
            if state.index in due and not job.ended:
                job.tell(events.Partial(index=index, image=show_guess(self.pipe.stages, state.x0), kind="x0"))

        return show

    def _forget_old_weights(self) -> None:
        """An adapter that was set makes kept reference keys wrong."""
        if self.pipe.stages.residency is not None:
            return  # weights that come and go take no adapters
        edition = weights_edition(self.pipe.parts.decoder)
        if edition != self._edition:
            self.references.clear()
            self._edition = edition
