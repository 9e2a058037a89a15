"""Around the page: a window that stays on top, an icon in the tray, keys that work everywhere; or a browser's tab.

`pywebview` shows the page in the system's own web view, `pystray` draws the icon, `pynput` listens for keys. What a
machine does not have is told in one sentence and left out; the page itself always works.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from inkwash.core.errors import InkwashError, MissingExtraError
from inkwash.desk.hotkeys import Hotkeys
from inkwash.desk.service import Desk

HIDDEN_S = 0.25  # until a hidden window is off the screen


class Shell:
    """What stands around the page while the assistant runs."""

    def __init__(self, desk: Desk, url: str, say: Callable[[str], None]) -> None:
        self.desk, self.url, self.say = desk, url, say
        self._window: Any = None
        self._icon: Any = None
        self._visible = True
        self.hotkeys = Hotkeys(self.act)

    def act(self, action: str) -> None:
        """What a hotkey or an entry of the tray does: the window itself, else something for the page."""
        if action == "window":
            self.toggle()
            return
        if action in ("new", "history"):
            self.show()
        self.desk.tell(action)

    def listen(self) -> None:
        """Use the hotkeys of the settings; where that cannot be, say so."""
        try:
            self.hotkeys.use(self.desk.settings()["hotkeys"])
        except InkwashError as error:
            self.say(f"Without hotkeys: {error.message}")
        except Exception as error:  # each platform's own: a key that is taken, a permission that is missing
            self.say(f"Without hotkeys: this session lets no program listen for keys ({type(error).__name__}).")

    def window(self, library: Any = None) -> None:
        """Show the page in a window, until it is closed."""
        webview = library or _webview()
        self._window = webview.create_window(
            "Inkwash", self.url, width=1000, height=760, min_size=(380, 420), on_top=True, text_select=True
        )
        self.desk.hide = self._out_of_the_picture
        try:
            webview.start()
        except Exception as error:  # the library's own: no web view on this machine
            raise NoWindow(f"There is no web view for a window here ({type(error).__name__}).") from None
        finally:
            self._window = None

    def tray(self, library: Any = None) -> None:
        """An icon beside the clock, in a thread of its own."""
        try:
            pystray = library or _pystray()
            entries = [("Show or hide", "window"), ("Screenshot", "shot"), ("Region", "region"), ("New", "new")]
            items = [pystray.MenuItem(text, self._entry(action)) for text, action in entries]
            menu = pystray.Menu(*items, pystray.MenuItem("Quit", lambda *_: self.close()))
            self._icon = pystray.Icon("inkwash", _drop(), "Inkwash", menu)
            self._icon.run_detached()
        except InkwashError as error:
            self.say(f"Without an icon in the tray: {error.message}")
        except Exception as error:
            self._icon = None
            self.say(f"Without an icon in the tray: this session has none ({type(error).__name__}).")

    def toggle(self) -> None:
        """Hide the window, or show it again."""
        if self._window is not None:
            (self._window.hide if self._visible else self._window.show)()
            self._visible = not self._visible

    def show(self) -> None:
        """Show the window."""
        if self._window is not None and not self._visible:
            self.toggle()

    def close(self) -> None:
        """End window, tray and hotkeys."""
        icon, self._icon = self._icon, None
        with contextlib.ExitStack() as closing:  # the last one first
            if self._window is not None:
                closing.callback(self._window.destroy)
            if icon is not None:
                closing.callback(icon.stop)
            closing.callback(self.hotkeys.close)

    def _entry(self, action: str) -> Callable[..., None]:
        return lambda *_: self.act(action)

    def _out_of_the_picture(self) -> None:
        """Hide the window while the screen is photographed; it comes back by itself."""
        if self._window is None or not self._visible:
            return
        self._window.hide()
        time.sleep(HIDDEN_S)
        threading.Timer(2 * HIDDEN_S, self._window.show).start()


class NoWindow(InkwashError):
    """The page cannot be shown in a window of its own."""


def _webview() -> Any:
    try:
        import webview
    except ImportError as missing:
        raise MissingExtraError("A window of its own", extra="desk") from missing
    logging.getLogger("pywebview").setLevel(logging.CRITICAL)  # it tells of each missing kit with a traceback
    return webview


def _pystray() -> Any:
    try:
        import pystray
    except ImportError as missing:
        raise MissingExtraError("An icon in the tray", extra="desk") from missing
    except ValueError:  # GTK without the library of indicators: what X11 itself has does
        os.environ["PYSTRAY_BACKEND"] = "xorg"
        import pystray
    logging.getLogger("pystray").addHandler(logging.NullHandler())  # it tells of a missing tray with a traceback
    return pystray


def _drop() -> Any:
    """The icon: a drop of ink."""
    from PIL import Image, ImageDraw

    icon = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    draw = ImageDraw.Draw(icon)
    draw.polygon([(32, 3), (52, 34), (12, 34)], fill=(67, 83, 201))
    draw.ellipse((9, 20, 55, 62), fill=(67, 83, 201))
    return icon
