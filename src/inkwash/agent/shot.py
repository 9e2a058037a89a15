"""What an executor sees: a screenshot with its geometry, what stands on it, and acts in pixels of it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageChops, ImageDraw

from inkwash.agent.act import Act, Grid, Mark, Place
from inkwash.media.fonts import load_font
from inkwash.models.glm_v.agent import Unreadable

Pixel = tuple[int, int]
PixelBox = tuple[float, float, float, float]
_SMALL = (64, 64)
_TAGS = ("#c0392b", "#2471a3", "#1e8449", "#7d3c98", "#b9770e", "#34495e")


@dataclass(frozen=True, kw_only=True)
class Element:
    """Something that can be used, as the system tells of it: a page's DOM, a phone's view tree."""

    role: str
    name: str
    box: PixelBox
    origin: str = ""  # of the document that it stands in
    goes_to: tuple[str, ...] = ()  # addresses that it leads or sends to
    says: str = ""  # what can be read on it, whatever its name is
    near: str = ""  # words of the form or dialog around it
    secret: bool = False  # a field for passwords
    editable: bool = False
    opens_files: bool = False
    downloads: bool = False
    value: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Screenshot:
    """A screenshot as a PNG file. A pixel is at `origin + pixel / scale` for what sends input."""

    png: bytes
    size: tuple[int, int]
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)
    elements: tuple[Element, ...] = ()
    place: str = ""  # the address of the page, the title of the window, the package of the app
    texts: tuple[tuple[str, PixelBox], ...] = field(default=(), repr=False)  # what can be read, where it is known
    painted: tuple[PixelBox, ...] = ()  # what is drawn by a script, so that nothing tells what can be read there

    def to_input(self, pixel: Pixel) -> tuple[float, float]:
        """Where a pixel is for a mouse or a finger: the middle of the pixel."""
        x, y = ((at + 0.5) / self.scale + start for at, start in zip(pixel, self.origin, strict=True))
        return x, y

    @property
    def image(self) -> Image.Image:
        with Image.open(io.BytesIO(self.png)) as image:
            return image.convert("RGB")

    def listed(self) -> str:
        """The numbered elements as lines of text."""
        return "\n".join(f"[{n}] {each.role}: {each.name}" for n, each in enumerate(self.elements))


@dataclass(frozen=True, kw_only=True)
class PixelAct:
    """An act whose places are pixels of one screenshot."""

    act: Act
    at: Pixel | None = None
    to: Pixel | None = None
    text: str | None = field(default=None, repr=False)  # what is really typed: secrets are filled in

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for acts that would do the same."""
        act = self.act
        return act.kind, self.at, self.to, act.button, act.text, act.keys, act.direction, act.amount, act.app


def png_of(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=1)
    return target.getvalue()


def _opened(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def to_pixels(act: Act, grid: Grid, shot: Screenshot) -> PixelAct | Unreadable:
    """The act on this screenshot; Unreadable where its mark is not there."""
    at = to = None
    if isinstance(act.target, Mark):
        number = act.target.number
        if number >= len(shot.elements):
            return Unreadable(f"There is no element [{number}]: the page shows {len(shot.elements)}, counted from 0.")
        at = middle(shot.elements[number].box, shot.size)
    elif isinstance(act.target, Place):
        at = grid.pixel(act.target, shot.size)
    elif act.kind == "scroll":
        at = (shot.size[0] // 2, shot.size[1] // 2)
    if act.end is not None:
        to = grid.pixel(act.end, shot.size)
    return PixelAct(act=act, at=at, to=to, text=act.text)


def middle(box: PixelBox, size: tuple[int, int]) -> Pixel:
    """The pixel in the middle of what is seen of a box."""
    left, top, right, bottom = box
    x = (max(left, 0) + min(right, size[0])) / 2
    y = (max(top, 0) + min(bottom, size[1])) / 2
    return min(max(int(x), 0), size[0] - 1), min(max(int(y), 0), size[1] - 1)


def element_at(shot: Screenshot, pixel: Pixel | None) -> Element | None:
    """The smallest element around a pixel."""
    if pixel is None:
        return None
    x, y = pixel[0] + 0.5, pixel[1] + 0.5
    around = [e for e in shot.elements if e.box[0] <= x <= e.box[2] and e.box[1] <= y <= e.box[3]]
    return min(around, key=lambda e: (e.box[2] - e.box[0]) * (e.box[3] - e.box[1]), default=None)


def distance(first: bytes, second: bytes) -> float:
    """The share of two screenshots' small versions that differs, from 0 to 1; 1 for different sizes."""
    if first == second:
        return 0.0
    with Image.open(io.BytesIO(first)) as one, Image.open(io.BytesIO(second)) as other:
        if one.size != other.size:
            return 1.0
        changed = ImageChops.difference(one.convert("L"), other.convert("L")).point(lambda v: 255 * (v > 16))
        share = changed.reduce(max(1, min(changed.size) // _SMALL[0]))
    return sum(share.tobytes()) / 255 / (share.width * share.height)


def black_out(png: bytes, boxes: Iterable[PixelBox]) -> bytes:
    """The picture with these boxes filled black; the same bytes where there are none."""
    boxes = list(boxes)
    if not boxes:
        return png
    image = _opened(png)
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in boxes:
        draw.rectangle((left - 1, top - 1, max(left, right), max(top, bottom)), fill="black")
    return png_of(image)


def draw_marks(png: bytes, elements: Sequence[Element]) -> bytes:
    """The picture with a numbered tag at the corner of every element; the page itself is never touched."""
    image = _opened(png)
    draw = ImageDraw.Draw(image)
    font = load_font("sans", 12)
    for number, element in enumerate(elements):
        left, top, right, bottom = element.box
        color = _TAGS[number % len(_TAGS)]
        draw.rectangle((left, top, right - 1, bottom - 1), outline=color)
        width = draw.textlength(str(number), font=font) + 4
        x, y = min(max(left, 0), image.width - width), max(0, top - 12)
        draw.rectangle((x, y, x + width, y + 13), fill=color)
        draw.text((x + 2, y), str(number), font=font, fill="white")
    return png_of(image)


def draw_act(png: bytes, done: PixelAct) -> bytes:
    """The picture with a cross where an act goes, an arrow along a drag."""
    if done.at is None:
        return png
    image = _opened(png)
    draw = ImageDraw.Draw(image)
    x, y = done.at
    for color, width in (("white", 5), ("#e6007e", 2)):
        draw.ellipse((x - 12, y - 12, x + 12, y + 12), outline=color, width=width)
        draw.line((x - 18, y, x + 18, y), fill=color, width=width)
        draw.line((x, y - 18, x, y + 18), fill=color, width=width)
        if done.to is not None:
            draw.line((x, y, *done.to), fill=color, width=width)
    return png_of(image)
