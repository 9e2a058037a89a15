"""Facts that a picture is held against besides reading: background, shapes, places and colours, through `scenes.check`.

Two questions are asked. For a drawn scene: which of the things the prompt *named* are right (`check_facts`)? For an
edit: which facts of a scene hold, each by itself, so that its two scenes can be compared (`held_facts`)?
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from PIL import Image

from inkwash.eval.metrics import score_words
from inkwash.scenes.card_check import check_card
from inkwash.scenes.check import check
from inkwash.scenes.scene import Scene, ShapeItem, TextItem


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was checked in one picture; None or empty where the prompt asked for nothing."""

    background: bool | None = None
    shapes: tuple[bool, ...] = ()
    shape_colors: tuple[bool, ...] = ()
    shape_places: tuple[bool, ...] = ()
    text_colors: tuple[bool, ...] = ()
    things: tuple[bool, ...] = ()
    counts: tuple[bool, ...] = ()
    thing_places: tuple[bool, ...] = ()


@dataclass(frozen=True, order=True)
class Fact:
    """One statement about a scene, such as text SALE, or shape color red star."""

    kind: str
    value: str

    def __str__(self) -> str:
        return self.value if self.kind == "text" else f"{self.kind} {self.value}"


def check_facts(image: Image.Image, read: Sequence[str], scene: Scene, named: Collection[str] | None = None) -> Facts:
    """What the prompt named (`caption.describe`), or everything without `named`, held against a picture.

    A colour or place belongs to something: of a shape that is not there, or a text that was not read, it is wrong.
    """
    if scene.card is not None:
        return _check_card_facts(image, read, scene, named)
    found = check(image, scene, named=named)

    def is_named(name: str) -> bool:
        return named is None or name in named

    return Facts(
        background=found.background_ok if is_named("background") else None,
        shapes=tuple(one.shape_ok for one in found.objects),
        shape_colors=tuple(
            one.shape_ok and one.color_ok for i, one in enumerate(found.objects) if is_named(f"object{i}.color")
        ),
        shape_places=tuple(
            one.shape_ok and one.place_ok for i, one in enumerate(found.objects) if is_named(f"object{i}.place")
        ),
        text_colors=tuple(
            right and is_read(text.text, read)
            for i, (text, right) in enumerate(zip(scene.texts, found.text_colors, strict=True))
            if is_named(f"text{i}.color")
        ),
    )


def _check_card_facts(image: Image.Image, read: Sequence[str], scene: Scene, named: Collection[str] | None) -> Facts:
    assert scene.card is not None
    found = check_card(image, scene, named=named)

    def is_named(name: str) -> bool:
        return named is None or name in named

    counted = [
        one.there and one.count_ok
        for i, (one, thing) in enumerate(zip(found.things, scene.card.things, strict=True))
        if thing.count == 1 or is_named(f"thing{i}.count")
    ]
    return Facts(
        background=found.background_ok if is_named("background") else None,
        text_colors=tuple(
            right and is_read(text.text, read)
            for i, (text, right) in enumerate(zip(scene.card.texts, found.text_colors, strict=True))
            if is_named(f"text{i}.color")
        ),
        things=tuple(one.there for one in found.things),
        counts=tuple(counted),
        thing_places=tuple(
            one.there and one.place_ok for i, one in enumerate(found.things) if is_named(f"thing{i}.place")
        ),
    )


def is_read(text: str, read: Sequence[str]) -> bool:
    """Whether every word of a text is among the lines that were read."""
    score = score_words([text], read)
    return score.correct == score.total


def held_facts(image: Image.Image, read: Sequence[str], scene: Scene, *, exact: bool = True) -> dict[Fact, bool]:
    """Every fact of a scene, and whether the picture, from which `read` was read, shows it.

    With `exact` everything must stand where the scene has it; without, a shape in the right ninth of the canvas and
    letters of the right colour anywhere are enough, because an instruction says no more than that.
    """
    if scene.card is not None:
        return _held_card_facts(image, read, scene, exact=exact)
    found = check(image, scene, named=None if exact else _all_names(scene))
    held = {Fact("background", scene.background): found.background_ok}
    for text, ink in zip(scene.texts, found.text_colors, strict=True):
        held[Fact("text", text.text)] = is_read(text.text, read)
        held[ink_fact(text)] = ink
    for shape, one in zip(scene.objects, found.objects, strict=True):
        present, colored, placed = shape_facts(shape)
        held |= {
            present: one.shape_ok,
            colored: one.shape_ok and one.color_ok,
            placed: one.shape_ok and one.place_ok,
        }
    return held


def scene_facts(scene: Scene) -> frozenset[Fact]:
    """The keys of `held_facts`, without a picture."""
    facts = {Fact("background", scene.background)}
    if scene.card is not None:
        return frozenset(facts | set(_card_facts(scene)))
    for text in scene.texts:
        facts |= {Fact("text", text.text), ink_fact(text)}
    for shape in scene.objects:
        facts |= set(shape_facts(shape))
    return frozenset(facts)


def _held_card_facts(image: Image.Image, read: Sequence[str], scene: Scene, *, exact: bool) -> dict[Fact, bool]:
    assert scene.card is not None
    names = (
        None if exact else {"background", "structure", "style", *(f"text{i}.color" for i in range(len(scene.texts)))}
    )
    found = check_card(image, scene, named=names)
    held = {Fact("background", scene.background): found.background_ok}
    truths = [found.structure_ok, found.style_ok]
    for text, ink in zip(scene.card.texts, found.text_colors, strict=True):
        truths += [is_read(text.text, read), ink]
    for one in found.things:
        truths += [one.there, one.there and one.count_ok, one.there and one.place_ok]
    return held | dict(zip(_card_facts(scene), truths, strict=True))


def _card_facts(scene: Scene) -> list[Fact]:
    """The facts of a card besides its background, in a fixed order; places are those of its layout."""
    assert scene.card is not None
    facts = [Fact("structure", f"{scene.structure.kind} {scene.structure.color}".strip()), Fact("style", scene.style)]
    for i, text in enumerate(scene.card.texts):
        box = next(item.box for item in scene.texts if item.region == i)
        facts += [Fact("text", text.text), Fact("ink", f"{text.color} {text.text} at {box[0]},{box[1]}")]
    for i, thing in enumerate(scene.card.things):
        boxes = [item.box for item in scene.pictures if item.region == i]
        name = f"{thing.color} {thing.thing}".strip()
        spots = " ".join(f"{box[0]},{box[1]}" for box in boxes)
        facts += [Fact("thing", name), Fact("count", f"{thing.count} {name}"), Fact("place", f"{name} at {spots}")]
    return facts


def _all_names(scene: Scene) -> frozenset[str]:
    shapes = {f"object{i}.{what}" for i in range(len(scene.objects)) for what in ("color", "place")}
    return frozenset({"background", *shapes, *(f"text{i}.color" for i in range(len(scene.texts)))})


def ink_fact(item: TextItem) -> Fact:
    """Letters of this colour stand in the text's box."""
    return Fact("ink", f"{item.color} {item.text} at {item.box[0]},{item.box[1]}")


def shape_facts(item: ShapeItem) -> tuple[Fact, Fact, Fact]:
    """The shape is there, has its colour, and stands at its place."""
    return (
        Fact("shape", item.shape),
        Fact("shape color", f"{item.color} {item.shape}"),
        Fact("shape place", f"{item.shape} at {item.box[0]},{item.box[1]}"),
    )
