"""The window, the tray and the keys around the page, with libraries that only note what is asked of them."""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from inkwash.core.errors import RequestError
from inkwash.desk import shell
from inkwash.desk.shell import NoWindow, Shell


class Desk:
    """What the shell needs of the assistant."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.hide: Any = lambda: None
        self.keys = {"shot": "<ctrl>+1"}

    def tell(self, kind: str) -> None:
        self.told.append(kind)

    def settings(self) -> dict[str, Any]:
        return {"hotkeys": self.keys}


class Window:
    def __init__(self) -> None:
        self.did: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.did.append(name)


def made() -> tuple[Shell, Desk, list[str]]:
    desk, said = Desk(), []
    shell_ = Shell(desk, "http://127.0.0.1:1/?token=t", said.append)  # type: ignore[arg-type]
    return shell_, desk, said


def test_the_window_hides_shows_and_stays_out_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "HIDDEN_S", 0.01)
    around, desk, _ = made()
    window, options = Window(), {}

    def start() -> None:  # what happens while the window is there
        around.act("window")
        around.act("shot")
        around.act("new")
        desk.hide()
        for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
            timer.join()
        around.close()

    def create(title: str, url: str, **more: Any) -> Window:
        options.update(more, title=title, url=url)
        return window

    around.window(SimpleNamespace(create_window=create, start=start))
    assert window.did == ["hide", "show", "hide", "show", "destroy"] and desk.told == ["shot", "new"]
    assert options["on_top"] and options["url"].endswith("token=t")
    desk.hide()  # no window any more: nothing happens
    assert len(window.did) == 5


def test_without_a_web_view_it_is_one_sentence() -> None:
    around, _, _ = made()

    def start() -> None:
        raise RuntimeError("You must have either QT or GTK with Python extensions installed")

    with pytest.raises(NoWindow, match=r"no web view for a window here \(RuntimeError\)"):
        around.window(SimpleNamespace(create_window=lambda *_, **__: Window(), start=start))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a web view is part of the system")
def test_the_library_of_the_window_tells_nothing_beside_the_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("webview")
    for name in ("gi", "qtpy"):  # neither GTK nor Qt is installed
        monkeypatch.setitem(sys.modules, name, None)
    around, _, _ = made()
    with pytest.raises(NoWindow, match="no web view for a window here"):
        around.window()
    assert not caplog.records  # with a traceback for each kit that is missing


def test_the_tray_offers_what_the_keys_do() -> None:
    around, desk, said = made()
    entries: list[tuple[str, Any]] = []
    icon = SimpleNamespace(run_detached=lambda: None, stop=lambda: desk.told.append("stopped"))
    tray = SimpleNamespace(
        MenuItem=lambda text, call: entries.append((text, call)), Menu=lambda *items: items, Icon=lambda *_: icon
    )
    around.tray(tray)
    assert [text for text, _ in entries] == ["Show or hide", "Screenshot", "Region", "New", "Quit"] and not said
    entries[1][1](icon, None)
    entries[4][1](icon, None)
    assert desk.told == ["shot", "stopped"]


def test_what_is_missing_is_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    around, desk, said = made()

    def none(*_: Any) -> Any:
        raise OSError("no tray")

    around.tray(SimpleNamespace(MenuItem=none, Menu=none, Icon=none))
    around.hotkeys._listen = none
    around.listen()
    desk.keys = {"shot": "broken"}
    around.listen()
    assert said[0] == "Without an icon in the tray: this session has none (OSError)."
    assert said[1] == "Without hotkeys: this session lets no program listen for keys (OSError)."
    assert said[2].startswith("Without hotkeys: The hotkey 'broken' for shot must be like")
    with pytest.raises(RequestError):
        around.hotkeys.use(desk.keys)
