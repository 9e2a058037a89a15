"""Scoring edits of held-out scenes: is the asked change there, and was everything else left alone?

Both are read off the two scenes of an edit, for every kind alike: the facts that only the target has must hold in the
picture and those that only the source had must be gone (`changed`); the facts both share must still hold (`kept`). New
things may stand anywhere in the ninth of the canvas that the instruction names; old ones must be where they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.metrics import interval, mean
from inkwash.eval.predictions import Predictions, TextReader
from inkwash.eval.tasks.facts import Fact, held_facts, scene_facts
from inkwash.scenes.edit import sample_edit
from inkwash.scenes.scene import Edit, Scene

KINDS = ("background", "words", "recolor", "add", "remove", "move", "combine")


@dataclass(frozen=True, kw_only=True)
class EditCase:
    """One edit to ask for, and what follows from its scenes."""

    edit: Edit

    @property
    def wanted(self) -> frozenset[Fact]:
        """What only the target shows."""
        return self._of(self.edit.target) - self._of(self.edit.sources[0])

    @property
    def unwanted(self) -> frozenset[Fact]:
        """What only the (first) source shows."""
        return self._of(self.edit.sources[0]) - self._of(self.edit.target)

    @property
    def shared(self) -> frozenset[Fact]:
        """What must stay."""
        return self._of(self.edit.sources[0]) & self._of(self.edit.target)

    def _of(self, scene: Scene) -> frozenset[Fact]:
        facts = scene_facts(scene)
        # New words are asked for by their letters alone; longer ones do not fill the box of the old ones.
        return frozenset(fact for fact in facts if self.edit.kind != "words" or fact.kind != "ink")


@dataclass(frozen=True, kw_only=True)
class EditScore:
    """What one edited picture got right."""

    index: int
    kind: str
    instruction: str
    wanted: tuple[str, ...]
    read: tuple[str, ...]
    changed: bool
    kept: bool


@dataclass(frozen=True, kw_only=True)
class EditsReport:
    """All scores of a run."""

    scores: tuple[EditScore, ...]
    judge: str

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def edit_accuracy(self) -> float:
        """Share of the pictures that show the asked change."""
        return mean([float(score.changed) for score in self.scores])

    @property
    def kept_accuracy(self) -> float:
        """Share of the pictures in which everything else was left as it was."""
        return mean([float(score.kept) for score in self.scores])

    @property
    def per_kind(self) -> dict[str, dict[str, Any]]:
        kinds = dict.fromkeys(score.kind for score in self.scores)
        parts = {kind: [score for score in self.scores if score.kind == kind] for kind in sorted(kinds)}
        return {kind: _summary(part) for kind, part in parts.items()}

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer."""
        whole = _summary(self.scores)
        return {
            "edit_accuracy": whole["edit_accuracy"],
            "kept_accuracy": whole["kept_accuracy"],
            "both": whole["both"],
            "per_kind": self.per_kind,
            "n": self.n,
            "edit_accuracy_95": [round(side, 6) for side in interval(sum(s.changed for s in self.scores), self.n)],
            "judge": self.judge,
        }

    def worst_first(self) -> list[EditScore]:
        """Pictures without the change first, then those that lost something else."""
        return sorted(self.scores, key=lambda score: (score.changed, score.kept, score.index))


def held_out_edits(
    count: int,
    *,
    seed: int = 0,
    kinds: Sequence[str] = ("background", "words"),
    width: int = 256,
    height: int = 256,
    level: str = "first",
) -> list[EditCase]:
    """`count` edits of held-out scenes; the kinds take turns, so each gets its equal share."""
    if count < 1 or not kinds:
        raise ConfigError(f"{count} edits of {len(kinds)} kinds are asked for; both must be at least 1.")
    cases = []
    for i in range(count):
        rng = random.Random(f"edits:{seed}:{i}")
        kind = kinds[i % len(kinds)]
        edit = sample_edit(rng, width=width, height=height, split="held_out", level=level, kinds=(kind,))
        cases.append(EditCase(edit=edit))
    return cases


def score_edits(
    images: Sequence[Image.Image],
    cases: Sequence[EditCase],
    reader: TextReader | Predictions,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> EditsReport:
    """Score edited picture i against edit i."""
    if len(images) != len(cases):
        raise ConfigError(f"{len(images)} pictures were given for {len(cases)} edits; one picture per edit is needed.")
    predictions = reader if isinstance(reader, Predictions) else Predictions(reader)
    scores = []
    for index, (image, case) in enumerate(zip(images, cases, strict=True)):
        scores.append(_score(index, image, case, predictions.texts(image)))
        if progress is not None:
            progress(index + 1, len(images))
    return EditsReport(scores=tuple(scores), judge=predictions.judge.name)


def _score(index: int, image: Image.Image, case: EditCase, read: tuple[str, ...]) -> EditScore:
    held = held_facts(image, read, case.edit.target, exact=False)
    after = held_facts(image, read, case.edit.target)
    before = held_facts(image, read, case.edit.sources[0])
    return EditScore(
        index=index,
        kind=case.edit.kind,
        instruction=case.edit.instruction,
        wanted=tuple(map(str, sorted(case.wanted))) or tuple(f"no {fact}" for fact in sorted(case.unwanted)),
        read=read,
        changed=all(held[fact] for fact in case.wanted) and not any(before[fact] for fact in case.unwanted),
        kept=all(after[fact] for fact in case.shared),
    )


def _summary(scores: Sequence[EditScore]) -> dict[str, Any]:
    return {
        "edit_accuracy": round(mean([float(score.changed) for score in scores]), 6),
        "kept_accuracy": round(mean([float(score.kept) for score in scores]), 6),
        "both": round(mean([float(score.changed and score.kept) for score in scores]), 6),
        "n": len(scores),
    }
