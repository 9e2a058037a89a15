"""Scene -> picture. Masks of letters and shapes are made once, supersampled, and pasted.

A picture of level `first` at 256 px costs a fill and some ten pastes (measured speeds: docs/scenes.md).
"""

from __future__ import annotations

import math
from functools import lru_cache

from PIL import Image, ImageDraw

from inkwash.core.errors import MediaError
from inkwash.media.fonts import load_font
from inkwash.scenes import structures, styles
from inkwash.scenes.lettering import ink_box
from inkwash.scenes.scene import Scene, ShapeItem, TextItem
from inkwash.scenes.things import thing_image
from inkwash.scenes.world import CELL

CAP_HEIGHT = 24
NARROWEST, WIDEST = 20, 28
NARROWEST_BARE_I = 8
NARROWEST_SMALL, THIN, SMALL_STRETCH = 15, 9, 1.2  # small letters, a little wider than they are by nature
WIDER = 1.3
WIDENED = ("wide", "slab", "round", "hand", "poster")  # else their letters stand too far apart to be read as words
THINNEST_SIGN = 8  # a thinner exclamation mark is overlooked
SUPERSAMPLE = 4


def letter_width(letter: str, natural: float) -> int:
    """Drawn width in pixels of a glyph that is `natural` pixels wide at a cap height of 24 px."""
    if not (letter.isupper() or letter.isdigit()):
        least = NARROWEST_SMALL if natural > THIN else 0 if letter.isalpha() else THINNEST_SIGN
        return round(max(least, min(WIDEST, natural * SMALL_STRETCH)))
    bare = letter in "I1" and natural < 12  # an I without serifs; widened fully it would read as a block
    return round(max(NARROWEST_BARE_I if bare else NARROWEST, min(WIDEST, natural)))


@lru_cache(maxsize=4096)
def letter_mask(face: str, letter: str, cap: int = CAP_HEIGHT) -> Image.Image:
    """A coverage mask ("L") of one character, 32 x 32 px at a cap height of 24 px and as much larger as that.

    Capitals and digits fill the cap height; what hangs below the line is squeezed into the cell.
    """
    if face == "cjk":
        return _square_mask(letter, CELL * (cap // CAP_HEIGHT))
    font = load_font("mono" if face == "wide" else face, 160)
    _, cap_top, _, cap_bottom = font.getbbox("H")
    left, top, right, bottom = font.getbbox(letter)
    big = Image.new("L", (math.ceil(right - left), math.ceil(bottom - top)), 0)
    ImageDraw.Draw(big).text((-left, -top), letter, font=font, fill=255)
    bounds = big.getbbox()
    if bounds is None:
        raise MediaError(f"face {face!r} has no glyph for {letter!r}: grid lettering takes visible characters")
    big = big.crop(bounds)
    scale, enlarged = CAP_HEIGHT / (cap_bottom - cap_top), cap // CAP_HEIGHT
    width = letter_width(letter, big.width * scale * (WIDER if face in WIDENED else 1.0))
    start = (CELL - CAP_HEIGHT) // 2
    if letter.isupper():
        height = CAP_HEIGHT if big.height * scale < CAP_HEIGHT * 1.1 else min(round(big.height * scale), CAP_HEIGHT + 3)
    else:
        above = (top + bounds[1] - cap_top) * scale
        start += max(-3, round(above))
        height = max(3, min(round(big.height * scale), CELL - start))
    cell = Image.new("L", (CELL * enlarged, CELL * enlarged), 0)
    glyph = big.resize((width * enlarged, height * enlarged), Image.Resampling.BOX)
    cell.paste(glyph, ((CELL - width) // 2 * enlarged, start * enlarged))
    return cell


def _square_mask(character: str, side: int = CELL) -> Image.Image:
    """A Chinese character, which fills its cell(s), or a sign between them, at its own place in the square."""
    font = load_font("cjk", side - 3 * side // CELL)
    cell = Image.new("L", (side, side), 0)
    ImageDraw.Draw(cell).text((side // 2, side // 2), character, font=font, fill=255, anchor="mm")
    return cell


def _polygon(shape: str, n: int) -> list[tuple[float, float]]:
    if shape == "triangle":
        return [(n / 2, 0), (n, n), (0, n)]
    if shape == "diamond":
        return [(n / 2, 0), (n, n / 2), (n / 2, n), (0, n / 2)]
    if shape == "cross":
        a, b = n / 3, 2 * n / 3
        return [(a, 0), (b, 0), (b, a), (n, a), (n, b), (b, b), (b, n), (a, n), (a, b), (0, b), (0, a), (a, a)]
    if shape == "arrow":
        low, high, neck = n * 0.32, n * 0.68, n * 0.5
        return [(0, low), (neck, low), (neck, 0), (n, n / 2), (neck, n), (neck, high), (0, high)]
    if shape == "star":
        points = []
        for i in range(10):
            radius = n / 2 * (1.0 if i % 2 == 0 else 0.42)
            angle = math.pi * i / 5 - math.pi / 2
            points.append((n / 2 + radius * math.cos(angle), n / 2 + radius * math.sin(angle)))
        return points
    steps = (2 * math.pi * i / 120 for i in range(120))  # the heart curve, scaled to the unit box
    curve = [
        (16 * math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)))
        for t in steps
    ]
    return [((x + 16) / 32 * n, (y + 12.2) / 29.2 * n) for x, y in curve]


@lru_cache(maxsize=256)
def shape_mask(shape: str, size: int) -> Image.Image:
    """A size x size coverage mask ("L") of a filled shape, with a 4 % margin inside its box."""
    n = size * SUPERSAMPLE
    margin = round(n * 0.04)
    inner = n - 2 * margin
    big = Image.new("L", (n, n), 0)
    draw = ImageDraw.Draw(big)
    if shape == "circle":
        draw.ellipse((margin, margin, margin + inner - 1, margin + inner - 1), fill=255)
    elif shape == "square":
        draw.rectangle((margin, margin, margin + inner - 1, margin + inner - 1), fill=255)
    else:
        draw.polygon([(x + margin, y + margin) for x, y in _polygon(shape, inner)], fill=255)
    return big.resize((size, size), Image.Resampling.BOX)


def item_mask(item: TextItem | ShapeItem) -> Image.Image:
    """The coverage mask ("L") of a whole item, as large as its box."""
    if isinstance(item, ShapeItem):
        return shape_mask(item.shape, item.size)
    left, top, right, bottom = item.box
    mask = Image.new("L", (right - left, bottom - top), 0)
    if item.lettering == "free":
        font = load_font(item.face, item.size)
        ink_left, ink_top, _, _ = ink_box(item.text, item.face, item.size)
        ImageDraw.Draw(mask).text((-ink_left, -ink_top), item.text, font=font, fill=255)
        return mask
    for i, letter in enumerate(item.text):
        if letter != " ":
            mask.paste(letter_mask(item.face, letter, item.size), (i * mask.height, 0))
    return mask


def render(scene: Scene) -> Image.Image:
    """The RGB picture of a scene; the same scene always gives the same pixels."""
    image = styles.background(scene)
    structures.paint(image, scene)
    for thing in scene.things:
        picture = thing_image(thing.thing, thing.size)
        image.paste(picture, thing.box[:2], picture)
    for item in scene.items:
        styles.paint(image, item_mask(item), item, scene)
    return styles.finish(image, scene)
