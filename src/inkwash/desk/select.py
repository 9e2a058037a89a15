"""A region chosen by hand: the screen stands still in a window without borders, and a rectangle is drawn on it.

Tk comes with Python on Windows and macOS, and as a package of the distribution elsewhere. The page of the assistant
needs none: there the same is done in the browser.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from inkwash.core.errors import Cancelled, ConfigError
from inkwash.desk.places import ScreenBox
from inkwash.desk.screen import Shot

_LEAST = 2  # a click that trembles is no region


def select_region(shot: Shot) -> Shot:
    """The part of a shot that is drawn with the pointer; raises Cancelled for Escape."""
    corners = _Overlay(shot).choose()
    return crop(shot, corners)


def crop(shot: Shot, corners: tuple[int, int, int, int]) -> Shot:
    """A part of a shot: left, top, right, bottom in units of its box, from its corner."""
    left, right = sorted((corners[0], corners[2]))
    top, bottom = sorted((corners[1], corners[3]))
    scaled = tuple(round(side * shot.scale) for side in (left, top, right, bottom))
    box = ScreenBox(left=shot.box.left + left, top=shot.box.top + top, width=right - left, height=bottom - top)
    return Shot(image=shot.image.crop(scaled), box=box, scale=shot.scale)  # type: ignore[arg-type]


class _Overlay:
    """The window, from its opening to its end."""

    def __init__(self, shot: Shot) -> None:
        try:
            import tkinter
        except ImportError:
            raise ConfigError(
                "Choosing a region by hand needs Tk: install it (Debian: apt install python3-tk), or give --region."
            ) from None
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise ConfigError(f"Choosing a region by hand needs a display ({error}): give --region.") from None
        from PIL import ImageTk

        box = shot.box
        self._start: tuple[int, int] | None = None
        self._chosen: tuple[int, int, int, int] | None = None
        self._root.overrideredirect(True)
        self._root.attributes("-topmost", True)
        self._root.geometry(f"{box.width}x{box.height}+{box.left}+{box.top}")
        picture = (
            shot.image if shot.scale == 1 else shot.image.resize((box.width, box.height), Image.Resampling.BILINEAR)
        )
        self._picture = ImageTk.PhotoImage(picture)
        self._canvas: Any = tkinter.Canvas(self._root, highlightthickness=0, cursor="crosshair")
        self._canvas.pack(fill="both", expand=True)
        self._canvas.create_image(0, 0, image=self._picture, anchor="nw")
        self._frame = self._canvas.create_rectangle(0, 0, 0, 0, outline="#ff3b6b", width=2)
        self._canvas.bind("<ButtonPress-1>", self._press)
        self._canvas.bind("<B1-Motion>", self._move)
        self._canvas.bind("<ButtonRelease-1>", self._release)
        self._root.bind("<Escape>", lambda event: self._root.quit())
        self._root.bind("<ButtonPress-3>", lambda event: self._root.quit())

    def choose(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what was drawn."""
        self._root.after(50, self._root.focus_force)
        self._root.mainloop()
        self._root.destroy()
        if self._chosen is None:
            raise Cancelled("No region was chosen; nothing was written.")
        return self._chosen

    def _press(self, event: Any) -> None:
        self._start = event.x, event.y

    def _move(self, event: Any) -> None:
        if self._start is not None:
            self._canvas.coords(self._frame, *self._start, event.x, event.y)

    def _release(self, event: Any) -> None:
        if self._start is None:
            return
        (left, top), self._start = self._start, None
        if abs(event.x - left) >= _LEAST and abs(event.y - top) >= _LEAST:
            self._chosen = left, top, event.x, event.y
            self._root.quit()
