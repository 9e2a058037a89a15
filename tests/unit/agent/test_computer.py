"""Screens of this machine: geometry and events by fakes, and the real thing under Xvfb where that is installed."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from inkwash.agent.act import Act, AgentError, Grid, Place
from inkwash.agent.executors.computer import ComputerExecutor, check_display
from inkwash.agent.reply import Format
from inkwash.agent.shot import PixelAct, to_pixels
from inkwash.agent.stop import StopSwitch
from inkwash.core.errors import Cancelled

Box = tuple[int, int, int, int]


class Monitors:
    """Two monitors beside each other, seen at a scale."""

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        self.size, self.scale = size, scale

    def monitors(self) -> list[Box]:
        width, height = self.size
        return [(0, 0, width, height), (-width, 40, width, height)]

    def grab(self, monitor: Box) -> tuple[bytes, tuple[int, int]]:
        size = round(monitor[2] * self.scale), round(monitor[3] * self.scale)
        target = io.BytesIO()
        Image.new("1", size).save(target, "PNG", compress_level=0)
        return target.getvalue(), size

    def close(self) -> None:
        """Nothing is open."""


class Log:
    """Notes events; `stop_at` throws a switch before that many."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.stop: StopSwitch | None = None
        self.stop_at = 10**9

    def _note(self, *event: Any) -> None:
        self.events.append(event)
        if self.stop is not None and len(self.events) >= self.stop_at:
            self.stop.throw()

    def move(self, x: float, y: float) -> None:
        self._note("move", x, y)

    def button(self, name: str, down: bool) -> None:
        self._note("button", name, down)

    def wheel(self, across: int, up: int) -> None:
        self._note("wheel", across, up)

    def key(self, name: str, down: bool) -> None:
        self._note("key", name, down)

    def can_type(self, text: str) -> bool:
        return text.isascii() and text.isprintable()


class Board:
    def __init__(self) -> None:
        self.text, self.copied = "kept", list[str]()

    def paste(self) -> str:
        return self.text

    def copy(self, text: str) -> None:
        self.text = text
        self.copied.append(text)


def computer(log: Log, size: tuple[int, int] = (1280, 720), scale: float = 1.0, monitor: int = 0, **more: Any) -> Any:
    return ComputerExecutor(
        monitor, capture=Monitors(size, scale), events=log, **{"window": lambda: "Editor", "clipboard": Board(), **more}
    )


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (1512, 982)])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("monitor", [0, 1])
def test_clicks_land_in_the_middle_on_every_monitor(size: tuple[int, int], scale: float, monitor: int) -> None:
    """200 boxes on each: within a pixel of the middle, and on that monitor."""
    rng, log = random.Random(3), Log()
    screen = computer(log, size, scale, monitor)
    shot = screen.observe()
    origin = (0, 0) if monitor == 0 else (-size[0], 40)
    for number in range(200):
        left, top = rng.choice((0, 999, rng.randint(0, 999))), rng.choice((0, 999, rng.randint(0, 999)))
        box = Place(left=left, top=top, right=rng.randint(left, 999), bottom=rng.randint(top, 999))
        grid = Format(model="4.5V", screen="computer").grid if number % 2 else Grid(last=1000)
        wanted = to_pixels(Act(kind="hover", target=box), grid, shot)
        assert isinstance(wanted, PixelAct) and wanted.at is not None
        at = shot.to_input(wanted.at)
        half = 0.5 if grid.last == 999 else 0.0
        for place, start, side, n in zip(at, origin, size, box.middle, strict=True):
            assert start <= place < start + side
            assert abs((place - start) - (n + half) / 1000 * side) * scale <= 1.0 + 1e-6


def sent(act: Act, log: Log, **more: Any) -> list[tuple[Any, ...]]:
    screen = computer(log, **more)
    screen.observe()
    at = (10, 20) if act.target is not None or act.kind == "scroll" else None
    to = (110, 20) if act.end is not None else None
    screen.do(PixelAct(act=act, at=at, to=to, text=act.text), StopSwitch())
    return log.events


HERE = Place.at(1, 1)


def test_events_of_each_act() -> None:
    down, up = ("button", "left", True), ("button", "left", False)
    assert sent(Act(kind="click", target=HERE), Log()) == [("move", 10.5, 20.5), down, up]
    assert sent(Act(kind="double_click", target=HERE), Log())[1:] == [down, up, down, up]
    assert sent(Act(kind="click", button="right", target=HERE), Log())[1] == ("button", "right", True)
    assert sent(Act(kind="hover", target=HERE), Log()) == [("move", 10.5, 20.5)]
    drag = sent(Act(kind="drag", target=HERE, end=HERE), Log())
    assert drag[1] == down and drag[-1] == up and drag[-2] == ("move", 110.5, 20.5)
    assert sent(Act(kind="scroll", direction="down", amount=3), Log())[1:] == [("wheel", 0, -1)] * 3
    keys = [("key", "ctrl", True), ("key", "c", True), ("key", "c", False), ("key", "ctrl", False)]
    assert sent(Act(kind="key", keys=("ctrl", "c")), Log()) == keys
    assert sent(Act(kind="type", text="a b"), Log())[2:4] == [("key", "space", True), ("key", "space", False)]


def test_other_texts_are_pasted_and_the_clipboard_is_put_back() -> None:
    board, log = Board(), Log()
    sent(Act(kind="type", text="It's Grüße 你好 a+b"), log, clipboard=board)
    assert board.copied == ["It's Grüße 你好 a+b", "kept"] and ("key", "v", True) in log.events
    log = Log()
    sent(Act(kind="type", text="a\nb"), log, clipboard=Board(), window=lambda: "sh (XTerm)")
    assert ("key", "insert", True) in log.events


@pytest.mark.parametrize(
    "act",
    [Act(kind="click", target=HERE), Act(kind="drag", target=HERE, end=HERE),
     Act(kind="key", keys=("ctrl", "shift", "a")), Act(kind="type", text="hello")],
    ids=lambda act: act.kind,
)  # fmt: skip
def test_a_stop_at_any_event_leaves_nothing_pressed(act: Act) -> None:
    for number in range(1, 8):
        log, stop = Log(), StopSwitch()
        log.stop, log.stop_at = stop, number
        screen = computer(log)
        screen.observe()
        to = (50, 60) if act.end is not None else None
        at = (10, 20) if act.target is not None else None
        try:
            screen.do(PixelAct(act=act, at=at, to=to, text=act.text), stop)
        except Cancelled:
            pressed = {event[1] for event in log.events[:number] if event[0] in ("key", "button") and event[2]}
            released = [event[1] for event in log.events if event[0] in ("key", "button") and not event[2]]
            assert all(name in released for name in pressed)
            assert all(not event[2] for event in log.events[number:] if event[0] in ("key", "button"))
            assert not [event for event in log.events[number:] if event[0] in ("move", "wheel")]


def test_another_window_in_front_gets_nothing() -> None:
    windows = iter(["Editor", "Bank", "Bank"])
    log = Log()
    screen = computer(log, window=lambda: next(windows))
    screen.observe()
    assert "Another window" in screen.do(PixelAct(act=Act(kind="type", text="a"), text="a"), StopSwitch())
    assert log.events == []


def test_monitors_that_are_not_there() -> None:
    with pytest.raises(AgentError, match="no monitor 2"):
        computer(Log(), monitor=2)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays of Linux")
def test_without_a_display_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(AgentError, match="no display"):
        check_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(AgentError, match="Wayland"):
        check_display()


# -- a real screen -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server of its own."""
    for name in ("Xvfb", "xterm", "xclip"):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} on this machine")
    for module in ("mss", "Xlib", "pyperclip"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x400x24", "-nolisten", "tcp"],
        pass_fds=(write,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        name = f":{pipe.readline().strip()}"
    before = os.environ.get("DISPLAY")
    os.environ["DISPLAY"] = name
    yield name
    server.terminate()
    server.wait(10)
    if before is None:
        del os.environ["DISPLAY"]
    else:
        os.environ["DISPLAY"] = before


SCRIPT = """
import sys, time
from inkwash.agent.act import Act, Place
from inkwash.agent.executors.computer import ComputerExecutor, SystemClipboard
from inkwash.agent.shot import PixelAct
from inkwash.agent.stop import StopSwitch
screen, stop = ComputerExecutor(), StopSwitch()
SystemClipboard().copy("kept")
def act(at=None, **fields):
    screen.observe()
    wanted = Act(**fields)
    return screen.do(PixelAct(act=wanted, at=at, text=wanted.text), stop)
time.sleep(float(sys.argv[1]))
act(at=(200, 100), kind="click", target=Place.at(1, 1))
time.sleep(0.5)
print(repr(screen.observe().place), file=sys.stderr)
act(kind="type", text="It's Grüße 你好 a+b")
act(kind="key", keys=("enter",))
act(kind="type", text="plain ASCII: a_B (c) ~ {d} \\\\ \\"e\\" 100%")
act(kind="key", keys=("enter",))
act(kind="key", keys=("ctrl", "d"))
time.sleep(0.5)
print(SystemClipboard().paste())
screen.close()
"""


@pytest.mark.slow  # an X server, a terminal, a process: some seconds
def test_texts_arrive_exactly_in_a_terminal(display: str, tmp_path: Path) -> None:
    """By mouse, keyboard and clipboard of the system; what was copied before is put back."""
    received, said = tmp_path / "received.txt", tmp_path / "said.txt"
    terminal = subprocess.Popen(
        ["xterm", "-u8", "-geometry", "100x20+0+0", "-e", "sh", "-c", f"cat > {received}"],
        env={**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with said.open("w") as out:  # no pipes: the clipboard's owner goes on living with them
            done = subprocess.run([sys.executable, "-c", SCRIPT, "2.0"], stdout=out, stderr=out, timeout=120)
        assert done.returncode == 0, said.read_text()
        assert said.read_text().splitlines()[-1] == "kept"
        end = time.monotonic() + 10
        while time.monotonic() < end and received.read_text("utf-8").count("\n") < 2:
            time.sleep(0.2)
        assert received.read_text("utf-8") == 'It\'s Grüße 你好 a+b\nplain ASCII: a_B (c) ~ {d} \\ "e" 100%\n', (
            done.stderr
        )
    finally:
        terminal.terminate()
        terminal.wait(10)


FORM = """<!doctype html><meta charset=utf8><body style='margin:0;height:3000px'>
<textarea id=t style='position:fixed;left:0;top:0;width:640px;height:120px'></textarea>
<div id=d style='position:fixed;left:0;top:130px;width:640px;height:120px;background:#ddd'></div><script>
window.log = [];
d.addEventListener("mousedown", (e) => log.push("down " + e.button));
d.addEventListener("mouseup", (e) => log.push(e.clientX > 400 ? "up right" : "up"));
d.addEventListener("dblclick", () => log.push("double"));
addEventListener("wheel", (e) => log.push("wheel " + Math.sign(e.deltaY)));
setInterval(() => fetch("/state?" + encodeURIComponent(JSON.stringify({text: t.value, log}))), 200);
</script>"""
OPERATE = """
import time
from inkwash.agent.act import Act, Place
from inkwash.agent.executors.computer import ComputerExecutor, SystemClipboard
from inkwash.agent.shot import PixelAct
from inkwash.agent.stop import StopSwitch
screen, stop = ComputerExecutor(), StopSwitch()
def act(at=None, to=None, **fields):
    screen.observe()
    wanted = Act(**fields)
    screen.do(PixelAct(act=wanted, at=at, to=to, text=wanted.text), stop)
    time.sleep(0.4)
here = Place.at(1, 1)
act(at=(300, 60), kind="click", target=here)
act(kind="type", text="It's Gr\\u00fc\\u00dfe \\u4f60\\u597d a+b")
act(kind="key", keys=("ctrl", "a"))
act(kind="key", keys=("ctrl", "c"))
print(SystemClipboard().paste())
act(kind="key", keys=("end",))
act(kind="type", text=" (OK)")
act(at=(300, 200), kind="double_click", target=here)
act(at=(100, 200), to=(500, 200), kind="drag", target=here, end=here)
act(at=(300, 350), kind="scroll", direction="down", amount=2)
time.sleep(1.0)
screen.close()
"""


@pytest.mark.slow  # an X server, a browser with a window, a process: some ten seconds
def test_a_browser_on_the_screen_is_operated(display: str, chromium: str, tmp_path: Path) -> None:
    """Click, exact text, a chord, the clipboard, double click, drag and wheel, as the page sees them."""
    from inkwash.agent.worlds.site import Site

    said = tmp_path / "said.txt"
    with Site(lambda path: ("text/html; charset=utf-8", FORM.encode())) as site:
        flags = ["--no-sandbox", "--no-first-run", "--kiosk", f"--user-data-dir={tmp_path / 'profile'}"]
        browser = subprocess.Popen(
            [chromium, *flags, f"{site.origin}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and not any("/state" in path for _, path in site.requests):
                time.sleep(0.2)
            time.sleep(1.5)  # the window takes its place
            with said.open("w") as out:
                done = subprocess.run([sys.executable, "-c", OPERATE], stdout=out, stderr=out, timeout=120)
            assert done.returncode == 0, said.read_text("utf-8")
        finally:
            browser.terminate()
            browser.wait(20)
        state = json.loads(unquote(site.requests[-1][1].partition("?")[2]))
    assert said.read_text("utf-8") == "It's Grüße 你好 a+b\n"
    assert state["text"] == "It's Grüße 你好 a+b (OK)"
    clicks = ["down 0", "up", "down 0", "up", "double"]
    assert state["log"] == [*clicks, "down 0", "up right", "wheel 1", "wheel 1"]


RECORD = """
import sys, threading, time
from Xlib import X, display
from Xlib.ext import record
from inkwash.agent.act import Act, Place
from inkwash.agent.executors.computer import ComputerExecutor
from inkwash.agent.guard import ActGuard
from inkwash.agent.loop import Agent
from inkwash.agent.model import Scripted
from inkwash.agent.policy import Policy
from inkwash.agent.reply import Format, StepReply, write_reply
from inkwash.agent.vault import Vault
watcher, control, seen = display.Display(), display.Display(), []
devices = {"core_requests": (0, 0), "core_replies": (0, 0), "ext_requests": (0, 0, 0, 0), "ext_replies": (0, 0, 0, 0),
           "delivered_events": (0, 0), "device_events": (X.KeyPress, X.MotionNotify), "errors": (0, 0),
           "client_started": False, "client_died": False}
context = watcher.record_create_context(0, [record.AllClients], [devices])
def note(reply):
    if reply.category == record.FromServer and len(reply.data) >= 32:
        seen.extend(reply.data[at] for at in range(0, len(reply.data), 32))
threading.Thread(target=watcher.record_enable_context, args=(context, note), daemon=True).start()
time.sleep(0.5)
form, here = Format(model="4.5V", screen="computer"), Place.at(500, 500)
acts = [Act(kind="click", target=here), Act(kind="click", target=here, button="right"),
        Act(kind="double_click", target=here), Act(kind="hover", target=Place.at(100, 100)),
        Act(kind="drag", target=here, end=Place.at(600, 600)),
        Act(kind="scroll", target=here, direction="down", amount=2), Act(kind="key", keys=("a",)),
        Act(kind="type", text="hello")]
for mode in ("dry", "auto"):
    for act in acts:
        seen.clear()
        replies = [write_reply(StepReply(act=each), form) for each in (act, Act(kind="done"))]
        guard = ActGuard(Policy(mode=mode, allow=("Editor",), acts_per_minute=6000), Vault())
        agent = Agent(model=Scripted(replies), executor=ComputerExecutor(window=lambda: "Editor"), form=form,
                      confirm=lambda asked: True, settle_s=0.0, guard=guard)
        status = agent.run("x").status
        time.sleep(0.2)
        print(mode, act.kind, status, len(seen), flush=True)
"""


@pytest.mark.slow  # an X server and a process
def test_mode_dry_sends_nothing_to_the_x_server(display: str) -> None:
    """By the server's own record of keys, buttons and motion; the same acts in mode `auto` are all recorded."""
    done = subprocess.run([sys.executable, "-c", RECORD], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    dry, auto = ([line for line in lines if line[0] == mode] for mode in ("dry", "auto"))
    assert len(dry) == len(auto) == 8
    assert {(status, events) for _, _, status, events in dry} == {("dry", "0")}
    assert all(status == "done" and int(events) >= 1 for _, _, status, events in auto), auto
