"""What every executor offers: look, tell what lies somewhere, do one act in pixels, let go of everything."""

from __future__ import annotations

from typing import Protocol

from inkwash.agent.act import Kind
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.models.glm_v.agent import Screen


class Executor(Protocol):
    """One browser, screen or phone. `do` asks the switch before every event and releases what it pressed."""

    screen: Screen
    supports: frozenset[Kind]
    known: bool  # whether it can tell what its elements are
    hovers: bool  # whether what lies somewhere may change as the pointer comes there

    def observe(self, *, texts: bool = False) -> Screenshot:
        """A fresh screenshot, with what is known of it; with `texts` also where what can be read stands."""
        ...

    def target(self, at: Pixel) -> Element | None:
        """What lies there now."""
        ...

    def focused(self) -> Element | None:
        """What keys go to now."""
        ...

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        """Carry an act out; returns what is to be told of it, nothing where all went as usual."""
        ...

    def close(self) -> None:
        """Let go of all that was opened; what was pressed is released."""
        ...
