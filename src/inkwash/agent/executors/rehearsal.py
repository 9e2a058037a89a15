"""Screens that nobody acts on: a picture for one step, and the screenshots of an earlier run in their order."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from inkwash.agent.act import KINDS, AgentError, Kind
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.agent.trajectory import read_steps
from inkwash.models.glm_v.agent import Screen


class Pictures:
    """Shows pictures one after another; acts are noted and sent nowhere."""

    known = False
    hovers = False
    supports: frozenset[Kind] = frozenset(KINDS)

    def __init__(self, pngs: list[bytes], screen: Screen, places: list[str] | None = None) -> None:
        if not pngs:
            raise AgentError("There is no picture to show.")
        self.screen = screen
        self._shots = []
        for number, png in enumerate(pngs):
            with Image.open(io.BytesIO(png)) as image:
                size = image.size
            self._shots.append(Screenshot(png=png, size=size, place=places[number] if places else ""))
        self._at = 0
        self.done: list[PixelAct] = []

    @classmethod
    def of_run(cls, folder: Path, screen: Screen) -> Pictures:
        """The screenshots of a run."""
        _, steps = read_steps(folder)
        pngs = [(folder / f"{step['step']:03d}.png").read_bytes() for step in steps]
        return cls(pngs, screen, [step.get("place") or "" for step in steps])

    def observe(self, *, texts: bool = False) -> Screenshot:
        return self._shots[min(self._at, len(self._shots) - 1)]

    def target(self, at: Pixel) -> Element | None:
        return None

    def focused(self) -> Element | None:
        return None

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        stop.check()
        self.done.append(wanted)
        self._at += 1
        return ""

    def close(self) -> None:
        """Nothing is open."""
