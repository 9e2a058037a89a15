"""Does this picture show that scene? Background, shapes, places and text colours; the words are read by OCR elsewhere.

`check(image, scene)` asks for everything. With `named` (what `caption.describe` says the prompt named) it asks
for what the prompt asked and lets the rest be free: a place counts by its ninth of the canvas, a colour by its name.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from einops import reduce, repeat
from numpy.typing import NDArray
from PIL import Image

from inkwash.scenes.caption import zone
from inkwash.scenes.scene import Scene, ShapeItem, TextItem, covered_cells
from inkwash.scenes.segment import PALETTE, Component, color_ids, components, named_color
from inkwash.scenes.world import CELL, COLOR_IDS, COLOR_NAMES, SHAPES

__all__ = ["CheckResult", "ShapeCheck", "check", "named_color"]

MIN_IOU = 0.72
COLOR_SHARE = 0.25
STRAY_SHARE = 0.12
MAX_STRAY = 2


@dataclass(frozen=True, kw_only=True)
class ShapeCheck:
    """What was found of one shape of the scene."""

    shape_ok: bool
    color_ok: bool
    place_ok: bool

    @property
    def ok(self) -> bool:
        return self.shape_ok and self.color_ok and self.place_ok


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """`background` is the dominant colour found, `unexpected` counts clear shapes that the scene does not have.

    `stray` counts cells with ink where the scene has none; it is only counted when everything is asked for.
    """

    background: str
    background_ok: bool
    objects: tuple[ShapeCheck, ...]
    text_colors: tuple[bool, ...]
    unexpected: int
    stray: int

    @property
    def objects_ok(self) -> bool:
        return all(item.ok for item in self.objects) and self.unexpected == 0

    @property
    def ok(self) -> bool:
        return self.background_ok and self.objects_ok and all(self.text_colors) and self.stray <= MAX_STRAY


class _Everything(frozenset[str]):
    def __contains__(self, item: object) -> bool:
        return True


def check(image: Image.Image, scene: Scene, *, named: Collection[str] | None = None) -> CheckResult:
    """Hold a picture (any size; scaled to the scene's) against a scene."""
    image = image.convert("RGB")
    if image.size != (scene.width, scene.height):
        image = image.resize((scene.width, scene.height), Image.Resampling.BICUBIC)
    exact = named is None
    facts: Collection[str] = _Everything() if named is None else named
    ids = color_ids(image)
    bare = _bare(scene)
    background = _background(ids, bare)
    new = {item.shape for item in scene.objects} - set(SHAPES)  # the world's own shapes, and those that were asked for
    found = components(ids, background, scene.style, (*SHAPES, *sorted(new)))
    shapes, used = _match(scene, found, facts, exact)
    return CheckResult(
        background=background,
        background_ok="background" not in facts or background == scene.background,
        objects=shapes,
        text_colors=tuple(
            f"text{i}.color" not in facts or _text_color(image, ids, item, background, exact)
            for i, item in enumerate(scene.texts)
        ),
        unexpected=sum(1 for item in found if item not in used and item.iou > 0.85 and not _in_text(item, scene)),
        stray=_stray(ids, bare, background, scene) if exact else 0,
    )


def _bare(scene: Scene) -> NDArray[np.bool_]:
    """(rows, cols): the cells without content."""
    bare = np.ones((scene.rows, scene.cols), dtype=bool)
    for item in scene.items:
        for row, col in covered_cells(item.box):
            bare[row, col] = False
    return bare


def _background(ids: NDArray[np.int64], bare: NDArray[np.bool_]) -> str:
    """The most frequent colour of the cells without content (of all, when there are none)."""
    counted = repeat(bare, "h w -> (h a) (w b)", a=CELL, b=CELL)
    chosen = ids[counted] if counted.any() else ids
    return COLOR_NAMES[int(np.bincount(chosen.ravel(), minlength=len(COLOR_NAMES)).argmax())]


def _stray(ids: NDArray[np.int64], bare: NDArray[np.bool_], background: str, scene: Scene) -> int:
    """How many cells without content show more than a little ink. A frame may cover the outermost cells."""
    ink = (ids != COLOR_IDS[background]).astype(np.float32)
    dirty = (reduce(ink, "(h a) (w b) -> h w", "mean", a=CELL, b=CELL) > STRAY_SHARE) & bare
    return int((dirty[1:-1, 1:-1] if scene.style == "framed" else dirty).sum())


def _in_text(item: Component, scene: Scene) -> bool:
    x, y = item.center
    return any(t.box[0] <= x < t.box[2] and t.box[1] <= y < t.box[3] for t in scene.texts)


def _placed(item: Component, wanted: ShapeItem, scene: Scene, exact: bool) -> bool:
    if not exact:
        return zone(item.box, scene) == zone(wanted.box, scene)
    x, y = (wanted.box[0] + wanted.box[2]) / 2, (wanted.box[1] + wanted.box[3]) / 2
    near = max(abs(item.center[0] - x), abs(item.center[1] - y)) <= max(12, wanted.size / 5)
    return near and 0.7 < item.size / wanted.size < 1.3


def _match(
    scene: Scene, found: list[Component], facts: Collection[str], exact: bool
) -> tuple[tuple[ShapeCheck, ...], list[Component]]:
    """Give each shape of the scene the region that meets most of what was asked."""
    results: list[ShapeCheck] = []
    used: list[Component] = []
    for i, wanted in enumerate(scene.objects):
        best, best_item = ShapeCheck(shape_ok=False, color_ok=False, place_ok=False), None
        for item in found:
            if item in used:
                continue
            one = ShapeCheck(
                shape_ok=item.shape == wanted.shape and item.iou >= MIN_IOU,
                color_ok=f"object{i}.color" not in facts or item.color == wanted.color,
                place_ok=f"object{i}.place" not in facts or _placed(item, wanted, scene, exact),
            )
            if _score(one) > _score(best):
                best, best_item = one, item
        results.append(best)
        if best_item is not None:
            used.append(best_item)
    return tuple(results), used


def _score(item: ShapeCheck) -> int:
    return 4 * item.shape_ok + 2 * item.color_ok + item.place_ok


def _text_color(image: Image.Image, ids: NDArray[np.int64], item: TextItem, background: str, exact: bool) -> bool:
    """Whether what is not background in the text's box (or anywhere) has the text's colour.

    Thin letters are mostly blends with the background, so the pixels farthest from it decide for them.
    """
    left, top, right, bottom = item.box if exact else (0, 0, image.width, image.height)
    here = ids[top:bottom, left:right]
    ink = here != COLOR_IDS[background]
    if not exact:
        return bool((here == COLOR_IDS[item.color]).mean() > 0.003)
    if ink.mean() > 0.03 and (here[ink] == COLOR_IDS[item.color]).mean() > COLOR_SHARE:
        return True
    pixels = np.asarray(image, dtype=np.float32)[top:bottom, left:right].reshape(-1, 3)
    distance = ((pixels - PALETTE[COLOR_IDS[background]]) ** 2).sum(axis=1)
    if distance.max() < 60**2:
        return False
    far = pixels[distance >= np.quantile(distance, 0.97)]
    red, green, blue = (int(v) for v in np.median(far, axis=0))
    return named_color((red, green, blue)) == item.color
