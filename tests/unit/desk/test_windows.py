"""Windows of the other platforms, with stand-ins for their systems, written by hand after their documentation."""

from __future__ import annotations

import ctypes
from typing import Any

from inkwash.desk.places import ScreenBox, Window
from inkwash.desk.windows import MacWindows, WindowsWindows

RECORDED = {  # handle: visible, minimised, cloaked, title, frame of the compositor (None: it has none), outer rectangle
    0x10: (True, False, 0, "Report - Word", (108, 40, 1208, 840), (100, 40, 1216, 848)),
    0x20: (True, False, 2, "Settings", (0, 0, 800, 600), (0, 0, 800, 600)),  # asleep
    0x30: (True, True, 0, "Mail", (-32000, -32000, -31840, -31972), (-32000, -32000, -31840, -31972)),
    0x40: (False, False, 0, "Hidden", (0, 0, 10, 10), (0, 0, 10, 10)),
    0x50: (True, False, 0, "", (0, 0, 1920, 1080), (0, 0, 1920, 1080)),  # the desktop itself
    0x60: (True, False, 0, "Old program", None, (-1900, 10, -1500, 310)),  # on the monitor to the left
}


class User32:
    def EnumWindows(self, call: Any, value: int) -> None:
        for handle in RECORDED:
            assert call(handle, value)

    def IsWindowVisible(self, handle: int) -> bool:
        return RECORDED[handle][0]

    def IsIconic(self, handle: int) -> bool:
        return RECORDED[handle][1]

    def GetWindowTextLengthW(self, handle: int) -> int:
        return len(RECORDED[handle][3])

    def GetWindowTextW(self, handle: int, text: Any, length: int) -> None:
        text.value = RECORDED[handle][3][: length - 1]

    def GetWindowRect(self, handle: int, sides: Any) -> None:
        sides[:] = RECORDED[handle][5]


class Dwmapi:
    def DwmGetWindowAttribute(self, handle: int, attribute: int, target: Any, size: int) -> int:
        if attribute == 14:
            assert size == 4
            ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = RECORDED[handle][2]
            return 0
        frame = RECORDED[handle][4]
        assert attribute == 9 and size == ctypes.sizeof(target)
        if frame is None:
            return -2147024890
        target[:] = frame
        return 0


def test_windows_of_windows_are_those_that_can_be_seen() -> None:
    found = WindowsWindows(User32(), Dwmapi(), lambda user32, handle: f"{handle:x}.exe").windows()
    assert found == [
        Window(
            id=0x10, title="Report - Word", program="10.exe", box=ScreenBox(left=108, top=40, width=1100, height=800)
        ),
        Window(
            id=0x60, title="Old program", program="60.exe", box=ScreenBox(left=-1900, top=10, width=400, height=300)
        ),
    ]


class Quartz:
    allowed = True

    def CGWindowListCopyWindowInfo(self, options: int, window: int) -> Any:
        assert options == 17 and window == 0
        names = {"kCGWindowName": "Inbox"} if self.allowed else {}
        bounds = {"X": 12.0, "Y": 38.0, "Width": 900.0, "Height": 700.0}
        bar = {"X": 0.0, "Y": 0.0, "Width": 1440.0, "Height": 24.0}
        return (
            {
                "kCGWindowNumber": 3,
                "kCGWindowLayer": 25,
                "kCGWindowOwnerName": "Control Centre",
                "kCGWindowBounds": bar,
            },
            {
                "kCGWindowNumber": 7,
                "kCGWindowLayer": 0,
                "kCGWindowOwnerName": "Mail",
                "kCGWindowBounds": bounds,
                **names,
            },
        )


def test_windows_of_a_mac_leave_the_menu_bar_out() -> None:
    box = ScreenBox(left=12, top=38, width=900, height=700)
    assert MacWindows(Quartz()).windows() == [Window(id=7, title="Inbox", program="Mail", box=box)]
    quartz = Quartz()
    quartz.allowed = False  # without the permission titles are missing: the program's name stands for them
    assert MacWindows(quartz).windows() == [Window(id=7, title="Mail", program="Mail", box=box)]
