"""Hotkeys: one spelling, conflicts told, and pressed for real on a display of one's own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from typing import ClassVar

import pytest

from inkwash.core.errors import ConfigError, RequestError
from inkwash.desk.hotkeys import ACTIONS, Hotkeys, checked, usual


def test_the_usual_keys_are_right_on_every_platform() -> None:
    for platform, first in (("linux", "<ctrl>"), ("win32", "<ctrl>"), ("darwin", "<cmd>")):
        keys = usual(platform)
        assert tuple(keys) == ACTIONS and keys["shot"] == f"{first}+<shift>+s" and checked(keys) == keys


def test_one_spelling_and_empty_ones_are_off() -> None:
    assert checked({"shot": " <SHIFT> + <Ctrl>+S", "new": " "}) == {"shot": "<ctrl>+<shift>+s"}
    assert checked({"shot": "<alt>+<f12>"}) == {"shot": "<alt>+<f12>"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"fly": "<ctrl>+a"}, "There is no action 'fly'"),
        ({"shot": "s"}, "The hotkey 's' for shot must be like"),
        ({"shot": "<shift>+s"}, "must be like"),  # a capital letter
        ({"shot": "<ctrl>+<f25>"}, "must be like"),
        ({"shot": "<ctrl>+ß"}, "must be like"),
        ({"shot": "<hyper>+s"}, "must be like"),
        ({"shot": "<ctrl>+<shift>+s", "new": "<shift>+<ctrl>+S"}, "stands for both shot and new"),
    ],
)
def test_wrong_keys_are_refused_in_one_sentence(keys: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        checked(keys)


class Listener:
    """A listener that only counts."""

    made: ClassVar[list[Listener]] = []

    def __init__(self, calls: dict[str, Callable[[], None]]) -> None:
        self.calls, self.running = calls, False
        Listener.made.append(self)

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def join(self, timeout: float) -> None:
        assert timeout > 0 and not self.running


def test_new_keys_take_the_place_of_the_old_ones() -> None:
    done: list[str] = []
    hotkeys = Hotkeys(done.append, Listener)
    hotkeys.use({"shot": "<ctrl>+1", "new": "<ctrl>+2"})
    first = Listener.made[-1]
    first.calls["<ctrl>+2"]()
    hotkeys.use({"shot": "<ctrl>+3"})
    assert not first.running and Listener.made[-1].running and done == ["new"]
    with pytest.raises(RequestError):
        hotkeys.use({"shot": "3"})
    assert Listener.made[-1].running and hotkeys.keys == {"shot": "<ctrl>+3"}
    hotkeys.close()
    assert not Listener.made[-1].running


@pytest.mark.skipif(shutil.which("xdotool") is None, reason="xdotool presses the keys (Debian: apt install xdotool)")
def test_a_key_that_is_pressed_is_heard(display: str) -> None:
    """X11 only: the keys are sent to the whole display, by another program."""
    done: list[str] = []
    hotkeys = Hotkeys(done.append)
    hotkeys.use({"shot": "<ctrl>+<shift>+s"})
    with pytest.raises(ConfigError, match=r"<ctrl>\+<shift>\+s belongs to another program"):
        Hotkeys(done.append).use({"new": "<ctrl>+<shift>+s"})
    try:
        for _ in range(20):
            subprocess.run(["xdotool", "key", "ctrl+shift+s"], check=True, timeout=10)
            time.sleep(0.2)
            if done:
                break
    finally:
        listener = hotkeys._running
        hotkeys.close()
        heard = len(done)
        subprocess.run(["xdotool", "key", "ctrl+shift+s"], check=True, timeout=10)
        listener.join(10)
    assert done[:1] == ["shot"] and len(done) == heard and not listener.is_alive()
