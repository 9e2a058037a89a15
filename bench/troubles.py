"""How long /health takes during each kind of trouble, and how long the process takes to end after SIGTERM.

    python -m bench.troubles                        # every kind, 8 seconds each
    python -m bench.troubles slow-page full-disk --seconds 20

Each kind gets a server of its own (nano and nano-v), which two clients send it again and again, while a process of its
own asks for /health; then SIGTERM comes with the clients still at it. Prints a table; ends with 1 if /health took more
than 200 ms, an answer was a 5xx other than 503, or the process outlived the drain by more than 5 seconds.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx2
from bench import sheet
from bench.mixed_load import DRAIN_S, FEW_WORDS, KEYS, Server, data_url, document, video
from PIL import Image

HEALTH_S, END_S = 0.2, DRAIN_S + 5.0
CLIENTS = 2
DRAW, EDIT, CHAT = "/v1/images/generations", "/v1/images/edits", "/v1/chat/completions"
ASK_HEALTH = """
import http.client, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
while True:
    begun = time.monotonic()
    connection.request("GET", "/health")
    answer = connection.getresponse()
    answer.read()
    print(answer.status, time.monotonic() - begun, flush=True)
    time.sleep(0.02)
"""


@dataclass
class Sender:
    """Sends to one server and notes the statuses; 0 where the server hung up or was gone."""

    server: Server
    http: httpx2.Client
    statuses: Counter[int] = field(default_factory=Counter)

    def post(self, path: str, **how: Any) -> int:
        try:
            status = self.http.post(path, **how).status_code
        except httpx2.HTTPError:
            status = 0
            time.sleep(0.2)
        self.statuses[status] += 1
        return status

    def ask(self, *parts: dict[str, Any]) -> int:
        """One question about these parts."""
        content = [*parts, {"type": "text", "text": "What is this?"}]
        return self.post(CHAT, json={"messages": [{"role": "user", "content": content}], **FEW_WORDS})


def part(kind: str, type: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"url": data_url(type, content)}, **more}


def patterns(send: Sender) -> None:
    """A1: texts that a pattern or a tokenizer stumbles over."""
    for pages in (" " * 400 + "x", "1-" * 90, "9" * 199, "1,, " * 49):
        send.ask(part("file", "application/pdf", document(), pages=pages))
    send.ask({"type": "text", "text": '"a" ' * 8000})
    send.ask({"type": "text", "text": "<tool_call>" * 3000})
    send.post(DRAW, json={"prompt": '"a" ' * 8000, "size": "64x64", "steps": 1})
    send.post(DRAW, json={"prompt": "\u201c" * 8000 + "\u00e0" * 8000, "size": "64x64", "steps": 1})


def slow_page(send: Sender) -> None:
    """A2: a page of PDF that takes minutes."""
    send.ask(part("file", "application/pdf", _slow_page(), dpi=72))


def full_disk(send: Sender) -> None:
    """A3: a disk that is full, then free for a moment, then full again."""
    send.server.fill_disk(full=True)
    for number in range(3):
        send.post(f"{DRAW}?background=true", json={"prompt": f"a {number}", "size": "64x64", "steps": 1})
    send.post(DRAW, json={"prompt": "a", "size": "64x64", "steps": 1, "response_format": "url"})
    send.server.fill_disk(full=False)
    send.post(f"{DRAW}?background=true", json={"prompt": "b", "size": "64x64", "steps": 1})


def playlists(send: Sender) -> None:
    """A4: texts in the place of a video that name other files and addresses."""
    for text in (
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9999 RTP/AVP 96\n",
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>file:///</BaseURL></MPD>',
    ):
        send.ask(part("video_url", "video/mp4", text.encode()))


def large_media(send: Sender) -> None:
    """A5: six pictures of 120 megapixels in a few hundred kilobytes, and rates beyond sense."""
    send.ask(*(part("image_url", "image/png", _large_picture(n)) for n in range(6)))
    send.ask(part("video_url", "video/mp4", video(), fps=1e9))


def foreign_pages(send: Sender) -> None:
    """A6: what a page of somebody else's makes a browser send."""
    form: dict[str, Any] = {"data": {"prompt": "a"}, "files": {"image": os.urandom(4_000_000)}}
    for headers in ({"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        send.post(EDIT, headers=headers, **form)
        send.post(DRAW, headers=headers, json={"prompt": "a"})
    send.post(CHAT, content=b'{"messages": []}', headers={"Content-Type": "text/plain"})


def large_bodies(send: Sender) -> None:
    """A7: bodies of up to 240 MB without a key, and with one bodies that take long to parse."""
    keyed = {"Authorization": f"Bearer {KEYS['ann']}"}
    kind = {"Content-Type": "application/json"}
    send.post(CHAT, content=_large_body(), headers=kind)
    many = b'{"messages": [' + b'{"role": "user", "content": []},' * 300_000 + b"0]}"
    deep = b'{"messages": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
    numbers = b'{"messages": [' + b"1e9," * 5_000_000 + b"0]}"
    for body in (many, deep, numbers):
        send.post(CHAT, content=body, headers=kind)
        send.post(CHAT, content=body, headers={**kind, **keyed})


TROUBLES: dict[str, Callable[[Sender], None]] = {
    "patterns": patterns,
    "slow-page": slow_page,
    "full-disk": full_disk,
    "playlists": playlists,
    "large-media": large_media,
    "foreign-pages": foreign_pages,
    "large-bodies": large_bodies,
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one kind of trouble did."""

    name: str
    health: tuple[float, ...]  # seconds of every answer
    end: float  # seconds from SIGTERM to the end of the process
    code: int
    statuses: Counter[int]

    @property
    def well(self) -> bool:
        failures = [status for status in self.statuses if status >= 500 and status != 503]
        return max(self.health) <= HEALTH_S and self.end <= END_S and self.code == 0 and not failures

    def row(self) -> tuple[str, ...]:
        answers = ", ".join(f"{status} x {count}" for status, count in sorted(self.statuses.items()))
        said = (TROUBLES[self.name].__doc__ or "").partition(":")[0]
        milliseconds = [round(1000 * seconds, 1) for seconds in (statistics.median(self.health), max(self.health))]
        return (
            f"{said} {self.name}",
            *map(str, (*milliseconds, len(self.health), f"{self.end:.2f}", answers, "ok" if self.well else "FAIL")),
        )


def measure(name: str, seconds: float) -> Found:
    """One server, one kind of trouble, one end."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), keys=name == "large-bodies")
        statuses: Counter[int] = Counter()
        try:
            with clients(server, TROUBLES[name], statuses):
                health = healths(server, seconds)
                begun = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                code = server.process.wait(END_S + 30)
                end = time.monotonic() - begun
        finally:
            server.process.kill()
            server.process.wait()
    return Found(name=name, health=health, end=end, code=code, statuses=statuses)


@contextmanager
def clients(server: Server, trouble: Callable[[Sender], None], statuses: Counter[int]) -> Iterator[None]:
    """Two of them, at it until the block ends."""
    over = threading.Event()

    def work() -> None:
        with httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            sender = Sender(server, http)
            while not over.is_set() and server.process.poll() is None:
                with suppress(ProcessLookupError):  # it ends in the middle of its trouble
                    trouble(sender)
        statuses.update(sender.statuses)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(70)


def healths(server: Server, seconds: float) -> tuple[float, ...]:
    """Seconds of every /health during this time, asked for by another process."""
    command = [sys.executable, "-c", ASK_HEALTH, server.url.rpartition(":")[2]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        time.sleep(seconds)
        asking.terminate()
        output, _ = asking.communicate()
    rows = [line.split() for line in output.splitlines() if len(line.split()) == 2]
    assert rows and all(status == "200" for status, _ in rows), output[-200:]
    return tuple(float(taken) for _, taken in rows)


@lru_cache
def _slow_page() -> bytes:
    from tests.unit.media.test_process import slow_pdf

    return slow_pdf(3_000_000)


@lru_cache
def _large_picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (12_000 + number, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


@lru_cache
def _large_body() -> bytes:
    return b'{"messages": [{"role": "user", "content": "' + b"A" * 240_000_000 + b'"}]}'


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"kinds: {', '.join(TROUBLES)}")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--write", action="store_true", help="write a results file")
    options = parser.parse_args()
    if unknown := set(options.names) - set(TROUBLES):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    found = [measure(name, options.seconds) for name in options.names or TROUBLES]
    head = ("trouble", "/health median ms", "longest ms", "times", "SIGTERM to end s", "answers", "")
    body = f"{sheet.table(head, [each.row() for each in found])}\n\nLoad {os.getloadavg()[0]:.1f}, drain {DRAIN_S:g} s."
    print(body)
    if options.write:
        print(sheet.write("troubles", body))
    return 0 if all(each.well for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
