"""A screen made in memory, for tests of the loop: elements, a log of what was sent, and a picture that may change."""

from __future__ import annotations

import io

from PIL import Image

from inkwash.agent.act import KINDS, Kind
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot, element_at
from inkwash.agent.stop import StopSwitch
from inkwash.models.glm_v.agent import Screen

SIZE = (400, 200)
HERE = "https://shop.example/"
FORM = Format(model="4.5V", screen="computer")


def picture(shade: int, size: tuple[int, int] = SIZE) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 200, 200)).save(target, "PNG")
    return target.getvalue()


def element(name: str, **more: object) -> Element:
    facts: dict[str, object] = {"role": "button", "box": (0, 0, 100, 40), "origin": "https://shop.example", **more}
    return Element(name=name, **facts)  # type: ignore[arg-type]


class MemoryScreen:
    """`moves`: every act changes the picture."""

    screen: Screen = "web"
    known = True
    hovers = False
    supports: frozenset[Kind] = frozenset(KINDS)

    def __init__(self, *elements: Element, moves: bool = True, place: str = HERE) -> None:
        self.elements, self.moves, self.place = elements, moves, place
        self.done: list[PixelAct] = []
        self.texts: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
        self.focus: Element | None = None

    def observe(self, *, texts: bool = False) -> Screenshot:
        shade = 100 * len(self.done) if self.moves else 0
        return Screenshot(
            png=picture(shade), size=SIZE, elements=self.elements, place=self.place, texts=self.texts if texts else ()
        )

    def target(self, at: Pixel) -> Element | None:
        return element_at(self.observe(), at)

    def focused(self) -> Element | None:
        return self.focus

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        stop.check()
        self.done.append(wanted)
        return ""

    def close(self) -> None:
        """Nothing is open."""


def said(*acts: object, thought: str = "I act.") -> list[str]:
    return [write_reply(StepReply(act=act, thought=thought), FORM) for act in acts]  # type: ignore[arg-type]
