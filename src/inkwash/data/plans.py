"""Batches of prompts and pictures for the AR generator: drawing from words, and editing a picture.

Words only appear in capitals on the pictures of level `first`; people also type them in small letters, so a
share of the captions does, too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from inkwash.data.loader import Batch
from inkwash.data.scenes import Phase, half_size, phase_at, step_rng
from inkwash.scenes.caption import caption
from inkwash.scenes.edit import Edit, sample_edit
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.render import render


@dataclass(frozen=True, kw_only=True)
class PlanBatches:
    """{"prompts": list of str, "half": uint8 (B, H/2, W/2, 3), "preview": bool}, and for edits also
    {"sources": list over references of uint8 (B, H/2, W/2, 3)}.

    `preview_from` is the step from which text-to-image batches carry a preview grid before the target, as in
    use; before it the plan is the target alone, which is shorter and teaches spelling sooner.
    """

    seed: int
    phases: tuple[Phase, ...]
    preview_from: int
    edits: float = 0.25
    level: str = "first"
    small_letters: float = 0.08

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        phase = phase_at(self.phases, step)
        width, height = rng.choice(phase.canvases)
        if rng.random() < self.edits:
            return self._edits(rng, width, height, phase.batch)
        preview = step >= self.preview_from
        count = max(1, phase.batch // 2) if preview else phase.batch
        scenes = [
            sample_scene(rng, width=width, height=height, level=self.level, random_words=0.5) for _ in range(count)
        ]
        prompts = [self._typed(caption(scene, rng), [t.text for t in scene.texts], rng) for scene in scenes]
        half = np.stack([half_size(render(scene)) for scene in scenes])
        return {"prompts": prompts, "half": half, "preview": preview}

    def _edits(self, rng: random.Random, width: int, height: int, count: int) -> Batch:
        edits: list[Edit] = []
        references = rng.choice((1, 1, 1, 2))
        while len(edits) < count:
            edit = sample_edit(rng, width=width, height=height)
            if len(edit.sources) == references:
                edits.append(edit)
            elif references == 2:
                references = len(edit.sources) if not edits else references
        sources = [np.stack([half_size(render(e.sources[i])) for e in edits]) for i in range(references)]
        half = np.stack([half_size(render(e.target)) for e in edits])
        return {"prompts": [e.instruction for e in edits], "half": half, "preview": False, "sources": sources}

    def _typed(self, prompt: str, texts: list[str], rng: random.Random) -> str:
        if rng.random() < self.small_letters:
            for text in texts:
                prompt = prompt.replace(f'"{text}"', f'"{rng.choice((text.lower(), text.capitalize()))}"')
        return prompt
