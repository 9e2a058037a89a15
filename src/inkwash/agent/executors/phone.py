"""An Android phone through an adb server: pictures by screencap, elements by its view tree, input by its own commands.

Texts of ASCII are typed by the phone's `input`; for all others the phone needs ADBKeyBoard, else they are refused: the
phone's own command fails on them.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import socket
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from inkwash.agent.act import OPPOSITE, AgentError, Kind
from inkwash.agent.shot import Element, Pixel, PixelAct, Screenshot, element_at
from inkwash.agent.stop import StopSwitch
from inkwash.core.errors import MissingExtraError
from inkwash.models.glm_v.agent import Screen

WAIT_S = 2.0
KEYBOARD = "com.android.adbkeyboard/.AdbIME"
APPS = {
    "settings": "com.android.settings", "chrome": "com.android.chrome", "contacts": "com.google.android.contacts",
    "clock": "com.google.android.deskclock", "files": "com.google.android.documentsui",
    "calendar": "com.google.android.calendar", "messages": "com.google.android.apps.messaging",
    "camera": "com.android.camera2", "phone": "com.google.android.dialer", "gmail": "com.google.android.gm",
}  # fmt: skip
_KEYCODES = {
    "enter": "KEYCODE_ENTER", "backspace": "KEYCODE_DEL", "delete": "KEYCODE_FORWARD_DEL", "tab": "KEYCODE_TAB",
    "esc": "KEYCODE_ESCAPE", "up": "KEYCODE_DPAD_UP", "down": "KEYCODE_DPAD_DOWN", "left": "KEYCODE_DPAD_LEFT",
    "right": "KEYCODE_DPAD_RIGHT", "home": "KEYCODE_MOVE_HOME", "end": "KEYCODE_MOVE_END", "space": "KEYCODE_SPACE",
}  # fmt: skip
_BOUNDS = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
_FOCUS = re.compile(r"mCurrentFocus=Window\{\S+ \S+ ([^/\s}]+)")
MAX_TREE = 4 * 1024 * 1024


class PhoneExecutor:
    """One phone or emulator."""

    screen: Screen = "phone"
    known = True
    hovers = False
    supports: frozenset[Kind] = frozenset(
        {"click", "long_press", "type", "key", "scroll", "home", "back", "open_app", "wait", "drag"}
    )

    def __init__(
        self,
        serial: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 5037,
        apps: Mapping[str, str] | None = None,
    ) -> None:
        """`apps`: packages by the names that a model gives."""
        try:
            import adbutils
        except ImportError:
            raise MissingExtraError("Operating a phone", extra="agent") from None
        self.apps = {**APPS, **{name.lower(): package for name, package in (apps or {}).items()}}
        self._failure: type[Exception] = adbutils.AdbError
        try:
            socket.create_connection((host, port), timeout=3.0).close()  # the library would start a server of its own
            client = adbutils.AdbClient(host=host, port=port, socket_timeout=10.0)
            found = client.device_list()
        except (adbutils.AdbError, OSError, RuntimeError) as error:
            raise AgentError(
                f"There is no adb server at {host}:{port} ({error}): start one with adb start-server."
            ) from None
        names = [device.serial for device in found]
        if not names or (serial is not None and serial not in names):
            wanted = "no phone" if serial is None else f"no phone {serial!r}"
            raise AgentError(
                f"adb sees {wanted} (it sees: {', '.join(names) or 'none'}): connect one and allow debugging."
            )
        if serial is None and len(names) > 1:
            raise AgentError(f"adb sees several phones, {', '.join(names)}: choose one with --serial.")
        self._device: Any = client.device(serial or names[0])
        self._shot: Screenshot | None = None

    # -- looking ------------------------------------------------------------------------------------------------------

    def observe(self, *, texts: bool = False) -> Screenshot:
        """The screen, with the elements of its view tree."""
        png = self._read("screencap -p")
        try:
            with Image.open(io.BytesIO(png)) as image:
                size = image.size
                image.verify()
        except (OSError, SyntaxError, ValueError):
            raise AgentError("The phone sent no picture of its screen: it may be locked or protected.") from None
        elements, package = self._elements()
        if texts:
            written = tuple((element.name, element.box) for element in elements if element.name)
        else:
            written = ()
        usable = tuple(element for element in elements if element.role != "text")
        self._shot = Screenshot(png=png, size=size, elements=usable, place=package, texts=written)
        return self._shot

    def _elements(self) -> tuple[list[Element], str]:
        dump = self._read("uiautomator dump /dev/tty")[:MAX_TREE].decode("utf-8", "replace")
        start, end = dump.find("<hierarchy"), dump.rfind("</hierarchy>")
        package = self._front()
        if start < 0 or end < 0 or "<!DOCTYPE" in dump or "<!ENTITY" in dump:
            return [], package
        try:
            tree = ElementTree.fromstring(dump[start : end + len("</hierarchy>")])
        except ElementTree.ParseError:
            return [], package
        found = [element for node in tree.iter("node") if (element := _element(node)) is not None]
        return found, package

    def _front(self) -> str:
        match = _FOCUS.search(self._shell("dumpsys", "window", "windows"))
        return match[1] if match else ""

    def target(self, at: Pixel) -> Element | None:
        """What lies there, as of the last look."""
        return None if self._shot is None else element_at(self._shot, at)

    def focused(self) -> Element | None:
        """The field that has the focus, as of the last look."""
        if self._shot is None:
            return None
        return next((element for element in self._shot.elements if element.near == "focused"), None)

    # -- doing --------------------------------------------------------------------------------------------------------

    def do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        """Send an act's commands, the switch asked before each of them."""
        try:
            return self._do(wanted, stop)
        except self._failure as error:
            return f"The phone did not take it: {' '.join(str(error).split())[:200]}"

    def _do(self, wanted: PixelAct, stop: StopSwitch) -> str:
        act, at = wanted.act, wanted.at
        if act.kind == "wait":
            stop.wait(WAIT_S)
        elif act.kind == "click" and at is not None:
            self._input(stop, "tap", *at)
        elif act.kind == "long_press" and at is not None:
            self._input(stop, "swipe", *at, *at, 1000)
        elif act.kind == "drag" and at is not None and wanted.to is not None:
            self._input(stop, "draganddrop", *at, *wanted.to, 800)
        elif act.kind == "scroll":
            self._swipe(wanted, stop)
        elif act.kind == "type":
            return self._type(wanted, stop)
        elif act.kind == "key":
            key_codes = [_KEYCODES.get(key) for key in act.keys]
            if len(key_codes) != 1 or key_codes[0] is None:
                return f"A phone has no key {'+'.join(act.keys)}."
            self._input(stop, "keyevent", key_codes[0])
        elif act.kind in ("home", "back"):
            self._input(stop, "keyevent", f"KEYCODE_{act.kind.upper()}")
        elif act.kind == "open_app":
            return self._open(act.app or "", stop)
        return ""

    def _swipe(self, wanted: PixelAct, stop: StopSwitch) -> None:
        """A finger moves against the direction of the view, over half of the screen around the place."""
        assert self._shot is not None and wanted.at is not None and wanted.act.direction is not None
        width, height = self._shot.size
        dx, dy = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}[OPPOSITE[wanted.act.direction]]
        x, y = wanted.at

        def held(value: float, side: int) -> int:
            return min(max(round(value), 1), side - 2)

        start = held(x - dx * width / 4, width), held(y - dy * height / 4, height)
        end = held(x + dx * width / 4, width), held(y + dy * height / 4, height)
        self._input(stop, "swipe", *start, *end, 400)

    def _type(self, wanted: PixelAct, stop: StopSwitch) -> str:
        text = wanted.text or ""
        plain = text.isascii() and text.isprintable()
        if not plain and KEYBOARD not in self._shell("ime", "list", "-s"):
            return "The text has characters that this phone cannot be sent: install ADBKeyBoard on it and try again."
        if wanted.at is not None:
            self._input(stop, "tap", *wanted.at)
            stop.wait(0.2)
        if wanted.act.replaces:
            self._input(stop, "keycombination", "KEYCODE_CTRL_LEFT", "KEYCODE_A")
            self._input(stop, "keyevent", "KEYCODE_DEL")
        if plain:
            for piece in re.findall(r"%|[^%]+", text):  # a percent sign and an s together would be a space
                self._input(stop, "text", piece.replace(" ", "%s"))
        else:
            stop.check()
            before = self._shell("settings", "get", "secure", "default_input_method").strip()
            self._shell("ime", "set", KEYBOARD)
            coded = base64.b64encode(text.encode()).decode()
            self._shell("am", "broadcast", "-a", "ADB_INPUT_B64", "--es", "msg", coded)
            if before and before != KEYBOARD:
                self._shell("ime", "set", before)
        if wanted.act.submits:
            self._input(stop, "keyevent", "KEYCODE_ENTER")
        return ""

    def _open(self, name: str, stop: StopSwitch) -> str:
        package = self.apps.get(name.lower(), name)
        if not re.fullmatch(r"[A-Za-z]\w*(\.\w+)+", package):
            return f"There is no app {name!r} known: name its package."
        stop.check()
        output = self._shell(
            "am", "start", "-a", "android.intent.action.MAIN", "-c", "android.intent.category.LAUNCHER", "-p", package
        )
        return f"The app {name!r} could not be opened." if "Error" in output else ""

    def _input(self, stop: StopSwitch, *words: object) -> None:
        stop.check()
        self._shell("input", *map(str, words))

    def _shell(self, *words: str) -> str:
        """Run one command; every word is quoted for the phone's shell."""
        output: str = self._device.shell(list(words))
        return output

    def _read(self, command: str) -> bytes:
        with contextlib.closing(self._device.open_transport()) as connection:
            connection.send_command(f"exec:{command}")
            connection.check_okay()
            found: bytes = connection.read_until_close(encoding=None)
            return found

    def close(self) -> None:
        """Nothing is held."""


def _element(node: ElementTree.Element) -> Element | None:
    bounds = _BOUNDS.fullmatch(node.get("bounds", ""))
    if bounds is None:
        return None
    left, top, right, bottom = map(int, bounds.groups())
    if right <= left or bottom <= top:
        return None
    kind = node.get("class", "").rpartition(".")[2]
    usable = any(node.get(name) == "true" for name in ("clickable", "long-clickable", "checkable", "focusable"))
    name = (
        node.get("content-desc") or node.get("text") or _inside(node) or node.get("resource-id", "").rpartition("/")[2]
    )
    editable = kind == "EditText"
    return Element(
        role=("field" if editable else kind.lower() or "element") if usable else "text",
        name=name[:120],
        box=(left, top, right, bottom),
        origin=node.get("package", ""),
        near="focused" if node.get("focused") == "true" else "",
        secret=node.get("password") == "true",
        editable=editable,
        value=node.get("text", "") if editable else "",
    )


def _inside(node: ElementTree.Element) -> str:
    """The words of what a nameless element holds."""
    return " ".join(each.get("text") or "" for each in node.iter("node") if each is not node).strip()
