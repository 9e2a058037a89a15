"""This machine's screen: one monitor seen by mss, mouse and keyboard sent by XTest (X11) or pynput (Windows, macOS).

Plain ASCII is typed; any other text is pasted, since key events lose characters that the keyboard's layout lacks. The
clipboard is put back. Under Wayland no program may see or control another one's windows, which is said in a sentence.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from inkwash.agent.act import AgentError, Kind
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot
from inkwash.agent.stop import StopSwitch
from inkwash.core.errors import MissingExtraError
from inkwash.models.glm_v.agent import Screen

WAIT_S = 5.0
DRAG_POINTS = 12
BETWEEN_S = 0.015  # events that come faster are merged by some toolkits
PASTE_S = 0.4  # until the window has fetched a pasted text
TERMINALS = ("xterm", "terminal", "konsole", "kitty", "alacritty")
_KEYS = {"esc": "esc", "pageup": "page_up", "pagedown": "page_down", "meta": "cmd"}  # pynput's names, where they differ

_KEYSYMS = {
    "ctrl": "Control_L", "alt": "Alt_L", "shift": "Shift_L", "meta": "Super_L", "enter": "Return", "esc": "Escape",
    "backspace": "BackSpace", "pageup": "Prior", "pagedown": "Next", "space": "space",
}  # fmt: skip


class Capture(Protocol):
    """Pictures of monitors: (left, top, width, height) in units of input, and the pixels of one."""

    def monitors(self) -> list[tuple[int, int, int, int]]: ...

    def grab(self, monitor: tuple[int, int, int, int]) -> tuple[bytes, tuple[int, int]]:
        """A PNG file and its size in pixels."""
        ...

    def close(self) -> None: ...


class Input(Protocol):
    """Events of a mouse and a keyboard, one at a time."""

    def move(self, x: float, y: float) -> None: ...
    def button(self, name: str, down: bool) -> None: ...
    def wheel(self, across: int, up: int) -> None: ...
    def key(self, name: str, down: bool) -> None: ...
    def can_type(self, text: str) -> bool: ...


class Clipboard(Protocol):
    """The text that is copied."""

    def paste(self) -> str: ...
    def copy(self, text: str) -> None: ...


class ComputerExecutor:
    """One monitor; nothing tells what lies under the pointer, so the guard has clicks confirmed."""

    screen: Screen = "computer"
    known = False
    hovers = False
    supports: frozenset[Kind] = frozenset(
        {"click", "double_click", "long_press", "hover", "drag", "type", "key", "scroll", "wait"}
    )

    def __init__(
        self,
        monitor: int = 0,
        *,
        capture: Capture | None = None,
        events: Input | None = None,
        clipboard: Clipboard | None = None,
        window: Callable[[], str] | None = None,
    ) -> None:
        """The parts are those of this system; tests give their own."""
        if capture is None or events is None:
            check_display()
        self._capture = capture or MssCapture()
        self._events = events or (X11Input() if sys.platform.startswith("linux") else PynputInput())
        self._clipboard = clipboard
        self._window = window or foreground_window
        monitors = self._capture.monitors()
        if not 0 <= monitor < len(monitors):
            raise AgentError(f"There is no monitor {monitor}: this system has {len(monitors)}, counted from 0.")
        self.monitor = monitor
        self._held: list[tuple[str, str]] = []
        self._shot: Screenshot | None = None

    def observe(self, *, texts: bool = False) -> Screenshot:
        """The monitor with its origin and scale of the same moment."""
        monitor = self._capture.monitors()[self.monitor]
        png, size = self._capture.grab(monitor)
        left, top, width, _ = monitor
        self._shot = Screenshot(png=png, size=size, scale=size[0] / width, origin=(left, top), place=self._window())
        return self._shot

    def target(self, at: Pixel) -> Element | None:
        """Unknown here."""
        return None

    def focused(self) -> Element | None:
        """Unknown here."""
        return None

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        """Send an act's events, the switch asked and the window in front compared before each of them."""
        if self._shot is None:
            raise AgentError("Nothing was looked at before the act.")
        before = self._shot.place
        if self._window() != before:
            return f"Another window came to the front ({self._window()!r}), so nothing was sent."
        try:
            self._do(wanted, self._shot, stop)
        finally:
            self._release()
        return ""

    def _do(self, wanted: PixelAct, shot: Screenshot, stop: StopSwitch) -> None:
        act = wanted.act
        if act.kind == "wait":
            stop.wait(WAIT_S)
        elif act.kind == "key":
            self._press(act.keys, stop)
        elif act.kind == "scroll":
            self._move(shot, wanted.at, stop)
            across = {"left": -1, "right": 1}.get(act.direction or "", 0)
            up = {"up": 1, "down": -1}.get(act.direction or "", 0)
            for _ in range(act.amount or 5):
                self._send(stop, lambda: self._events.wheel(across, up))
        elif act.kind == "drag":
            self._drag(shot, wanted, stop)
        elif act.kind == "type":
            if wanted.at is not None:
                self._move(shot, wanted.at, stop)
                self._click("left", stop)
            if act.replaces:
                self._press(("ctrl", "a"), stop)
            self._type(wanted.text or "", shot, stop)
            if act.submits:
                self._press(("enter",), stop)
        else:
            self._move(shot, wanted.at, stop)
            for _ in range({"hover": 0, "double_click": 2}.get(act.kind, 1)):
                self._click(act.button, stop, held_s=1.0 if act.kind == "long_press" else 0.0)

    def _send(self, stop: StopSwitch, event: Callable[[], None]) -> None:
        stop.check()
        event()
        stop.wait(BETWEEN_S)

    def _move(self, shot: Screenshot, at: Pixel | None, stop: StopSwitch) -> None:
        assert at is not None
        x, y = shot.to_input(at)
        self._send(stop, lambda: self._events.move(x, y))

    def _down(self, kind: str, name: str, stop: StopSwitch) -> None:
        stop.check()
        self._held.append((kind, name))
        (self._events.button if kind == "button" else self._events.key)(name, True)
        stop.wait(BETWEEN_S)

    def _up(self, kind: str, name: str) -> None:
        (self._events.button if kind == "button" else self._events.key)(name, False)
        self._held.remove((kind, name))

    def _click(self, button: str, stop: StopSwitch, held_s: float = 0.0) -> None:
        self._down("button", button, stop)
        stop.wait(held_s)
        self._up("button", button)
        stop.wait(BETWEEN_S)

    def _press(self, keys: tuple[str, ...], stop: StopSwitch) -> None:
        for key in keys:
            self._down("key", key, stop)
        for key in reversed(keys):
            self._up("key", key)
        stop.wait(BETWEEN_S)

    def _drag(self, shot: Screenshot, wanted: PixelAct, stop: StopSwitch) -> None:
        assert wanted.at is not None and wanted.to is not None
        self._move(shot, wanted.at, stop)
        self._down("button", "left", stop)
        (x0, y0), (x1, y1) = wanted.at, wanted.to
        for n in range(1, DRAG_POINTS + 1):
            part = n / DRAG_POINTS
            self._move(shot, (round(x0 + (x1 - x0) * part), round(y0 + (y1 - y0) * part)), stop)
        self._up("button", "left")

    def _type(self, text: str, shot: Screenshot, stop: StopSwitch) -> None:
        if self._events.can_type(text):
            for character in text:
                self._press(("space" if character == " " else character,), stop)
            return
        clipboard = self._clipboard or SystemClipboard()
        kept = clipboard.paste()
        try:
            clipboard.copy(text)
            terminal = any(name in shot.place.lower() for name in TERMINALS)
            held = "meta" if sys.platform == "darwin" else "ctrl"
            self._press(("shift", "insert") if terminal else (held, "v"), stop)
            stop.wait(PASTE_S)
        finally:
            clipboard.copy(kept)

    def _release(self) -> None:
        while self._held:
            kind, name = self._held.pop()
            with contextlib.suppress(Exception):  # whatever a system raises, the others are still let go
                (self._events.button if kind == "button" else self._events.key)(name, False)

    def close(self) -> None:
        """Release what is pressed and stop looking."""
        self._release()
        self._capture.close()


class MssCapture:
    """Monitors as mss sees them."""

    def __init__(self) -> None:
        try:
            import mss
        except ImportError:
            raise MissingExtraError("Operating this screen", extra="agent") from None
        try:
            self._mss: Any = mss.MSS(with_cursor=False)
        except Exception as error:  # mss raises errors of each system
            raise AgentError(f"The screen cannot be seen: {error}") from None

    def monitors(self) -> list[tuple[int, int, int, int]]:
        """Each one's box in units of input."""
        return [(each["left"], each["top"], each["width"], each["height"]) for each in self._mss.monitors[1:]]

    def grab(self, monitor: tuple[int, int, int, int]) -> tuple[bytes, tuple[int, int]]:
        """A PNG file and its size."""
        from mss.tools import to_png  # lets other threads run meanwhile, as Pillow's writer does not

        left, top, width, height = monitor
        seen = self._mss.grab({"left": left, "top": top, "width": width, "height": height})
        png = to_png(seen.rgb, seen.size, level=1)
        assert png is not None  # it is written to no file
        return png, (seen.size[0], seen.size[1])

    def close(self) -> None:
        """Let go of the display."""
        self._mss.close()


class X11Input:
    """Mouse and keyboard through the XTest extension: what it sends is to a window like the real thing."""

    def __init__(self) -> None:
        try:
            from Xlib import XK, X, display, error
            from Xlib.ext import xtest
        except ImportError:
            raise MissingExtraError("Operating this screen", extra="agent") from None
        try:
            self._display: Any = display.Display()
        except (error.DisplayError, OSError) as failed:
            raise AgentError(f"The screen cannot be operated: {failed}") from None
        self._x, self._xk, self._fake = X, XK, xtest.fake_input
        self._shifted: set[str] = set()

    def move(self, x: float, y: float) -> None:
        self._send(self._x.MotionNotify, x=int(x), y=int(y))

    def button(self, name: str, down: bool) -> None:
        number = {"left": 1, "middle": 2, "right": 3}[name]
        self._send(self._x.ButtonPress if down else self._x.ButtonRelease, number)

    def wheel(self, across: int, up: int) -> None:
        number = (4 if up > 0 else 5) if up else (7 if across > 0 else 6)
        self._send(self._x.ButtonPress, number)
        self._send(self._x.ButtonRelease, number)

    def key(self, name: str, down: bool) -> None:
        code, shifted = self._code(name) or (0, False)
        if not code:
            raise AgentError(f"The keyboard's layout has no key {name!r}.")
        if down and shifted:
            self._send(self._x.KeyPress, self._code("shift")[0])  # type: ignore[index]
            self._shifted.add(name)
        self._send(self._x.KeyPress if down else self._x.KeyRelease, code)
        if not down and name in self._shifted:
            self._shifted.discard(name)
            self._send(self._x.KeyRelease, self._code("shift")[0])  # type: ignore[index]

    def can_type(self, text: str) -> bool:
        """Whether the layout has every character, as it is or with shift."""
        return text.isascii() and text.isprintable() and all(self._code(each) for each in text)

    def _code(self, name: str) -> tuple[int, bool] | None:
        """The key of a name or character, and whether it needs shift; None where the layout lacks it."""
        keysym = ord(name) if len(name) == 1 else self._xk.string_to_keysym(_KEYSYMS.get(name, name.capitalize()))
        found = [(index, code) for code, index in self._display.keysym_to_keycodes(keysym) if index < 2]
        return (min(found)[1], min(found)[0] == 1 and len(name) == 1) if found else None

    def _send(self, kind: int, detail: int = 0, **at: int) -> None:
        self._fake(self._display, kind, detail, **at)
        self._display.sync()


class PynputInput:
    """Mouse and keyboard through pynput."""

    def __init__(self) -> None:
        try:
            from pynput import keyboard, mouse
        except ImportError as error:
            if error.name in ("pynput", None):
                raise MissingExtraError("Operating this screen", extra="agent") from None
            raise AgentError(f"Input cannot be sent here: {error}") from None
        self._mouse, self._keyboard = mouse.Controller(), keyboard.Controller()
        self._buttons, self._keys = mouse.Button, keyboard.Key

    def move(self, x: float, y: float) -> None:
        self._mouse.position = (int(x), int(y))

    def button(self, name: str, down: bool) -> None:
        button = getattr(self._buttons, name)
        (self._mouse.press if down else self._mouse.release)(button)

    def wheel(self, across: int, up: int) -> None:
        self._mouse.scroll(across, up)

    def key(self, name: str, down: bool) -> None:
        key = name if len(name) == 1 else getattr(self._keys, _KEYS.get(name, name))
        (self._keyboard.press if down else self._keyboard.release)(key)

    def can_type(self, text: str) -> bool:
        return text.isascii() and text.isprintable()


class SystemClipboard:
    """The clipboard of the system, and under X11 the primary selection, which terminals paste."""

    def __init__(self) -> None:
        try:
            import pyperclip
        except ImportError:
            raise MissingExtraError("Pasting text", extra="agent") from None
        copy, paste = pyperclip.determine_clipboard()
        self._copy: Any = copy
        self._paste: Any = paste
        if not copy:
            raise AgentError("Text cannot be pasted here: install xclip or xsel.")

    def paste(self) -> str:
        text: str = self._paste()
        return text

    def copy(self, text: str) -> None:
        self._copy(text)
        if sys.platform.startswith("linux"):
            self._copy(text, primary=True)


def check_display() -> None:
    """Raise AgentError where no screen can be seen and operated."""
    if not sys.platform.startswith("linux"):
        return
    wayland = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("XDG_SESSION_TYPE") == "wayland"
    if not os.environ.get("DISPLAY"):
        more = "Wayland lets no program control others" if wayland else "there is no display"
        raise AgentError(f"This screen cannot be operated: {more}; use --on web, or start an X11 session.")


def foreground_window() -> str:
    """Title and class of the window in front; empty where the system does not tell."""
    with contextlib.suppress(Exception):  # a guard that knows nothing allows nothing
        if sys.platform == "win32":
            import ctypes

            user = ctypes.windll.user32  # type: ignore[attr-defined]
            buffer = ctypes.create_unicode_buffer(512)
            user.GetWindowTextW(user.GetForegroundWindow(), buffer, 512)
            return buffer.value
        if sys.platform == "darwin":
            from AppKit import NSWorkspace  # type: ignore[import-not-found]

            return str(NSWorkspace.sharedWorkspace().frontmostApplication().localizedName())
        with _x11() as display:
            return _x11_window(display)
    return ""


@contextlib.contextmanager
def _x11() -> Iterator[Any]:
    from Xlib import display

    opened = display.Display()
    try:
        yield opened
    finally:
        opened.close()


def _x11_window(display: Any) -> str:
    root = display.screen().root
    active = root.get_full_property(display.intern_atom("_NET_ACTIVE_WINDOW"), 0)
    if active is not None and active.value[0]:
        window = display.create_resource_object("window", active.value[0])
    else:  # no window manager: the window that has the focus
        window = display.get_input_focus().focus
        if isinstance(window, int):  # keys go to what lies under the pointer
            window = root.query_pointer().child
    while hasattr(window, "get_wm_class"):
        name, kind = window.get_wm_name(), window.get_wm_class()
        title = window.get_full_property(display.intern_atom("_NET_WM_NAME"), 0)
        label = title.value.decode("utf-8", "replace") if title is not None else name
        if label or kind:
            return f"{label or ''} ({kind[1] if kind else ''})"
        window = window.query_tree().parent
    return ""
