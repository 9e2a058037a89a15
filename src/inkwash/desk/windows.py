"""Which windows there are: the one small question that every platform answers in its own way.

Each class takes the system's library as an argument, so that answers recorded on one platform can be replayed on
another: Windows and macOS are tested that way only.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from inkwash.desk.places import ScreenBox, Window


class WindowList(Protocol):
    """A platform."""

    def windows(self) -> list[Window]:
        """Windows that can be seen, the one in front first."""

    def close(self) -> None:
        """Give the connection back."""


def open_windows() -> WindowList:
    """Those of this machine."""
    if sys.platform == "win32":
        return WindowsWindows()
    if sys.platform == "darwin":
        return MacWindows()
    return X11Windows()


class X11Windows:
    """Asked of the window manager, or of the root window where there is none."""

    def __init__(self, display: Any = None) -> None:
        if display is None:
            from Xlib.display import Display

            display = Display()
        self._display = display
        self._root = display.screen().root

    def windows(self) -> list[Window]:
        listed = self._property(self._root, "_NET_CLIENT_LIST_STACKING")
        if listed is None:  # no window manager: what is mapped
            listed = [child.id for child in self._root.query_tree().children]
        found = (self._window(int(number)) for number in reversed(list(listed)))
        return [window for window in found if window is not None]

    def close(self) -> None:
        self._display.close()

    def _window(self, number: int) -> Window | None:
        """None for one that is hidden, or gone by now."""
        from Xlib import X, error

        window = self._display.create_resource_object("window", number)
        try:
            if window.get_attributes().map_state != X.IsViewable:
                return None
            size = window.get_geometry()
            corner = window.translate_coords(self._root, 0, 0)
            title = self._text(window, "_NET_WM_NAME") or window.get_wm_name() or ""
            names = window.get_wm_class() or ("", "")
        except error.XError:
            return None
        title = title if isinstance(title, str) else title.decode("utf-8", "replace")
        box = ScreenBox(left=-corner.x, top=-corner.y, width=size.width, height=size.height)
        return Window(id=number, title=title, program=names[1], box=box)

    def _property(self, window: Any, name: str) -> Any:
        from Xlib import X

        found = window.get_full_property(self._display.intern_atom(name), X.AnyPropertyType)
        return None if found is None else found.value

    def _text(self, window: Any, name: str) -> str | None:
        value = self._property(window, name)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class WindowsWindows:
    """Asked of user32; the visible frame comes from the desktop's compositor, without its shadow."""

    _FRAME, _CLOAKED = 9, 14  # attributes of dwmapi

    def __init__(self, user32: Any = None, dwmapi: Any = None, program_of: Any = None) -> None:
        import ctypes

        windll = getattr(ctypes, "windll", None)
        self._user32: Any = user32 or getattr(windll, "user32", None)
        self._dwmapi: Any = dwmapi or getattr(windll, "dwmapi", None)
        self._program_of = program_of or _windows_program

    def windows(self) -> list[Window]:
        import ctypes

        found: list[int] = []

        def keep(number: int | None, _: int) -> bool:
            found.append(int(number or 0))
            return True

        factory = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
        call = factory(ctypes.c_bool, ctypes.c_void_p, ctypes.c_ssize_t)(keep)
        self._user32.EnumWindows(call, 0)  # from the front to the back
        windows = (self._window(number) for number in found)
        return [window for window in windows if window is not None]

    def close(self) -> None:
        """There is nothing to give back."""

    def _window(self, number: int) -> Window | None:
        import ctypes

        user32 = self._user32
        if not user32.IsWindowVisible(number) or user32.IsIconic(number) or self._cloaked(number):
            return None
        length = user32.GetWindowTextLengthW(number)
        title = ctypes.create_unicode_buffer(length + 1)
        user32.GetWindowTextW(number, title, length + 1)
        sides = (ctypes.c_long * 4)()
        if self._dwmapi.DwmGetWindowAttribute(number, self._FRAME, sides, ctypes.sizeof(sides)) != 0:
            user32.GetWindowRect(number, sides)
        left, top, right, bottom = sides
        if not title.value or right <= left or bottom <= top:
            return None
        box = ScreenBox(left=left, top=top, width=right - left, height=bottom - top)
        return Window(id=number, title=title.value, program=self._program_of(user32, number), box=box)

    def _cloaked(self, number: int) -> bool:
        """Whether it is on another virtual desktop, or an app that sleeps."""
        import ctypes

        hidden = ctypes.c_int(0)
        self._dwmapi.DwmGetWindowAttribute(number, self._CLOAKED, ctypes.byref(hidden), ctypes.sizeof(hidden))
        return hidden.value != 0


def _windows_program(user32: Any, number: int) -> str:
    """The file name of the program that a window belongs to, as far as it may be asked."""
    import ctypes

    process, kernel32 = ctypes.c_ulong(0), ctypes.windll.kernel32  # type: ignore[attr-defined]
    user32.GetWindowThreadProcessId(number, ctypes.byref(process))
    handle = kernel32.OpenProcess(0x1000, False, process.value)
    if not handle:
        return ""
    name, length = ctypes.create_unicode_buffer(1024), ctypes.c_ulong(1024)
    known = kernel32.QueryFullProcessImageNameW(handle, 0, name, ctypes.byref(length))
    kernel32.CloseHandle(handle)
    return name.value.rpartition("\\")[2] if known else ""


class MacWindows:
    """Asked of Quartz, which comes with `pynput`; titles need the same permission as pictures of the screen."""

    _ON_SCREEN, _NO_DESKTOP = 1, 16

    def __init__(self, quartz: Any = None) -> None:
        if quartz is None:
            import Quartz

            quartz = Quartz
        self._quartz = quartz

    def windows(self) -> list[Window]:
        found = self._quartz.CGWindowListCopyWindowInfo(self._ON_SCREEN | self._NO_DESKTOP, 0) or ()
        return [_mac_window(entry) for entry in found if entry.get("kCGWindowLayer") == 0]  # 0: ordinary windows

    def close(self) -> None:
        """There is nothing to give back."""


def _mac_window(entry: Any) -> Window:
    bounds, program = entry["kCGWindowBounds"], str(entry.get("kCGWindowOwnerName") or "")
    box = ScreenBox(
        left=round(bounds["X"]), top=round(bounds["Y"]), width=round(bounds["Width"]), height=round(bounds["Height"])
    )
    title = str(entry.get("kCGWindowName") or program)
    return Window(id=int(entry["kCGWindowNumber"]), title=title, program=program, box=box)
