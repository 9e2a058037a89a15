"""Keys that work whatever window is in front: what they do, how they are written, and who listens.

<ctrl>+<shift>+s      letters, digits, f1 to f24, space and print_screen; <cmd> is the key of macOS
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.core.hotkeys import Listener, listen_for

ACTIONS = ("window", "shot", "region", "new", "history")  # show or hide, whole screen, region, new talk, search
END_S = 0.2  # for the listening thread, which on X11 ends with the next key, unheard
_MODIFIERS = ("<ctrl>", "<cmd>", "<alt>", "<shift>")
_KEY = re.compile(r"[a-z0-9]|<f([1-9]|1[0-9]|2[0-4])>|<space>|<print_screen>")


def usual(platform: str = sys.platform) -> dict[str, str]:
    """The keys as they are at first."""
    first = "<cmd>" if platform == "darwin" else "<ctrl>"
    letters = dict(zip(ACTIONS, "csxnh", strict=True))
    return {action: f"{first}+<shift>+{letter}" for action, letter in letters.items()}


def checked(keys: Mapping[str, str]) -> dict[str, str]:
    """Keys in one spelling; RequestError in one sentence for what is no key, unknown, or given twice."""
    found: dict[str, str] = {}
    for action, text in keys.items():
        if action not in ACTIONS:
            raise RequestError(f"There is no action {action!r}: the actions are {', '.join(ACTIONS)}.", param="hotkeys")
        if text.strip():
            found[action] = _spelt(action, text)
    for action, key in found.items():
        for other in found:
            if other != action and found[other] == key:
                raise RequestError(f"{key} stands for both {action} and {other}: change one of them.", param="hotkeys")
    return found


def _spelt(action: str, text: str) -> str:
    parts = [part.strip().lower() for part in text.split("+")]
    held, key = parts[:-1], parts[-1]
    if not held or set(held) - set(_MODIFIERS) or not set(held) & set(_MODIFIERS[:3]) or not _KEY.fullmatch(key):
        raise RequestError(
            f"The hotkey {text!r} for {action} must be like <ctrl>+<shift>+s: one of <ctrl>, <cmd> or <alt>, and a "
            "letter, digit or <f1> to <f24>.",
            param="hotkeys",
        )
    return "+".join([*(one for one in _MODIFIERS if one in held), key])


class Hotkeys:
    """Listens until it is closed; `listen` is the library's class, or one like it."""

    def __init__(
        self, act: Callable[[str], None], listen: Callable[[dict[str, Callable[[], None]]], Any] | None = None
    ):
        self._act, self._listen = act, listen or _listener
        self._running: Any = None
        self.keys: dict[str, str] = {}

    def use(self, keys: Mapping[str, str]) -> None:
        """Listen for these keys instead of those before."""
        wanted = checked(keys)
        self.close()
        if wanted:
            self._running = self._listen({key: self._call(action) for action, key in wanted.items()})
            self._running.start()
        self.keys = wanted

    def close(self) -> None:
        """Listen no more."""
        if self._running is not None:
            running, self._running = self._running, None
            running.stop()
            if threading.current_thread() is not running:
                running.join(END_S)

    def _call(self, action: str) -> Callable[[], None]:
        return lambda: self._act(action)


def _listener(calls: dict[str, Callable[[], None]]) -> Listener:
    return listen_for(calls, extra="desk")
