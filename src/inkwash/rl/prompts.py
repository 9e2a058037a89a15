"""What is asked in a step of reinforcement: prompts of training scenes, a pure function of (seed, step).

A step has one canvas, so that its pictures share batches. Scenes are those of training, prompts are of the training
split; what a prompt names is what a reward may ask for. `spare` further prompts stand behind those of the batch: groups
that teach nothing are replaced from them.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from inkwash.data.loader import Batch
from inkwash.data.scenes import step_rng, training_edit, training_scene
from inkwash.engine.readback import quoted_texts
from inkwash.scenes.caption import describe
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import CARD, POSTER, find_level
from inkwash.scenes.scene import Scene
from inkwash.scenes.second import usual_items
from inkwash.scenes.world import CELL

SEEDS = 2**63


def digest(*words: object) -> int:
    """A seed that stands for these words, such as ("plan", run seed, step, prompt, sample)."""
    text = "/".join(map(str, words)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") % SEEDS


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One prompt, the scene it describes, and what it names; `key` tells it from all others of a run.

    An edit has the scene that it starts from in `sources`; its own is what must come out.
    """

    prompt: str
    scene: Scene
    named: frozenset[str]
    key: str
    sources: tuple[Scene, ...] = ()

    @property
    def texts(self) -> list[str]:
        """What the picture must say."""
        return quoted_texts(self.prompt)


def check_edits(level: str, share: float) -> None:
    """Raises ValueError for a share of edits that cannot be, or a level whose edits nobody judges by their plans."""
    if not 0 <= share <= 1:
        raise ValueError(f"edits must be a share from 0 to 1, got {share}.")
    if share and find_level(level) is not CARD:
        raise ValueError(f"edits are asked for at level card only, not at {level!r}.")


@dataclass(frozen=True, kw_only=True)
class PromptSource:
    """{"asks": list of `count` + `spare`, "prompts": their texts}; callable by the loader's worker processes.

    `edits` is the share that edits one picture.
    """

    seed: int
    count: int
    spare: int = 0
    level: str = "card"
    canvases: tuple[tuple[int, int], ...] = ((256, 256),)
    most_texts: int = 5
    chinese: float = 0.0
    edits: float = 0.0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        width, height = rng.choice(self.canvases)
        asks = [self._ask(rng, width, height, f"{step}/{number}") for number in range(self.count + self.spare)]
        return {"asks": asks, "prompts": [ask.prompt for ask in asks]}

    def _ask(self, rng: random.Random, width: int, height: int, key: str) -> Ask:
        if self.edits and rng.random() < self.edits:
            return self._edit(rng, width, height, key)
        scene = self._scene(rng, width, height)
        language = "zh" if _is_chinese(scene) and rng.random() < 0.75 else "en"
        usual = usual_items(scene) if find_level(self.level) is POSTER else None
        found = describe(scene, rng, language=language, usual=usual)
        return Ask(prompt=found.prompt, scene=scene, named=found.named, key=key)

    def _edit(self, rng: random.Random, width: int, height: int, key: str) -> Ask:
        """What goes on from several pictures is left out: nobody can say which of them a part is to come from."""
        while True:
            edit = training_edit(rng, width, height, self.level, self.chinese)
            if len(edit.sources) == 1:
                return Ask(prompt=edit.instruction, scene=edit.target, named=frozenset(), key=key, sources=edit.sources)

    def _scene(self, rng: random.Random, width: int, height: int) -> Scene:
        if find_level(self.level) is CARD:
            while True:
                scene = training_scene(rng, width, height, self.level, self.chinese)
                if 1 <= len(scene.quotes) <= self.most_texts:
                    return scene
        most = max(1, min(self.most_texts, height // CELL - 1, 5))
        language = "zh" if find_level(self.level) is POSTER and rng.random() < self.chinese else "en"
        return sample_scene(
            rng,
            width=width,
            height=height,
            regions=(1, most),
            level=self.level,
            language=language,
            random_words=0.5,
        )


def _is_chinese(scene: Scene) -> bool:
    return any(text.face == "cjk" for text in scene.texts)


def share_of(asks: Sequence[Ask], rank: int, world: int) -> list[Ask]:
    """The asks that one of several processes rolls out, spares included: every `world`-th."""
    return list(asks[rank::world])
