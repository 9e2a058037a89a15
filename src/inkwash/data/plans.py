"""Batches of prompts and pictures for the AR generator: drawing from words, and editing a picture.

Words only appear in capitals on the pictures of level `first`; people also type them in small letters, so a
share of the captions does, too.

Where a prompt does not say where its texts stand, they stand in the middle. Left free, a text would begin in each
row with a small probability, and nucleus sampling cuts small probabilities off: texts were then left out altogether.
The same holds for shapes; theirs are the middle of the top and of the bottom.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from inkwash.data.loader import Batch
from inkwash.data.scenes import Phase, card_prompt, half_size, phase_at, step_rng, training_edit, training_scene
from inkwash.scenes.caption import describe
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import CARD, POSTER, find_level
from inkwash.scenes.render import render
from inkwash.scenes.scene import Edit, Scene, fits
from inkwash.scenes.second import usual_box, usual_items

ATTEMPTS = 5000  # about 1 in 70 scenes with two texts has both of them in the middle


def in_the_middle(scene: Scene) -> bool:
    """Whether the texts stand where nobody asked for a place: centred lines about the middle row, two rows apart."""
    starts = [text.cells[0] for text in scene.texts]
    first = (scene.rows - 1) // 2 - (len(starts) - 1)
    return all(
        (row, column) == (max(0, first) + 2 * i, (scene.cols - len(text.cells)) // 2)
        for i, ((row, column), text) in enumerate(zip(starts, scene.texts, strict=True))
    )


def settled(scene: Scene) -> Scene:
    """The scene with its shapes moved to the usual places, as far as they are free."""
    for shape in scene.objects:
        there = replace(shape, box=usual_box(shape, scene))
        others = replace(scene, objects=tuple(o for o in scene.objects if o is not shape))
        if fits(there, others):
            scene = replace(scene, objects=tuple(there if o is shape else o for o in scene.objects))
    return scene


def in_usual_places(scene: Scene, named: Collection[str]) -> bool:
    """Whether every shape whose place the caption does not name stands in its usual place."""
    return all(
        f"object{i}.place" in named or shape.box == usual_box(shape, scene) for i, shape in enumerate(scene.objects)
    )


@dataclass(frozen=True, kw_only=True)
class PlanBatches:
    """{"prompts": list of str, "half": uint8 (B, H/2, W/2, 3), "preview": bool}, and for edits also
    {"sources": list over references of uint8 (B, H/2, W/2, 3)}.

    `preview_from` is the step from which text-to-image batches carry a preview grid before the target, as in
    use; before it the plan is the target alone, which is shorter and teaches spelling sooner. A kind named twice in
    `edit_kinds` is drawn twice as often; None means every kind alike.
    """

    seed: int
    phases: tuple[Phase, ...]
    preview_from: int
    edits: float = 0.25
    edit_kinds: tuple[str, ...] | None = None
    level: str = "first"
    small_letters: float = 0.08
    placed: float = 0.35
    settled: float = 0.7
    chinese: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        phase = phase_at(self.phases, step)
        width, height = rng.choice(phase.canvases)
        if rng.random() < self.edits:
            return self._edits(rng, width, height, phase.batch)
        preview = step >= self.preview_from
        count = max(1, phase.batch // 2) if preview else phase.batch
        pairs = [self._drawing(rng, width, height) for _ in range(count)]
        scenes = [scene for scene, _ in pairs]
        prompts = [self._typed(prompt, [t.text for t in scene.texts], rng) for scene, prompt in pairs]
        half = np.stack([half_size(render(scene)) for scene in scenes])
        return {"prompts": prompts, "half": half, "preview": preview}

    def _edits(self, rng: random.Random, width: int, height: int, count: int) -> Batch:
        edits = [self._edit(rng, width, height)]
        references = len(edits[0].sources)  # of the whole batch, which has one shape
        while len(edits) < count:
            edit = self._edit(rng, width, height)
            if len(edit.sources) == references:
                edits.append(edit)
        sources = [np.stack([half_size(render(e.sources[i])) for e in edits]) for i in range(references)]
        half = np.stack([half_size(render(e.target)) for e in edits])
        return {"prompts": [e.instruction for e in edits], "half": half, "preview": False, "sources": sources}

    def _edit(self, rng: random.Random, width: int, height: int) -> Edit:
        return training_edit(rng, width, height, self.level, self.chinese, kinds=self.edit_kinds)

    def _drawing(self, rng: random.Random, width: int, height: int) -> tuple[Scene, str]:
        """A scene and its caption: the caption says where things stand, or they stand in their usual places."""
        if find_level(self.level) is CARD:
            scene = training_scene(rng, width, height, self.level, self.chinese)
            assert scene.card is not None
            return scene, card_prompt(scene.card, rng)
        if find_level(self.level) is POSTER:
            scene = training_scene(rng, width, height, self.level, self.chinese)
            chinese = any(text.face == "cjk" for text in scene.texts) and rng.random() < 0.7
            description = describe(scene, rng, language="zh" if chinese else "en", usual=usual_items(scene))
            return scene, description.prompt
        placed, settle = rng.random() < self.placed, rng.random() < self.settled
        for _ in range(ATTEMPTS):
            scene = sample_scene(rng, width=width, height=height, level=self.level, random_words=0.5)
            if not placed and not in_the_middle(scene):
                continue
            if settle:
                scene = settled(scene)
            description = describe(scene, rng)
            says = any(name.startswith("text") and name.endswith(".place") for name in description.named)
            if says == placed and in_usual_places(scene, description.named):
                break
        return scene, description.prompt

    def _typed(self, prompt: str, texts: list[str], rng: random.Random) -> str:
        if rng.random() < self.small_letters:
            for text in texts:
                prompt = prompt.replace(f'"{text}"', f'"{rng.choice((text.lower(), text.capitalize()))}"')
        return prompt
