"""Pictures with conversations about them, for the seeing model: questions, short thoughts, exact answers.

Every batch is a pure function of (seed, step). A conversation is one or more turns about one picture; only its last
turn is learned, the earlier ones are its history. Thoughts say in which rows and columns of 32 px cells a thing stands,
or which things are there: what a person would look for first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inkwash.core.errors import ConfigError
from inkwash.data.loader import Batch
from inkwash.data.scenes import step_rng
from inkwash.scenes.ask import KINDS, SceneQuestion, Thousandths, ask
from inkwash.scenes.caption import FACE_WORDS, article, place
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.labels import LABELS, cell_labels
from inkwash.scenes.render import render
from inkwash.scenes.scene import Scene, ShapeItem, TextItem
from inkwash.scenes.words import LETTERS, of_split
from inkwash.scenes.world import CELL

PLACES = 32  # rows and columns of cells that the labels tell apart
# What a cell knows beyond itself, 0 being none: the letter to its left (1: it begins its word), how many there are, and
# where the box of its thing begins and ends; then how many texts and shapes the picture has.
CONTEXT = {
    "previous": 2 + len(LETTERS),
    "index": 1 + PLACES,
    "left": 1 + PLACES,
    "top": 1 + PLACES,
    "right": 1 + PLACES,
    "bottom": 1 + PLACES,
}
COUNTS = {"row": PLACES, "column": PLACES, "texts": 8, "shapes": 8}
UNKNOWN = -100  # label of a cell of which nothing is told
EVERYWHERE = ("background", "kind", "row", "column", "texts", "shapes")  # labels that every cell has
CANVASES = ((256, 256),) * 5 + ((256, 128), (256, 128), (128, 256), (192, 192), (256, 192))
WEIGHTS = {
    "read": 26,
    "where": 18,
    "color": 16,
    "count": 10,
    "exists": 8,
    "face": 5,
    "style": 2,
    "describe": 8,
    "shapes": 7,
}
SHORT = ("read", "color", "count", "exists", "shapes")  # what a history is made of
DESCRIBE = (
    "Describe this picture.",
    "Describe the image.",
    "What is in this picture?",
    "What do you see?",
    "What does the image show?",
    "Tell me about this picture.",
    "Describe this image.",
    "Give a description of the picture.",
)
SHAPES_ASKED = (
    "Which shapes are there?",
    "What shapes do you see?",
    "Name the shapes.",
    "List the shapes in the picture.",
    "Which shapes does the picture show?",
    "What shape is in the picture?",
    "Tell me which shapes you can see.",
    "Which shape is in the picture?",
    "What shape is it?",
    "What shapes are in the picture?",
    "Name every shape.",
    "Name all shapes in the picture.",
    "Say which shapes are there.",
    "What shape can you see?",
)
# Other ways to ask what scenes.ask asks; {W} is a text, {O} a shape, {P} a place.
MORE: dict[str, tuple[str, ...]] = {
    "all": (
        "Transcribe the picture.", "Transcribe all the text.", "Read it.", "Read the sign.", "Write down the text.",
        "Give the text, one region per line.", "What is written on it?", "What text is there?", "What word is this?",
        "Which word is in the image?", "Text?", "What words are in the picture?",
    ),
    "one": (
        "Transcribe the words {P}.", "What can you read {P}?", "Which words can be read {P}?", "Read the text {P}.",
        "What does it say {P}?", "Give the text {P}.", "Which word is {P}?",
    ),
    "background": (
        "Give the background colour.", "Say the color of the background.", "What color is the background?",
        "State the background colour.", "Name the color of the background.", "Background colour?",
    ),
    "text_color": (
        'What color is the word "{W}"?', 'Which colour has the word "{W}"?', 'The text "{W}" is of which color?',
        'Give the colour of "{W}".', 'The letters of "{W}" have which colour?', 'What color is "{W}"?',
    ),
    "shape_color": (
        "What color is the {O}?", "Which colour is the {O}?", "Give the color of the {O}.",
        "Of what colour is the {O}?", "Say the colour of the {O}.", "What is the {O}'s color?",
    ),
    "count": (
        "How many objects are there?", "How many objects can you see, not counting words?", "Count the objects.",
        "How many shapes does the picture show?", "What number of shapes is there?", "Give the count of shapes.",
        "How many objects are in the picture, text not counted?", "Give the number of objects.",
    ),
    "count_texts": (
        "How many texts are there?", "How many words or lines are written?", "In how many places are words written?",
        "Give the number of texts.", "How many places have text?", "State the number of text regions.",
        "In how many places does something stand written?", "Give the count of text regions.",
    ),
    "exists": (
        "Tell me if there is a {O}.", "Say whether you see a {O}.", "Is a {O} there?", "Tell me whether you see a {O}.",
        "Any {O}?", "Say whether there is a {O}.",
    ),
    "where_text": (
        'Where is "{W}"? Give a box in thousandths.', 'Where does the text "{W}" stand? Answer with a box.',
        'Where is the word "{W}"?', 'Give the bounding box of "{W}".', 'Give a box in thousandths for "{W}".',
        'Help me to locate "{W}" in the image and give me its bounding boxes.', 'Locate the text "{W}".',
    ),
    "where_shape": (
        "Which box, in thousandths, holds {O}?", "In what box is {O}?", "Where is {O}?", "Locate {O}.",
        "Help me to locate {O} in the image and give me its bounding boxes.", "Give the bounding box of {O}.",
        "In which box, in thousandths, do you see {O}?",
    ),
    "face": (
        'What typeface has "{W}"?', 'Which style of type does "{W}" have?', 'Which lettering does "{W}" have?',
        'What typeface style is "{W}"?',
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DialogueTurn:
    """A question with the thought that leads to its answer; `box` is set where the answer is a place."""

    kind: str
    question: str
    thought: str
    answer: str
    box: Thousandths | None = None


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """Turns about one picture, the last of which is to be answered, with its thought or (`thinking` off) without."""

    turns: tuple[DialogueTurn, ...]
    thinking: bool = True


def sample_turn(
    scene: Scene, rng: random.Random, *, split: str = "train", kinds: Sequence[str] | None = None
) -> DialogueTurn:
    """One turn about a scene, of one of `kinds` (all by their usual shares)."""
    chosen = tuple(WEIGHTS) if kinds is None else tuple(kinds)
    if unknown := [kind for kind in chosen if kind not in WEIGHTS]:
        raise ConfigError(f"unknown question kind {unknown[0]!r}: choose from {', '.join(WEIGHTS)}")
    kind = rng.choices(chosen, [WEIGHTS[k] for k in chosen])[0]
    if kind == "describe":
        question = rng.choice(of_split(DESCRIBE, split, "question"))
        return DialogueTurn(kind=kind, question=question, thought=_seen(scene), answer=describe(scene))
    if kind == "shapes":
        question = rng.choice(of_split(SHAPES_ASKED, split, "question"))
        return DialogueTurn(kind=kind, question=question, thought=_seen(scene), answer=_shapes(scene) or "none")
    drawn = ask(scene, rng, split=split, kinds=(kind, "count"))
    while drawn.kind == "count" != kind and scene.items:  # a scene that has nothing of the kind answers by its counts
        drawn = ask(scene, rng, split=split, kinds=(kind, "count"))
    question = drawn.question if split != "train" or rng.random() < 0.5 else _rephrase(drawn, scene, rng)
    return DialogueTurn(
        kind=drawn.kind, question=question, thought=thought(drawn, scene), answer=drawn.answer, box=drawn.box
    )


def thought(question: SceneQuestion, scene: Scene) -> str:
    """What to look at before answering, in a few words."""
    if question.kind in ("count", "exists"):
        return _rows(scene) if _about_texts(question) else _seen(scene)
    if question.kind == "style":
        return "I look at the areas."
    if question.kind == "read":
        one = next((item for item in scene.texts if item.text == question.answer), None)
        return _rows(scene) if one is None or len(scene.texts) == 1 else f"It is {_cells(one)}."
    item = _item(question, scene)
    if item is None:
        return "I look at the background."
    name = f'"{item.text}"' if isinstance(item, TextItem) else f"The {item.shape}"
    return f"{name} is {_cells(item)}."


def describe(scene: Scene) -> str:
    """A plain description: background, texts top to bottom, shapes."""
    rng = random.Random(0)  # of several words for a place, always the same
    parts = [f"{article(scene.background).capitalize()} picture."]
    for item in scene.texts:
        parts.append(f'"{item.text}" in {item.color} {FACE_WORDS[item.face][0]} letters {place(item.box, scene, rng)}.')
    for shape in scene.objects:
        parts.append(f"{article(shape.color).capitalize()} {shape.shape} {place(shape.box, scene, rng)}.")
    return " ".join(parts)


def _about_texts(question: SceneQuestion) -> bool:
    about = any(word in question.question for word in ("text", "written"))
    return question.kind == "count" and about and "not counting" not in question.question


def _item(question: SceneQuestion, scene: Scene) -> TextItem | ShapeItem | None:
    """The item that a question names."""
    for text in scene.texts:
        if f'"{text.text}"' in question.question:
            return text
    return next((shape for shape in scene.objects if f" {shape.shape}" in question.question), None)


def _cells(item: TextItem | ShapeItem) -> str:
    left, top, right, bottom = item.box
    first, last = top // CELL + 1, (bottom - 1) // CELL + 1
    rows = f"row {first}" if first == last else f"rows {first} to {last}"
    return f"in {rows}, columns {left // CELL + 1} to {(right - 1) // CELL + 1}"


def _rows(scene: Scene) -> str:
    rows = [str(item.box[1] // CELL + 1) for item in scene.texts]
    if not rows:
        return "I see no text."
    return f"Text in row {rows[0]}." if len(rows) == 1 else f"Text in rows {', '.join(rows[:-1])} and {rows[-1]}."


def _shapes(scene: Scene) -> str:
    return " and ".join(article(item.shape) for item in scene.objects)


def _seen(scene: Scene) -> str:
    return f"I see {_shapes(scene) or 'no shape'}."


def _rephrase(question: SceneQuestion, scene: Scene, rng: random.Random) -> str:
    """The same question in other words, of those on the training side."""
    item = _item(question, scene)
    word, shape = getattr(item, "text", ""), getattr(item, "shape", "")
    slots = {"W": word, "O": shape}
    group = question.kind
    if _about_texts(question):
        group = "count_texts"
    elif group == "read":
        one = next((text for text in scene.texts if text.text == question.answer), None)
        group = "all" if one is None or len(scene.texts) == 1 else "one"
        if one is not None:
            slots["P"] = place(one.box, scene, rng)
    elif group == "color":
        group = {TextItem: "text_color", ShapeItem: "shape_color"}.get(type(item), "background")
    elif group == "where":
        group = "where_text" if isinstance(item, TextItem) else "where_shape"
        slots["O"] = f"the {shape}"
    elif group == "exists":
        slots["O"] = question.question.rstrip("?.").split(" a ")[1].split()[0]
    if group not in MORE:
        return question.question
    template = rng.choice(of_split(MORE[group], "train", "question"))
    for name, value in slots.items():
        template = template.replace(f"{{{name}}}", value)
    return template


@dataclass(frozen=True, kw_only=True)
class QuestionBatches:
    """Batches of pictures with conversations.

    {"pixels": uint8 (B, H, W, 3), "dialogues": B lists of `Dialogue`, one int64 (B, N) entry per head of `labels()`};
    all pictures of a batch share one canvas. Before step `talk_from` there are no conversations, but twice as many
    pictures.
    """

    seed: int
    batch: int
    dialogues: int = 4
    level: str = "first"
    split: str = "train"
    canvases: tuple[tuple[int, int], ...] = CANVASES
    noise: float = 6.0
    talk_from: int = 0

    def __call__(self, step: int) -> Batch:
        rng = step_rng(self.seed, step)
        width, height = rng.choice(self.canvases)
        words = 0.5 if self.split == "train" else 0.0
        scenes = [
            sample_scene(rng, width=width, height=height, level=self.level, split=self.split, random_words=words)
            for _ in range(self.batch if step >= self.talk_from else 2 * self.batch)
        ]
        pixels = np.stack([np.asarray(render(scene), dtype=np.uint8) for scene in scenes])
        if self.noise:
            sigmas = np.array([rng.choice((0.0, rng.uniform(0, self.noise))) for _ in scenes], dtype=np.float32)
            noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, dtype=np.float32)
            pixels = np.clip(pixels + noise * sigmas[:, None, None, None], 0, 255).astype(np.uint8)
        labels = [cell_labels(scene) | _places(scene) for scene in scenes]
        talks = self.dialogues if step >= self.talk_from else 0
        return {
            "pixels": pixels,
            "dialogues": [[self._dialogue(scene, rng) for _ in range(talks)] for scene in scenes],
        } | {name: np.stack([one[name].ravel() for one in labels]) for name in label_sizes()}

    def _dialogue(self, scene: Scene, rng: random.Random) -> Dialogue:
        count = rng.choices((1, 2, 3), (8, 3, 1))[0]
        earlier = [sample_turn(scene, rng, split=self.split, kinds=SHORT) for _ in range(count - 1)]
        turns = (*earlier, sample_turn(scene, rng, split=self.split))
        return Dialogue(turns=turns, thinking=rng.random() < 0.75)


def label_sizes() -> dict[str, int]:
    """Classes of each label of a cell: what `scenes.labels` tells, `CONTEXT` and `COUNTS`."""
    return {**LABELS, **CONTEXT, **COUNTS}


def _places(scene: Scene) -> dict[str, np.ndarray]:
    rows, columns = np.mgrid[: scene.rows, : scene.cols]
    labels: dict[str, np.ndarray] = {name: np.zeros((scene.rows, scene.cols), dtype=np.int64) for name in CONTEXT}
    for item in scene.items:
        edges = [item.box[0] // CELL, item.box[1] // CELL, (item.box[2] - 1) // CELL, (item.box[3] - 1) // CELL]
        area = (slice(edges[1], edges[3] + 1), slice(edges[0], edges[2] + 1))
        for name, edge in zip(("left", "top", "right", "bottom"), edges, strict=True):
            labels[name][area] = 1 + edge
        if isinstance(item, TextItem) and item.lettering == "grid":
            for number, (row, column) in enumerate(item.cells):
                labels["previous"][row, column] = 2 + LETTERS.index(item.text[number - 1]) if number else 1
                labels["index"][row, column] = 1 + number
    for name, count in (("texts", len(scene.texts)), ("shapes", len(scene.objects))):
        labels[name] = np.full_like(rows, count, dtype=np.int64)
    return labels | {"row": rows.astype(np.int64), "column": columns.astype(np.int64)}


def question_lines(rng: random.Random, count: int) -> list[str]:
    """Questions, thoughts and answers, to train a tokenizer on."""
    lines: list[str] = []
    for _ in range(count):
        scene = sample_scene(rng)
        turn = sample_turn(scene, rng)
        lines += [turn.question, turn.thought, turn.answer]
    return lines


__all__ = [
    "KINDS",
    "Dialogue",
    "DialogueTurn",
    "QuestionBatches",
    "describe",
    "question_lines",
    "sample_turn",
    "thought",
]
