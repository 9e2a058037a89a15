"""An adb server with one phone that notes its commands: the protocol of `adb` as far as an executor speaks it."""

from __future__ import annotations

import io
import socketserver
import threading
from typing import Self

from PIL import Image

TREE = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?><hierarchy rotation="0">
<node class="android.widget.FrameLayout" package="com.android.settings" text="" bounds="[0,0][360,640]">
<node class="android.widget.Button" package="com.android.settings" text="Wi-Fi" clickable="true"
 bounds="[20,100][340,160]"/>
<node class="android.widget.EditText" package="com.android.settings" text="" resource-id="a:id/name"
 clickable="true" focused="true" bounds="[20,200][340,260]"/>
<node class="android.widget.EditText" package="com.android.settings" text="abcd" password="true" clickable="true"
 bounds="[20,300][340,360]"/>
<node class="android.widget.TextView" package="com.android.settings" text="Delete everything"
 bounds="[20,400][340,440]"/>
</node></hierarchy>UI hierchary dumped to: /dev/tty
"""


class FakePhone:
    """`shell` holds every command of a shell, in order."""

    def __init__(
        self, *, keyboards: str = "com.android.inputmethod.latin/.LatinIME", phones: str = "emu-1\tdevice\n"
    ) -> None:
        self.shell: list[str] = []
        self.keyboards, self.phones = keyboards, phones
        picture = io.BytesIO()
        Image.new("RGB", (360, 640), "white").save(picture, "PNG")
        self.png = picture.getvalue()
        phone = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while True:
                    size = self.rfile.read(4)
                    if len(size) < 4:
                        return
                    command = self.rfile.read(int(size, 16)).decode()
                    if command.startswith(("host:transport", "host:tport")):
                        self.wfile.write(b"OKAY" + (b"\0" * 8 if "tport" in command else b""))
                        continue
                    answer = phone.answer(command)
                    self.wfile.write(b"OKAY" + answer)
                    return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def answer(self, command: str) -> bytes:
        if command.startswith("host:"):
            body = {"host:devices": self.phones, "host:version": "0029"}.get(command, "").encode()
            return f"{len(body):04x}".encode() + body
        words = command.partition(":")[2]
        if words == "screencap -p":
            return self.png
        if words.startswith("uiautomator"):
            return TREE.encode()
        if words.startswith("dumpsys"):
            return b"  mCurrentFocus=Window{1a2b u0 com.android.settings/com.android.settings.Settings}\n"
        self.shell.append(words)
        if words == "ime list -s":
            return self.keyboards.encode()
        if words.startswith("settings get"):
            return b"com.android.inputmethod.latin/.LatinIME\n"
        return b""

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
