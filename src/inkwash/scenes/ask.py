"""Questions about a scene with exact answers: what does it say, how many, what colour, where.

Places are boxes `[left, top, right, bottom]` in thousandths of the picture's width and height, whatever its size.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from inkwash.core.errors import ConfigError
from inkwash.scenes.caption import FACE_WORDS, STYLE_WORDS, fill, place, zone
from inkwash.scenes.edit import name_shape
from inkwash.scenes.scene import Box, Scene, TextItem
from inkwash.scenes.words import check_split, of_split
from inkwash.scenes.world import SHAPES

Thousandths = tuple[int, int, int, int]

READ_ALL = (
    "What does it say?",
    "Read the text in this picture.",
    "Which words are written here?",
    "What is written in the picture?",
    "Transcribe the text, one region per line.",
    "What text does the image show?",
    "Please read all the words.",
    "Tell me what is written here.",
    "What can you read?",
    "List the texts of the picture.",
)
READ_ONE = (
    "What does the text {P} say?",
    "Read the words {P}.",
    "What is written {P}?",
    "Which text stands {P}?",
    "What can be read {P}?",
    "Transcribe the text {P}.",
    "Tell me the words {P}.",
    "What do the letters {P} spell?",
)
BACKGROUND = (
    "What colour is the background?",
    "Which color does the background have?",
    "Name the background colour.",
    "What is the color of the background?",
    "The background is of which colour?",
    "What colour was used for the background?",
    "Tell me the background color.",
)
TEXT_COLOR = (
    'What colour is the text "{W}"?',
    'Which color are the letters of "{W}"?',
    'In what colour is "{W}" written?',
    'Name the colour of "{W}".',
    'What color does "{W}" have?',
    'The word "{W}" has which colour?',
    'Tell me the color of "{W}".',
)
SHAPE_COLOR = (
    "What colour is the {O}?",
    "Which color does the {O} have?",
    "Name the colour of the {O}.",
    "What is the color of the {O}?",
    "The {O} has which colour?",
    "In what colour is the {O} drawn?",
    "Tell me the color of the {O}.",
)
COUNT = (
    "How many shapes are there?",
    "Count the shapes.",
    "How many objects does the picture show, not counting text?",
    "What is the number of shapes?",
    "How many shapes can you see?",
    "Tell me how many shapes there are.",
    "Give the number of shapes in the picture.",
)
COUNT_TEXTS = (
    "How many separate texts are there?",
    "Count the text regions.",
    "How many text regions does the picture have?",
    "In how many places is something written?",
    "What is the number of text regions?",
    "Tell me how many texts there are.",
    "Give the number of text regions.",
)
EXISTS = (
    "Is there a {O}?",
    "Does the picture show a {O}?",
    "Can you see a {O}?",
    "Is a {O} in the picture?",
    "Do you see a {O} anywhere?",
    "Has the picture got a {O}?",
    "Tell me whether there is a {O}.",
)
WHERE_TEXT = (
    'Where is the text "{W}"? Answer with a box in thousandths.',
    'Give the box of "{W}" in thousandths.',
    'Locate "{W}" (left, top, right, bottom in thousandths).',
    'Find "{W}" and give its box in thousandths.',
    'In which box, in thousandths, stands "{W}"?',
    'Point out "{W}" with a box in thousandths.',
    'Box of the text "{W}" in thousandths, please.',
)
WHERE_SHAPE = (
    "Where is {O}? Answer with a box in thousandths.",
    "Give the box of {O} in thousandths.",
    "Locate {O} (left, top, right, bottom in thousandths).",
    "Find {O} and give its box in thousandths.",
    "In which box, in thousandths, is {O}?",
    "Point out {O} with a box in thousandths.",
    "Box of {O} in thousandths, please.",
)
FACE = (
    'What kind of letters is "{W}" set in?',
    'Which typeface style does "{W}" have?',
    'Name the type style of "{W}".',
    'What style of lettering is "{W}"?',
    'How would you describe the typeface of "{W}"?',
    '"{W}" is set in which kind of type?',
    'Tell me the type style of "{W}".',
)
STYLE = (
    "In what style is the picture drawn?",
    "Describe the drawing style.",
    "Which style does this picture have?",
    "What is the style of the picture?",
    "Name the style of the drawing.",
    "How is the picture styled?",
    "Tell me the drawing style.",
)


@dataclass(frozen=True, kw_only=True)
class SceneQuestion:
    """One question with its answer; `box` is set where the answer is a place."""

    kind: str
    question: str
    answer: str
    box: Thousandths | None = None


def thousandths(box: Box, scene: Scene) -> Thousandths:
    """A pixel box as thousandths of width and height."""
    left, top, right, bottom = box
    return (
        round(left * 1000 / scene.width),
        round(top * 1000 / scene.height),
        round(right * 1000 / scene.width),
        round(bottom * 1000 / scene.height),
    )


_Ask = Callable[[Scene, random.Random, str], SceneQuestion | None]


def _phrase(rng: random.Random, templates: tuple[str, ...], split: str, **slots: str) -> str:
    return fill(rng.choice(of_split(templates, split, "question")), **slots)


def _read(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    if not scene.texts:
        return None
    if len(scene.texts) > 1 and rng.random() < 0.5:
        item = rng.choice(scene.texts)
        if sum(zone(other.box, scene) == zone(item.box, scene) for other in scene.texts) == 1:
            where = place(item.box, scene, rng)
            return SceneQuestion(kind="read", question=_phrase(rng, READ_ONE, split, P=where), answer=item.text)
    lines = "\n".join(item.text for item in scene.texts)
    return SceneQuestion(kind="read", question=_phrase(rng, READ_ALL, split), answer=lines)


def _color(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    index = rng.randrange(-1, len(scene.items))
    if index < 0:
        return SceneQuestion(kind="color", question=_phrase(rng, BACKGROUND, split), answer=scene.background)
    item = scene.items[index]
    if isinstance(item, TextItem):
        return SceneQuestion(kind="color", question=_phrase(rng, TEXT_COLOR, split, W=item.text), answer=item.color)
    return SceneQuestion(kind="color", question=_phrase(rng, SHAPE_COLOR, split, O=item.shape), answer=item.color)


def _count(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    if rng.random() < 0.5:
        return SceneQuestion(kind="count", question=_phrase(rng, COUNT, split), answer=str(len(scene.objects)))
    return SceneQuestion(kind="count", question=_phrase(rng, COUNT_TEXTS, split), answer=str(len(scene.texts)))


def _exists(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    present = tuple(item.shape for item in scene.objects)
    shape = rng.choice(present if present and rng.random() < 0.5 else SHAPES)
    answer = "yes" if shape in present else "no"
    return SceneQuestion(kind="exists", question=_phrase(rng, EXISTS, split, O=shape), answer=answer)


def _where(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    if not scene.items:
        return None
    item = rng.choice(scene.items)
    if isinstance(item, TextItem):
        question = _phrase(rng, WHERE_TEXT, split, W=item.text)
    else:
        question = _phrase(rng, WHERE_SHAPE, split, O=name_shape(item, rng))
    box = thousandths(item.box, scene)
    return SceneQuestion(kind="where", question=question, answer=str(list(box)), box=box)


def _face(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    if not scene.texts:
        return None
    item = rng.choice(scene.texts)
    return SceneQuestion(kind="face", question=_phrase(rng, FACE, split, W=item.text), answer=FACE_WORDS[item.face][0])


def _style(scene: Scene, rng: random.Random, split: str) -> SceneQuestion | None:
    return SceneQuestion(kind="style", question=_phrase(rng, STYLE, split), answer=STYLE_WORDS[scene.style])


_ASKERS: dict[str, _Ask] = {
    "read": _read,
    "color": _color,
    "count": _count,
    "exists": _exists,
    "where": _where,
    "face": _face,
    "style": _style,
}
KINDS = tuple(_ASKERS)


def ask(scene: Scene, rng: random.Random, *, split: str = "train", kinds: tuple[str, ...] = KINDS) -> SceneQuestion:
    """One question about a scene, of one of `kinds` (another of them where the scene has nothing to ask about)."""
    check_split(split)
    for kind in kinds:
        if kind not in _ASKERS:
            raise ConfigError(f"unknown question kind {kind!r}: choose from {', '.join(KINDS)}")
    for kind in rng.sample(kinds, len(kinds)):
        question = _ASKERS[kind](scene, rng, split)
        if question is not None:
            return question
    raise ConfigError(f"this scene answers no question of the kinds {', '.join(kinds)}: allow count or color")
