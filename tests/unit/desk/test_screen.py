"""Pictures of the screen: exact to the pixel on a display of one's own, and one sentence where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkwash.cli.app import run
from inkwash.core.errors import InkwashError, RequestError
from inkwash.desk.places import Monitor, ScreenBox, Window
from inkwash.desk.screen import MssScreen, ScreenError, check_session, find_window, fitted, open_screen, see_every_pixel
from inkwash.desk.select import crop
from tests.display import HEIGHT, WIDTH

AT = ScreenBox(left=300, top=200, width=200, height=120)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (AT.height, AT.width, 3), dtype=np.uint8))


@pytest.fixture
def painted(display: str) -> Iterator[Image.Image]:
    """A window of noise with a name, in the middle of the screen."""
    from Xlib import X
    from Xlib.display import Display

    connection = Display(display)
    screen = connection.screen()
    window = screen.root.create_window(
        AT.left, AT.top, AT.width, AT.height, 0, screen.root_depth, X.InputOutput, X.CopyFromParent,
        background_pixel=screen.black_pixel, event_mask=X.ExposureMask, override_redirect=True,
    )  # fmt: skip
    window.set_wm_name("Noise - Painter")
    window.set_wm_class("painter", "Painter")
    window.map()
    connection.sync()
    picture = noise()
    graphics = window.create_gc()
    # python-xlib sends 24 bits as 32, blue first
    data = np.concatenate([np.asarray(picture)[:, :, ::-1], np.zeros((AT.height, AT.width, 1), np.uint8)], axis=2)
    rows = 40  # a request has a largest size
    for top in range(0, AT.height, rows):
        part = data[top : top + rows].tobytes()
        window.put_image(graphics, 0, top, AT.width, min(rows, AT.height - top), X.ZPixmap, screen.root_depth, 0, part)
    connection.sync()
    yield picture
    window.destroy()
    connection.sync()
    connection.close()


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and np.array_equal(np.asarray(one), np.asarray(other))


def test_a_region_has_exactly_the_pixels_of_the_screen(painted: Image.Image) -> None:
    screen = open_screen()
    assert screen.monitors()[0] == Monitor(number=0, box=ScreenBox(left=0, top=0, width=WIDTH, height=HEIGHT))
    whole = screen.shoot(screen.monitors()[0].box)
    assert whole.image.size == (WIDTH, HEIGHT) and whole.scale == 1
    assert same(whole.image.crop((300, 200, 500, 320)), painted)
    assert same(screen.shoot(AT).image, painted)
    inner = screen.shoot(ScreenBox(left=317, top=211, width=33, height=21))
    assert same(inner.image, painted.crop((17, 11, 50, 32)))
    edge = screen.shoot(ScreenBox(left=-50, top=-50, width=60, height=70))  # the part that is on the screen
    assert edge.box == ScreenBox(left=0, top=0, width=10, height=20) and edge.image.size == (10, 20)
    with pytest.raises(RequestError, match="outside of the screen"):
        screen.shoot(ScreenBox(left=900, top=0, width=10, height=10))
    screen.close()


def test_a_window_is_found_by_title_or_program(painted: Image.Image) -> None:
    screen = open_screen()
    found = find_window(screen.windows(), "noise")
    assert found.box == AT and found.title == "Noise - Painter" and found.program == "Painter"
    assert find_window(screen.windows(), "painter") == found
    with pytest.raises(RequestError, match=r"No window is named 'other': the windows are .*'Noise - Painter'"):
        find_window(screen.windows(), "other")
    screen.close()


def test_the_command_writes_a_file(painted: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "shot.png"
    assert run(["shot", "--window", "Noise", "-o", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"path": str(file), "size": "200x120", "region": str(AT), "scale": 1.0}
    assert same(Image.open(file).convert("RGB"), painted)
    assert run(["shot", "--list"]) == 0
    listed = capsys.readouterr().out
    assert "monitor 0: 0,0,800x600" in listed and "window 'Noise - Painter' of Painter: 300,200,200x120" in listed


@pytest.mark.skipif(shutil.which("xdotool") is None, reason="xdotool is the hand (Debian: apt install xdotool)")
def test_a_region_is_drawn_by_hand(painted: Image.Image, tmp_path: Path, display: str) -> None:
    """A hand drags over the frozen screen; the file has the pixels between the two corners."""
    pytest.importorskip("tkinter")

    def hand_does(*words: str) -> None:
        subprocess.run(["xdotool", *words], check=True, timeout=10)
        time.sleep(0.1)

    def drag() -> None:
        time.sleep(1.0)
        for _ in range(20):  # until the window is there
            hand_does("mousemove", "310", "210")
            hand_does("mousedown", "1")
            for x, y in ((400, 260), (450, 300)):
                hand_does("mousemove", str(x), str(y))
            hand_does("mouseup", "1")
            time.sleep(0.3)
            if done.is_set():
                return

    done = threading.Event()
    hand = threading.Thread(target=drag)
    hand.start()
    try:
        assert run(["shot", "--select", "-o", str(tmp_path / "part.png")]) == 0
    finally:
        done.set()
        hand.join()
    assert same(Image.open(tmp_path / "part.png").convert("RGB"), painted.crop((10, 10, 150, 100)))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "There is no display here"),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "This is a Wayland session"),
        ({"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "This is a Wayland session"),
    ],
)
def test_sessions_without_a_screen_are_told_so(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ScreenError) as caught:
        check_session("linux", environment)
    assert caught.value.message.startswith(said) and "--browser" in caught.value.message
    check_session("win32", environment)
    check_session("darwin", environment)


@pytest.mark.skipif(sys.platform != "linux", reason="DISPLAY is X11's")
@pytest.mark.parametrize("command", ["shot", "record"])
def test_commands_without_a_display_end_with_one_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mss")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("XDG_SESSION_TYPE", raising=False)
    for name, said in ((None, "There is no display here"), (":4711", "The display cannot be opened")):
        monkeypatch.delenv("DISPLAY", raising=False) if name is None else monkeypatch.setenv("DISPLAY", name)
        file = tmp_path / ("a.png" if command == "shot" else "a.mp4")
        assert run([command, "-o", str(file)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"inkwash: {said}") and error.count("\n") == 1 and not file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shot", "--region", "1,2,3"], "The region '1,2,3' is not LEFT,TOP,WIDTHxHEIGHT"),
        (["shot", "--region", "1,2,0x5"], "The region '1,2,0x5' is not"),
        (["shot", "--region", "1,2,3x4", "--window", "a"], "region and window were given"),
        (["shot", "--select", "--window", "a"], "--select chooses a region by hand"),
        (["record", "--fps", "0"], "fps is 0"),
        (["record", "-o", "clip.avi"], "--output is 'clip.avi', but recordings are written as .mp4."),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


class Grabber:
    """What `mss` tells of a Mac with a sharp screen and a second monitor to its left."""

    monitors = (
        {"left": -1920, "top": 0, "width": 3360, "height": 1080},
        {"left": 0, "top": 0, "width": 1440, "height": 900},
        {"left": -1920, "top": 0, "width": 1920, "height": 1080},
    )

    def grab(self, sides: tuple[int, int, int, int]) -> Any:
        size = (sides[2] - sides[0]) * 2, (sides[3] - sides[1]) * 2
        if sides[0] == 666:
            raise OSError("CGDisplayCreateImageForRect returned NULL.")
        self.sides = sides
        return type("Taken", (), {"size": size, "bgra": bytes((10, 20, 30, 255)) * (size[0] * size[1])})()

    def close(self) -> None:
        self.closed = True


class NoWindows:
    def windows(self) -> list[Window]:
        return []

    def close(self) -> None:
        pass


def test_a_sharp_screen_has_a_scale_and_its_colours() -> None:
    grabber = Grabber()
    screen = MssScreen(grabber, NoWindows())
    shot = screen.shoot(ScreenBox(left=-100, top=5, width=50, height=20))
    assert grabber.sides == (-100, 5, -50, 25) and shot.scale == 2 and shot.image.size == (100, 40)
    assert shot.image.getpixel((0, 0)) == (30, 20, 10)
    part = crop(shot, (30, 15, 10, 5))  # drawn from the lower right
    assert part.image.size == (40, 20) and part.box == ScreenBox(left=-90, top=10, width=20, height=10)
    with pytest.raises(ScreenError, match=r"cannot be read \(CGDisplayCreateImageForRect returned NULL\)"):
        screen.shoot(ScreenBox(left=666, top=0, width=5, height=5))


def test_windows_is_asked_for_real_pixels() -> None:
    calls: list[tuple[str, Any]] = []

    class Newest:
        def SetProcessDpiAwarenessContext(self, context: int) -> int:
            calls.append(("context", context))
            return 1

    class Older:
        def SetProcessDPIAware(self) -> None:
            calls.append(("aware", None))

    class Shcore:
        def SetProcessDpiAwareness(self, kind: int) -> None:
            calls.append(("awareness", kind))

    see_every_pixel(Newest(), Shcore())
    see_every_pixel(Older(), Shcore())
    see_every_pixel(Older(), object())
    assert calls == [("context", -4), ("awareness", 2), ("aware", None)]


def test_pictures_are_fitted_and_never_enlarged() -> None:
    assert fitted(Image.new("RGB", (3840, 2160)), 1568).size == (1568, 882)
    assert fitted(Image.new("RGB", (300, 200)), 1568).size == (300, 200)


def test_errors_are_ours() -> None:
    assert issubclass(ScreenError, InkwashError) and ScreenError.exit_code == 2
