"""Pictures of cards with conversations about them, for the seeing model's second edition.

As `questions.py`: every batch is a pure function of (seed, step), thoughts say in which rows and columns of the picture
a thing stands. Besides cards there are scenes of the old levels, pictures that show nothing known, and a share of every
kind is drawn larger or smaller than it is seen, with the marks of JPEG and some noise.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.data.loader import Batch
from inkwash.data.questions import PLACES, Dialogue, DialogueTurn, sample_turn
from inkwash.data.scenes import step_rng
from inkwash.scenes.card_ask import (
    CARD_KINDS,
    CardQuestion,
    ask_card,
    ask_nothing,
    describe_card,
    groups,
    name_of,
    regions,
)
from inkwash.scenes.card_meanings import NO_COLOR, card_labels, card_signs, cell_card_meanings
from inkwash.scenes.card_sample import sample_card_scene
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.lettering import GRID_CAP
from inkwash.scenes.levels import BASIC, POSTER
from inkwash.scenes.nothing import sample_nothing
from inkwash.scenes.render import render
from inkwash.scenes.scene import Box, Scene, TextItem
from inkwash.scenes.world import CARD_COLORS, CARD_FACES, CELL

CARD_CANVASES = (
    (256, 256), (256, 256), (384, 384), (384, 384), (320, 320), (192, 192), (384, 256), (256, 384), (192, 320),
    (320, 224), (512, 256), (256, 512), (512, 512),
)  # fmt: skip
SCALES = (0.75, 1.25, 1.5)  # sides of the picture as it is drawn, where it is seen smaller or larger
OLD_LEVELS = (BASIC, BASIC, POSTER)
WEIGHTS = {
    "read": 26, "where": 14, "color": 14, "count": 14, "things": 9, "exists": 6, "absent": 5, "structure": 3,
    "style": 2, "describe": 9,
}  # fmt: skip
SHORT = ("color", "count", "exists", "things", "absent")  # what a history is made of
MOST = 32  # counts that the labels tell apart
# What a cell knows beyond itself, 0 being none: the character before its own (1: it begins a line or word), how many
# there are, where its text or thing begins and ends, how many things of its name there are.
CARD_CONTEXT = {
    "previous": 2 + len(card_signs()),
    "index": 64,
    "left": 1 + PLACES,
    "top": 1 + PLACES,
    "right": 1 + PLACES,
    "bottom": 1 + PLACES,
    "alike": MOST,
}
CARD_COUNTS = {"row": PLACES, "column": PLACES, "texts": MOST, "things": MOST}
CARD_EVERYWHERE = ("background", "style", "kind", "row", "column", "texts", "things")  # labels that every cell has
LEFT_OUT = ("quarter",)  # of card_labels: what a model that only reads need not know
_Labels = dict[str, NDArray[np.int64]]
_Grid = tuple[int, int]  # columns and rows of the picture as it is seen


def card_label_sizes() -> dict[str, int]:
    """Classes of each label of a cell: those of `card_meanings`, `CARD_CONTEXT` and `CARD_COUNTS`."""
    sizes = {name: size for name, size in card_labels().items() if name not in LEFT_OUT}
    return {**sizes, **CARD_CONTEXT, **CARD_COUNTS}


def sample_card_turn(
    scene: Scene,
    rng: random.Random,
    *,
    split: str = "train",
    kinds: Sequence[str] | None = None,
    language: str = "en",
    grid: _Grid | None = None,
) -> DialogueTurn:
    """One turn about a card, of one of `kinds` (all by their usual shares); `grid` is how it is seen."""
    chosen = tuple(WEIGHTS) if kinds is None else tuple(kinds)
    if unknown := [kind for kind in chosen if kind not in WEIGHTS]:
        raise ConfigError(f"unknown question kind {unknown[0]!r}: choose from {', '.join(WEIGHTS)}")
    kind = rng.choices(chosen, [WEIGHTS[k] for k in chosen])[0]
    question = ask_card(
        scene, rng, split=split, kinds=(kind,) if _answers(scene, kind) else ("color",), language=language
    )
    return turn_of(question, scene, grid or (scene.cols, scene.rows))


def _answers(scene: Scene, kind: str) -> bool:
    return kind != "where" or bool(scene.texts) or any(len(items) == 1 for items in groups(scene).values())


def nothing_turn(rng: random.Random, *, split: str = "train", language: str = "en") -> DialogueTurn:
    """A question about a picture that shows nothing known."""
    question = ask_nothing(rng, split=split, language=language)
    return DialogueTurn(kind=question.kind, question=question.question, thought=question.name, answer=question.answer)


def turn_of(question: CardQuestion, scene: Scene, grid: _Grid) -> DialogueTurn:
    """A question with the thought that leads to its answer."""
    thought = f"{question.name}: {spans(question.boxes, scene, grid)}." if question.boxes else question.name
    return DialogueTurn(
        kind=question.kind, question=question.question, thought=thought, answer=question.answer, box=question.box
    )


def spans(boxes: Sequence[Box], scene: Scene, grid: _Grid) -> str:
    """`rows 2-3, columns 1-3, 5-7; row 9, columns 2-8`: boxes in the same rows together, counted from 1 on."""
    rows: dict[str, list[str]] = {}
    for box in sorted(boxes, key=lambda box: (box[1], box[0])):
        left, top, right, bottom = seen_edges(box, scene, grid)
        rows.setdefault(_span("row", top, bottom), []).append(_span("column", left, right))
    return "; ".join(
        f"{row}, {', '.join([columns[0], *(_bare(c) for c in columns[1:])])}" for row, columns in rows.items()
    )


def _span(noun: str, first: int, last: int) -> str:
    return f"{noun} {first + 1}" if first == last else f"{noun}s {first + 1}-{last + 1}"


def _bare(span: str) -> str:
    return span.split(" ", 1)[1]


def seen_edges(box: Box, scene: Scene, grid: _Grid) -> tuple[int, int, int, int]:
    """First column, first row, last column and last row of the seen cells whose middle a box holds, from 0 on."""
    across, down = grid[0] / scene.width, grid[1] / scene.height
    left, right = math.ceil(box[0] * across - 0.5), math.ceil(box[2] * across - 0.5) - 1
    top, bottom = math.ceil(box[1] * down - 0.5), math.ceil(box[3] * down - 0.5) - 1
    return left, top, max(left, right), max(top, bottom)


@dataclass(frozen=True, kw_only=True)
class CardQuestionBatches:
    """Batches of pictures with conversations, as those of `QuestionBatches`.

    All pictures of a batch share one canvas. `old` is the share of scenes of the old levels, `nothing` that of pictures
    that show nothing known, `scaled` and `jpeg` the shares of those that are seen in another size, and compressed.
    """

    seed: int
    batch: int
    dialogues: int = 4
    split: str = "train"
    canvases: tuple[tuple[int, int], ...] = CARD_CANVASES
    chinese: float = 0.25
    old: float = 0.12
    nothing: float = 0.05
    scaled: float = 0.2
    jpeg: float = 0.25
    noise: float = 6.0
    area: int | None = 384 * 384  # pixels of a canvas above which a batch is halved
    talk_from: int = 0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        width, height = rng.choice(self.canvases)
        count = self.batch if step >= self.talk_from else 2 * self.batch
        if self.area is not None and width * height > self.area:
            count = max(1, count // 2)
        talks = self.dialogues if step >= self.talk_from else 0
        examples = [self._example(rng, width, height, talks) for _ in range(count)]
        return {
            "pixels": np.stack([pixels for pixels, _, _ in examples]),
            "dialogues": [dialogues for _, _, dialogues in examples],
        } | {name: np.stack([labels[name].ravel() for _, labels, _ in examples]) for name in card_label_sizes()}

    def _example(
        self, rng: random.Random, width: int, height: int, talks: int
    ) -> tuple[NDArray[np.uint8], _Labels, list[Dialogue]]:
        grid = (width // CELL, height // CELL)
        if rng.random() < self.nothing:
            pixels = sample_nothing(rng, width, height)
            dialogues = [self._about_nothing(rng) for _ in range(talks)]
            return self._worn(pixels, rng), nothing_labels(pixels), dialogues
        language = "zh" if rng.random() < self.chinese else "en"
        scene = self._scene(rng, width, height, language)
        image = render(scene)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        dialogues = [self._dialogue(scene, rng, language, grid) for _ in range(talks)]
        pixels = self._worn(np.asarray(image, dtype=np.uint8), rng)
        return pixels, seen_labels(scene, grid), dialogues

    def _scene(self, rng: random.Random, width: int, height: int, language: str) -> Scene:
        words = 0.5 if self.split == "train" else 0.0
        if rng.random() < self.old:
            level = rng.choice(OLD_LEVELS)
            return sample_scene(
                rng, width=width, height=height, level=level.name, split=self.split, random_words=words,
                language=language if language in level.languages else "en",
            )  # fmt: skip
        if rng.random() < self.scaled:
            scale = rng.choice(SCALES)
            width, height = (max(192, round(side * scale / CELL) * CELL) for side in (width, height))
        return sample_card_scene(
            rng, width=width, height=height, split=self.split, language=language, random_words=words
        )

    def _worn(self, pixels: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
        """A picture after JPEG or with noise, as pictures come."""
        if rng.random() < self.jpeg:
            held = io.BytesIO()
            Image.fromarray(pixels).save(held, "JPEG", quality=rng.randint(45, 95))
            return np.asarray(Image.open(held).convert("RGB"), dtype=np.uint8)
        sigma = rng.choice((0.0, rng.uniform(0, self.noise)))
        noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, dtype=np.float32)
        return np.clip(pixels + noise * np.float32(sigma), 0, 255).astype(np.uint8)

    def _dialogue(self, scene: Scene, rng: random.Random, language: str, grid: _Grid) -> Dialogue:
        count = rng.choices((1, 2, 3), (8, 3, 1))[0]
        earlier = [self._turn(scene, rng, language, grid, SHORT) for _ in range(count - 1)]
        return Dialogue(turns=(*earlier, self._turn(scene, rng, language, grid, None)), thinking=rng.random() < 0.75)

    def _turn(
        self, scene: Scene, rng: random.Random, language: str, grid: _Grid, kinds: Sequence[str] | None
    ) -> DialogueTurn:
        if scene.card is None and rng.random() < 0.5:
            return old_turn(scene, rng, split=self.split)
        spoken = "zh" if language == "zh" and rng.random() < 0.8 else "en"
        return sample_card_turn(scene, rng, split=self.split, kinds=kinds, language=spoken, grid=grid)

    def _about_nothing(self, rng: random.Random) -> Dialogue:
        language = "zh" if rng.random() < self.chinese else "en"
        turn = nothing_turn(rng, split=self.split, language=language)
        return Dialogue(turns=(turn,), thinking=rng.random() < 0.75)


def old_turn(scene: Scene, rng: random.Random, *, split: str = "train") -> DialogueTurn:
    """A turn of `questions.py` about a scene of an old level; readings and descriptions as those of cards."""
    turn = sample_turn(scene, rng, split=split)
    if turn.kind == "describe":
        return replace(turn, answer=describe_card(scene))
    if turn.kind == "read":
        return replace(turn, answer="\n".join(f'"{line}"' for line in turn.answer.split("\n")))
    return turn


def seen_labels(scene: Scene, grid: _Grid) -> _Labels:
    """Labels of the cells of a picture as it is seen; a cell of another size shows what is in its middle."""
    labels = cell_card_meanings(_with_known_faces(scene)) | _context(scene, grid)
    cols, rows = grid
    down = (2 * np.arange(rows) + 1) * scene.rows // (2 * rows)
    along = (2 * np.arange(cols) + 1) * scene.cols // (2 * cols)
    seen = {name: labels[name][down][:, along] for name in card_label_sizes() if name not in ("row", "column")}
    return seen | _places(rows, cols)


def _places(rows: int, cols: int) -> _Labels:
    row, column = np.mgrid[:rows, :cols]
    return {
        "row": np.minimum(row, PLACES - 1).astype(np.int64),
        "column": np.minimum(column, PLACES - 1).astype(np.int64),
    }


def nothing_labels(pixels: NDArray[np.uint8]) -> _Labels:
    """Labels of a picture that shows nothing: the named colour that is nearest to each cell, and no more."""
    rows, cols = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    labels = {name: np.zeros((rows, cols), dtype=np.int64) for name in card_label_sizes()}
    means = pixels.reshape(rows, CELL, cols, CELL, 3).mean((1, 3))
    colors = np.array(list(CARD_COLORS.values()), dtype=np.float64)
    labels["background"] = ((means[:, :, None] - colors) ** 2).sum(-1).argmin(-1).astype(np.int64)
    labels["color"][:] = NO_COLOR
    return labels | _places(rows, cols)


def _with_known_faces(scene: Scene) -> Scene:
    """The scene for the labels of level `card`, which has fewer faces than the old ones."""
    texts = tuple(text if text.face in CARD_FACES else replace(text, face="wide") for text in scene.texts)
    return replace(scene, texts=texts)


def _context(scene: Scene, grid: _Grid) -> _Labels:
    labels: _Labels = {
        name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in (*CARD_CONTEXT, *CARD_COUNTS)
    }
    found, texts = groups(scene), regions(scene)
    for item in scene.pictures:
        _mark_edges(labels, item.box, item.box, scene, grid)
        labels["alike"][_cells(item.box)] = min(len(found[name_of(item)]), MOST - 1)
    for region in texts:
        number = 0
        for line in region.lines:
            _mark_edges(labels, line.box, region.box, scene, grid)
            number = _mark_letters(labels, line, number)
    labels["texts"][:] = min(len(texts), MOST - 1)
    labels["things"][:] = min(len(scene.pictures), MOST - 1)
    return labels


def _cells(box: Box) -> tuple[slice, slice]:
    return slice(box[1] // CELL, -(-box[3] // CELL)), slice(box[0] // CELL, -(-box[2] // CELL))


def _mark_edges(labels: _Labels, area: Box, box: Box, scene: Scene, grid: _Grid) -> None:
    for name, edge in zip(("left", "top", "right", "bottom"), seen_edges(box, scene, grid), strict=True):
        labels[name][_cells(area)] = min(1 + edge, PLACES)


def _mark_letters(labels: _Labels, line: TextItem, number: int) -> int:
    """Number the characters of a line from `number` on, and name the one before each; the number after the last."""
    side = line.size // GRID_CAP
    for place, (row, column) in enumerate(line.cells):
        if line.text[place] == " ":
            continue
        number += 1
        before = line.text[place - 1] if place else " "
        square = (slice(row, row + side), slice(column, column + side))
        labels["previous"][square] = 1 if before == " " else 1 + card_signs()[before]
        labels["index"][square] = min(number, CARD_CONTEXT["index"] - 1)
    return number


def card_question_lines(rng: random.Random, count: int) -> list[str]:
    """Questions, thoughts and answers, to train a tokenizer on."""
    lines: list[str] = []
    for i in range(count):
        if i % 12 == 11:
            turn = old_turn(sample_scene(rng), rng)
        elif i % 40 == 20:
            turn = nothing_turn(rng, language=rng.choice(("en", "zh")))
        else:
            language = "zh" if rng.random() < 0.3 else "en"
            scene = sample_card_scene(rng, width=384, height=384, language=language, random_words=0.5)
            turn = sample_card_turn(scene, rng, language=language)
        lines += [turn.question, turn.thought, turn.answer]
    return lines


def character_lines() -> list[str]:
    """Every character that a card can show, in quotation marks, so that a tokenizer learns each as one token."""
    return [f'"{sign}"' for sign in card_signs()]


__all__ = [
    "CARD_KINDS",
    "CardQuestionBatches",
    "card_label_sizes",
    "card_question_lines",
    "character_lines",
    "sample_card_turn",
]
