"""Card -> Scene: where everything stands, on the 32 px grid, in one way only.

Texts are stacked about the middle and wrap at words; the first is as large as it fits. Things stand above, below or
beside the texts. What does not fit is tried with smaller things, then without margins, in smaller letters, and last
without gaps.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inkwash.scenes.card import THING_SIZES, Card, CardText, CardThing
from inkwash.scenes.lettering import GRID_CAP, grid_text
from inkwash.scenes.scene import Box, Scene, ShapeItem, Structure, TextItem, ThingItem
from inkwash.scenes.world import CELL, SHAPE_SIZES

LARGE_STEP = 2  # cells a large character is wide and high
MAX_LARGE_LINES = 3
MAX_LINES = 6
_PIECE = re.compile(r" *(?:[\u2e80-\uffef][，。！？：；、]*|[^\s\u2e80-\uffef]+)")
RING = ("frame", "paper", "chalkboard", "ticket", "menu", "label")  # structures that take the outermost cells
PANELLED = ("band", "bubble", "post", "ribbon")  # whose panel is as high as the texts
BESIDE = ("left", "right", "sides", "corners")
OVERHANG = 12  # pixels a panel reaches beyond its texts
POST_ROWS = 3
RIBBON_ROWS = 5  # a higher one is no ribbon

Area = tuple[int, int, int, int]  # top, left, bottom, right in cells; bottom and right are outside


@dataclass(frozen=True, kw_only=True)
class _Try:
    """One way to make everything fit, from the most generous to the tightest."""

    demoted: int  # how many texts, from the last, have small letters although large ones were wished
    margin: int  # free columns at both sides, where no structure takes them
    gap: int  # free rows between blocks
    shrink: int  # steps that things are smaller than wished


@dataclass(frozen=True, kw_only=True)
class _Block:
    """A row of things or the lines of one text, `height` rows high."""

    height: int
    lines: tuple[str, ...] = ()
    text: CardText | None = None
    step: int = 1
    thing: CardThing | None = None
    side: int = 0  # pixels of each thing


def wrap(text: str, width: int) -> tuple[str, ...]:
    """The lines of a text of at most `width` characters: as few as possible, and then as even as possible."""
    lines = _greedy(text, width)
    if len(lines) > 1:
        for narrower in range(width - 1, 0, -1):
            tighter = _greedy(text, narrower)
            if len(tighter) > len(lines) or _broken(text, narrower):
                break
            lines = tighter
    return tuple(lines)


def _pieces(text: str) -> list[str]:
    """What a line may be broken between, each piece with the space before it: words, and every Chinese character."""
    return [match[0] for match in _PIECE.finditer(text)]


def _broken(text: str, width: int) -> bool:
    return any(len(piece.strip()) > width for piece in _pieces(text))


def _greedy(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for piece in _pieces(text):
        if lines and len(lines[-1]) + len(piece) <= width:
            lines[-1] += piece
            continue
        rest = piece.strip()
        while len(rest) > width:  # a word that is longer than the line is cut
            lines.append(rest[:width])
            rest = rest[width:]
        lines.append(rest)
    return lines


def lay_out(card: Card, width: int, height: int) -> Scene | None:
    """The scene of a card on a canvas of `width` x `height` pixels; None when it cannot be made to fit."""
    large = sum(text.size == "large" for text in card.texts)
    margins = (1, 0) if card.structure in ("plain", "band", "slide") else (0,)
    if card.structure in (*PANELLED, "slide") and any(thing.place in BESIDE for thing in card.things):
        return None
    ways = itertools.product((1, 0), range(large + 1), margins, range(3))
    for gap, demoted, margin, shrink in ways:
        scene = _attempt(card, width, height, _Try(demoted=demoted, margin=margin, gap=gap, shrink=shrink))
        if scene is not None:
            return scene
    return None


def content_area(card: Card, rows: int, cols: int, margin: int = 0) -> Area:
    """Where a structure leaves room for texts and things."""
    if card.structure in RING:
        return 1, 1, rows - 1, cols - 1
    if card.structure == "bubble":
        return 1, 1, rows, cols - 1
    if card.structure == "post":
        return 1, 1, rows - POST_ROWS, cols - 1
    if card.structure == "ribbon":
        return 0, 2, rows, cols - 2
    top, bottom = (0 if card.structure == "band" else margin), (margin if card.structure == "plain" else 0)
    return top, margin, rows - bottom, cols - margin


def _attempt(card: Card, width: int, height: int, way: _Try) -> Scene | None:
    rows, cols = height // CELL, width // CELL
    area = content_area(card, rows, cols, way.margin)
    beside = [thing for thing in card.things if thing.place in BESIDE]
    stacked = [thing for thing in card.things if thing.place not in BESIDE]
    reserved = _beside(card, beside, area, way.shrink)
    if reserved is None:
        return None
    inner, items = reserved
    texts = _text_blocks(card, inner, way, whole=bool(way.margin or beside))
    if texts is None:
        return None
    rows_of = {
        place: _thing_blocks([t for t in stacked if t.place == place], inner, way) for place in ("above", "below")
    }
    above, below = rows_of["above"], rows_of["below"]
    if above is None or below is None:
        return None
    placed = _stack(card, inner, above, texts, below, way)
    if placed is None:
        return None
    lines, more, panel = placed
    scene = Scene(width=width, height=height, background=card.background, style=card.style, card=card)
    items = [*items, *more]
    return replace(
        scene,
        structure=Structure(kind=card.structure, color=card.panel, box=panel),
        texts=tuple(lines),
        things=tuple(item for item in items if isinstance(item, ThingItem)),
        objects=tuple(item for item in items if isinstance(item, ShapeItem)),
    )


def thing_side(thing: CardThing, shrink: int = 0) -> int:
    """Pixels of a thing that is `shrink` steps smaller than wished."""
    sizes = SHAPE_SIZES if thing.is_shape else tuple(THING_SIZES.values())
    wished = max(i for i, size in enumerate(sizes) if size <= THING_SIZES[thing.size])
    return sizes[max(0, wished - shrink)]


def thing_item(card: Card, thing: CardThing, row: int, col: int, side: int) -> ThingItem | ShapeItem:
    """One picture of a card's thing, `side` pixels wide, whose upper left cell is (row, col)."""
    box: Box = (col * CELL, row * CELL, col * CELL + side, row * CELL + side)
    region = next(i for i, other in enumerate(card.things) if other is thing)
    if thing.is_shape:
        return ShapeItem(shape=thing.thing, color=thing.color, size=side, box=box, region=region)
    return ThingItem(thing=thing.thing, size=side, box=box, region=region)


def _beside(
    card: Card, things: Sequence[CardThing], area: Area, shrink: int
) -> tuple[Area, list[ThingItem | ShapeItem]] | None:
    """What stands in corners and at the sides, and what area that leaves."""
    top, left, bottom, right = area
    items: list[ThingItem | ShapeItem] = []
    for thing in things:
        side = thing_side(thing, shrink)
        cells = side // CELL
        if thing.place == "corners":
            spots = [(top, left), (top, right - cells), (bottom - cells, left), (bottom - cells, right - cells)]
            items += [thing_item(card, thing, row, col, side) for row, col in spots[: max(2, thing.count)]]
            top, bottom = top + cells, bottom - (cells if thing.count > 2 else 0)
            continue
        places = ("left", "right") if thing.place == "sides" else (thing.place,)
        per_side = -(-thing.count // len(places))
        if per_side * cells > bottom - top:
            return None
        first = top + (bottom - top - per_side * cells) // 2
        for place in places:
            col = left if place == "left" else right - cells
            items += [thing_item(card, thing, first + i * cells, col, side) for i in range(per_side)]
            left, right = (left + cells, right) if place == "left" else (left, right - cells)
    if right - left < 4 or bottom <= top:
        return None
    return (top, left, bottom, right), items


def _text_blocks(card: Card, area: Area, way: _Try, *, whole: bool) -> list[_Block] | None:
    """The texts as lines; None where a text takes too many, or a word had to be cut where words are to stay `whole`."""
    columns = area[3] - area[1]
    keep = sum(text.size == "large" for text in card.texts) - way.demoted  # the first ones stay large
    blocks = []
    for text in card.texts:
        large = text.size == "large" and keep > 0
        keep -= text.size == "large"
        step = LARGE_STEP if large else 1
        space = columns // step
        lines = wrap(text.text, space)
        if large and (len(lines) > MAX_LARGE_LINES or _broken(text.text, space)):
            return None
        if (whole and _broken(text.text, space)) or len(lines) > MAX_LINES:
            return None
        blocks.append(_Block(height=step * len(lines), lines=lines, text=text, step=step))
    return blocks


def _thing_blocks(things: Sequence[CardThing], area: Area, way: _Try) -> list[_Block] | None:
    blocks = []
    for thing in things:
        side = thing_side(thing, way.shrink)
        if thing.count * (side // CELL) > area[3] - area[1]:
            return None
        blocks.append(_Block(height=side // CELL, thing=thing, side=side))
    return blocks


def _stack(
    card: Card, area: Area, above: list[_Block], texts: list[_Block], below: list[_Block], way: _Try
) -> tuple[list[TextItem], list[ThingItem | ShapeItem], Box] | None:
    """The blocks below each other about the middle of the area, and the panel behind the texts."""
    top, left, bottom, right = area
    blocks = [*above, *texts, *below]
    free = {i for i in (len(above), len(above) + len(texts)) if card.structure in PANELLED and texts and i > 0}
    free = {i for i in free if i < len(blocks)}  # a panel needs a free row to its neighbours
    gaps = [max(way.gap, int(i in free)) for i in range(1, len(blocks))]
    header = card.structure == "slide" and bool(texts)
    total = sum(block.height for block in blocks) + sum(gaps)
    if header:
        total += 1 - (gaps[0] if gaps else 0) if not above else 0
    space = bottom - top
    if card.structure == "bubble" and not below:
        space -= 1  # the bubble's tail
    if total > space or (card.structure == "ribbon" and sum(block.height for block in texts) > RIBBON_ROWS):
        return None
    if header and above:
        return None
    row = top if header else top + (space - total) // 2
    lines: list[TextItem] = []
    items: list[ThingItem | ShapeItem] = []
    first = last = row
    for i, block in enumerate(blocks):
        if block.text is not None:
            aligned = header and block.text.role != "title"
            made = _set(block, row, left, right, aligned=aligned)
            lines += [replace(line, region=i - len(above)) for line in made]
            first, last = (row if i == len(above) else first), row + block.height
        else:
            items += _row_of_things(card, block, row, left, right)
        row += block.height + (gaps[i] if i < len(gaps) else 0)
        if header and i == 0:
            row += 1 - (gaps[0] if gaps else 0)
    end = top + texts[0].height if header else last
    return lines, items, _panel(card, area, first, end, [block.step * max(map(len, block.lines)) for block in texts])


def _set(block: _Block, row: int, left: int, right: int, *, aligned: bool) -> Iterator[TextItem]:
    assert block.text is not None
    for i, line in enumerate(block.lines):
        col = left if aligned else left + (right - left - block.step * len(line)) // 2
        text = block.text
        size = GRID_CAP * block.step
        yield grid_text(line, row + i * block.step, col, face=text.face, color=text.color, size=size)


def _row_of_things(card: Card, block: _Block, row: int, left: int, right: int) -> Iterator[ThingItem | ShapeItem]:
    assert block.thing is not None
    cells, count = block.side // CELL, block.thing.count
    space = right - left - count * cells
    gap = 1 if count > 1 and space >= count - 1 else 0
    col = left + (space - gap * (count - 1)) // 2
    for i in range(count):
        yield thing_item(card, block.thing, row, col + i * (cells + gap), block.side)


def _panel(card: Card, area: Area, first: int, last: int, widths: Sequence[int]) -> Box:
    """The pixels of a panel that is as high as the texts; empty for other structures."""
    _, left, _, right = area
    top, bottom = first * CELL - OVERHANG, last * CELL + OVERHANG
    if card.structure == "slide":
        return 0, 0, (right + left) * CELL, last * CELL + OVERHANG
    if card.structure not in PANELLED or not widths:
        return 0, 0, 0, 0
    if card.structure == "band":
        return 0, top, (right + left) * CELL, bottom
    if card.structure == "post":
        middle, half = (left + right) * CELL // 2, max(widths) * CELL // 2 + CELL // 2 + OVERHANG
        return max(4, middle - half), top, min((left + right) * CELL - 4, middle + half), bottom
    return left * CELL - OVERHANG, top, right * CELL + OVERHANG, bottom
