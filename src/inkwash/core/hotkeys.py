"""Key chords that are heard whatever window is in front: by grabs on X11, by `pynput` on Windows and macOS.

On Linux `pynput` needs `evdev`, which pip compiles with the kernel's headers; X11 needs neither.

    <ctrl>+<shift>+s      of <ctrl>, <alt>, <shift>, <cmd>; a letter, digit, <f1> to <f24>, <space>, <print_screen>
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from inkwash.core.errors import ConfigError, MissingExtraError

NO_DISPLAY = "Hotkeys need a display of X11, Windows or macOS, and there is none here."
_NAMES = {"<space>": "space", "<print_screen>": "Print"}  # of X11, where they are not the key's own in capitals


class Listener(Protocol):
    """What hears chords once it is started, in a thread of its own."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def join(self, timeout: float | None = None) -> None: ...


def listen_for(calls: Mapping[str, Callable[[], None]], *, extra: str) -> Listener:
    """A listener that calls what stands beside a chord. Raises MissingExtraError without its library, ConfigError
    without a display, and where another program has the chord."""
    platform: str = sys.platform
    if platform.startswith("linux"):
        try:
            return X11Hotkeys(calls)
        except ImportError as missing:
            raise MissingExtraError("Hotkeys", extra=extra) from missing
    try:
        from pynput import keyboard
    except ImportError as missing:
        if missing.name in ("pynput", "pynput.keyboard"):
            raise MissingExtraError("Hotkeys", extra=extra) from missing
        raise ConfigError(NO_DISPLAY) from None
    made: Listener = keyboard.GlobalHotKeys(dict(calls))
    return made


class X11Hotkeys(threading.Thread):
    """Grabs the chords on the root window; nothing else that is typed is seen."""

    def __init__(self, calls: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(name="inkwash-hotkeys", daemon=True)
        from Xlib import X, display, error

        try:
            self._display: Any = display.Display()
        except (error.DisplayError, OSError):
            raise ConfigError(NO_DISPLAY) from None
        self._pressed: int = X.KeyPress
        self._wake_read, self._wake_write = os.pipe()
        self._mask = X.ControlMask | X.Mod1Mask | X.Mod4Mask | X.ShiftMask
        self._calls: dict[tuple[int, int], Callable[[], None]] = {}
        try:
            for chord, call in calls.items():
                self._calls[self._grab(chord)] = call
        except BaseException:
            self._close()
            raise

    def _grab(self, chord: str) -> tuple[int, int]:
        """Take a chord for us, whether or not caps lock and num lock are on; its key code and modifiers."""
        from Xlib import XK, X, error

        masks = {"<ctrl>": X.ControlMask, "<alt>": X.Mod1Mask, "<cmd>": X.Mod4Mask, "<shift>": X.ShiftMask}
        *held, key = chord.split("+")
        name = _NAMES.get(key, key.strip("<>").upper() if key.startswith("<") else key)
        code = self._display.keysym_to_keycode(XK.string_to_keysym(name))
        modifiers = sum(masks[one] for one in held)
        if not code:
            raise ConfigError(f"This keyboard has no key for {chord}: choose another one.")
        refused = error.CatchError(error.BadAccess)
        for locks in (0, X.LockMask, X.Mod2Mask, X.LockMask | X.Mod2Mask):
            root = self._display.screen().root
            root.grab_key(code, modifiers | locks, False, X.GrabModeAsync, X.GrabModeAsync, onerror=refused)
        self._display.sync()
        if refused.get_error() is not None:
            raise ConfigError(f"{chord} belongs to another program: choose another one.")
        return code, modifiers

    def run(self) -> None:
        """Call what was pressed until `stop`."""
        while True:
            while self._display.pending_events():
                event = self._display.next_event()
                call = (
                    self._calls.get((event.detail, event.state & self._mask)) if event.type == self._pressed else None
                )
                if call is not None:
                    call()
            ready, _, _ = select.select([self._display, self._wake_read], [], [])
            if self._wake_read in ready:
                break
        self._close()

    def stop(self) -> None:
        """Hear no more; the chords are free again when the thread has ended."""
        if self.is_alive():
            os.write(self._wake_write, b".")
        else:
            self._close()

    def _close(self) -> None:
        if self._wake_read < 0:
            return
        self._display.close()
        for end in (self._wake_read, self._wake_write):
            os.close(end)
        self._wake_read = self._wake_write = -1
