"""What is on the screen: monitors, windows, and the pixels of any part, on X11, Windows and macOS.

    screen = open_screen()
    shot = screen.shoot(screen.monitors()[0].box)
    shot.image, shot.scale

Boxes are in the system's own coordinates, which begin at the first monitor and may be negative. On a screen with more
pixels than points (macOS) a shot has `scale` pixels for each unit of its box. `mss` takes the pixels; which windows
there are is asked of the platform (`windows.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from inkwash.core.errors import ConfigError, MissingExtraError, RequestError
from inkwash.core.text import one_line
from inkwash.desk.places import Monitor, ScreenBox, Window
from inkwash.desk.windows import WindowList, open_windows


class ScreenError(ConfigError):
    """The screen cannot be seen from here; the sentence says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture of a part of the screen."""

    image: Image.Image
    box: ScreenBox
    scale: float  # pixels of the picture for each unit of the box


class Screen(Protocol):
    """What captures; each call may come from any thread."""

    def monitors(self) -> list[Monitor]:
        """All monitors; the first entry is all of them together."""

    def windows(self) -> list[Window]:
        """Windows that can be seen, the one in front first."""

    def shoot(self, box: ScreenBox) -> Shot:
        """The pixels of a box, as far as it lies on a monitor."""

    def close(self) -> None:
        """Give the display back."""


class MssScreen:
    """The screen through `mss`."""

    def __init__(self, grabber: Any, windows: WindowList) -> None:
        self._grabber, self._windows = grabber, windows

    def monitors(self) -> list[Monitor]:
        return [Monitor(number=number, box=_box(found)) for number, found in enumerate(self._grabber.monitors)]

    def windows(self) -> list[Window]:
        return self._windows.windows()

    def shoot(self, box: ScreenBox) -> Shot:
        seen = box.within(self.monitors()[0].box)
        if seen is None:
            raise RequestError(
                f"The region {box} lies outside of the screen, which is {self.monitors()[0].box}.", param="region"
            )
        try:
            taken = self._grabber.grab((seen.left, seen.top, seen.left + seen.width, seen.top + seen.height))
        except Exception as error:  # the library's own class, and those of the system's libraries
            raise ScreenError(f"The screen cannot be read ({_reason(error)}){_permission()}.") from None
        image = Image.frombytes("RGB", taken.size, taken.bgra, "raw", "BGRX")
        return Shot(image=image, box=seen, scale=image.width / seen.width)

    def close(self) -> None:
        try:
            self._grabber.close()
        finally:
            self._windows.close()


def open_screen(*, cursor: bool = False, environment: Mapping[str, str] = os.environ) -> Screen:
    """The screen of this session. Raises ScreenError where there is none that may be read."""
    check_session(sys.platform, environment)
    try:
        import mss
    except ImportError as missing:
        raise MissingExtraError("Looking at the screen", extra="desk") from missing

    if sys.platform == "win32":
        see_every_pixel()
    options = {"with_cursor": cursor} if sys.platform.startswith("linux") else {}
    try:
        grabber = mss.MSS(**options)
    except Exception as error:
        raise ScreenError(f"The display cannot be opened ({_reason(error)}){_permission()}.") from None
    return MssScreen(grabber, open_windows())


def check_session(platform: str, environment: Mapping[str, str]) -> None:
    """Raises ScreenError for a session without a display, or with one that no program may read."""
    if platform in ("win32", "darwin"):
        return
    wayland = environment.get("WAYLAND_DISPLAY") or environment.get("XDG_SESSION_TYPE") == "wayland"
    if wayland:
        raise ScreenError(
            "This is a Wayland session, where only the desktop's own dialogs may capture the screen: press its "
            "screenshot key and paste the picture into the page (inkwash desk --browser), or log in to an X11 session."
        )
    if not environment.get("DISPLAY"):
        raise ScreenError(
            "There is no display here (DISPLAY is not set): run this on a desktop, or open the page of "
            "inkwash desk --browser from one."
        )


def find_monitor(screen: Screen, number: int) -> ScreenBox:
    """The box of a monitor; 0 is all of them."""
    monitors = screen.monitors()
    for monitor in monitors:
        if monitor.number == number:
            return monitor.box
    raise RequestError(
        f"There is no monitor {number}: there are {len(monitors) - 1} (0 is all of them together).", param="monitor"
    )


def find_window(windows: Sequence[Window], wanted: str) -> Window:
    """The foremost window whose title or program contains a text; letters' case does not matter."""
    for window in windows:
        if wanted.casefold() in f"{window.title}\n{window.program}".casefold():
            return window
    titles = ", ".join(repr(window.title) for window in windows if window.title)[:300] or "none that has a title"
    raise RequestError(f"No window is named {wanted!r}: the windows are {titles}.", param="window")


def fitted(image: Image.Image, longest: int) -> Image.Image:
    """The picture, scaled down where a side is longer."""
    if max(image.size) <= longest:
        return image
    share = longest / max(image.size)
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(size, Image.Resampling.LANCZOS)


def see_every_pixel(user32: Any = None, shcore: Any = None) -> None:
    """Ask Windows for the real pixels of every monitor, before any capture; a program that does not is told others."""
    if user32 is None:
        import ctypes

        user32, shcore = ctypes.windll.user32, ctypes.windll.shcore  # type: ignore[attr-defined]
    try:
        if user32.SetProcessDpiAwarenessContext(-4):  # per monitor, second edition: Windows 10 from 1703 on
            return
    except AttributeError:
        pass
    try:
        shcore.SetProcessDpiAwareness(2)
    except (AttributeError, OSError):
        user32.SetProcessDPIAware()


def _box(found: Mapping[str, int]) -> ScreenBox:
    return ScreenBox(left=found["left"], top=found["top"], width=found["width"], height=found["height"])


def _reason(error: Exception) -> str:
    return one_line(error, 200).rstrip(".")


def _permission(platform: str = sys.platform) -> str:
    """What to do about it on macOS, where a person must allow it."""
    if platform != "darwin":
        return ""
    return "; allow it under System Settings, Privacy & Security, Screen Recording, and start again"
