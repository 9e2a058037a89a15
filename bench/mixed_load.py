"""Everything at once on one server: `python -m bench.serve_load --mixed [--minutes 15]`.

Pictures with references of many shapes, conversations with pictures, videos and PDFs, jobs of two keys, clients that
hang up, garbage, and a disk that is full for seconds, again and again. At the end SIGTERM comes while requests are
under way. Prints a table; fails if an answer was lost, stuck or of a kind that nobody expects, if equal requests gave
different pictures, if a job was not completed, if /health was slow, if memory grew by more than a tenth after the first
minute, or if the process did not end in time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

KEYS = {"ann": "secret-of-ann", "bob": "secret-of-bob"}
SHAPES = ((64, 64), (96, 32), (40, 150), (300, 80), (131, 257), (512, 384), (700, 200), (33, 33))
STUCK_S = 240.0  # an answer that takes longer is stuck
DRAIN_S = 5.0
HEALTH_S = 2.0  # of a machine whose cores are all busy
MEMORY = 0.10
FULL_EVERY_S, FULL_FOR_S = 20.0, 3.0
EXPECTED = {  # 503 while the disk is full: the limit that stands for it holds for files in memory, too
    "picture": {200, 429},
    "edit": {200, 429, 503},
    "job": {202, 429, 503},
    "chat": {200, 429, 503},
    "video": {200, 429, 503},
    "document": {200, 429, 503},
    "garbage": {400, 401, 403, 404, 413, 415, 429, 503},
}
FEW_WORDS = {"max_tokens": 4, "temperature": 0}


def reference(chance: random.Random) -> bytes:
    """A picture of one of the shapes, in one of the formats."""
    image = Image.linear_gradient("L").resize(chance.choice(SHAPES)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, chance.choice(("PNG", "JPEG", "WEBP")))
    return buffer.getvalue()


def video() -> bytes:
    """Two seconds of grey."""
    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(16):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 15 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def document() -> bytes:
    """A PDF of two small pages."""
    import pypdfium2

    made = pypdfium2.PdfDocument.new()
    for _ in range(2):
        made.new_page(144, 144)
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@dataclass
class Tally:
    """What the clients saw."""

    counts: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    pictures: dict[str, set[str]] = field(default_factory=dict)
    jobs: list[tuple[str, str]] = field(default_factory=list)  # owner, id
    health: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, answer: httpx2.Response, seconds: float) -> None:
        """One answer; anything but the expected is a fault."""
        with self.lock:
            self.counts[kind, answer.status_code] += 1
            self.seconds.setdefault(kind, []).append(seconds)
            if answer.status_code not in EXPECTED[kind]:
                self.faults.append(f"{kind}: {answer.status_code} {answer.text[:200]}")

    def fault(self, said: str) -> None:
        with self.lock:
            self.faults.append(said)

    def drawn(self, name: str, content: str) -> None:
        """The pixels of a picture, by what asks for it."""
        pixels = Image.open(io.BytesIO(base64.b64decode(content))).tobytes()
        with self.lock:
            self.pictures.setdefault(name, set()).add(hashlib.sha256(pixels).hexdigest()[:16])


class Server:
    """The process under test; its log goes through a pipe, so that a full disk does not touch it."""

    def __init__(self, folder: Path, *, keys: bool = True) -> None:
        command = [sys.executable, "-m", "inkwash", "serve", "nano", "--chat", "nano-v", "--port", "0"]
        options = ["--state", str(folder / "state"), "--drain", str(DRAIN_S)]
        if keys:
            file = folder / "keys"
            file.write_text("".join(f"{name}:{secret}\n" for name, secret in KEYS.items()))
            options += ["--key-file", str(file)]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        while not any("Ready" in line for line in self.lines):
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start: {self.lines[-3:]}")
            time.sleep(0.1)
        (ready,) = (line for line in self.lines if "Ready" in line)
        self.url = "http://" + ready.partition("http://")[2].split()[0]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip())

    def memory(self) -> float:
        """MB of the process and of its children."""
        found = 0.0
        for pid in (self.process.pid, *children(self.process.pid)):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                found += int(status.partition("VmRSS:")[2].split()[0]) / 1024
            except (OSError, IndexError, ValueError):  # it has ended meanwhile
                continue
        return found

    def fill_disk(self, full: bool) -> None:
        """No file may grow while the disk is "full": every write fails as it does on a full one."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (1 if full else hard, hard))

    def unanswered(self) -> int:
        """Requests that were accepted and never answered, by the server's own log."""
        lines = [line for line in self.lines if line.startswith("{")]
        return sum(json.loads(line)["status"] == 0 for line in lines)


def children(pid: int) -> list[int]:
    """Processes below a process."""
    try:
        own = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in own for each in (child, *children(child))]


class Client:
    """One client until the time is over; what it sends next is drawn by chance."""

    def __init__(self, number: int, server: Server, tally: Tally, media: dict[str, bytes]) -> None:
        self.chance = random.Random(number)
        self.server, self.tally, self.media = server, tally, media
        self.name = sorted(KEYS)[number % len(KEYS)]
        self.headers = {"Authorization": f"Bearer {KEYS[self.name]}"}

    def run(self, end: float) -> None:
        kinds: list[tuple[Callable[[httpx2.Client], None], float]] = [
            *((self.picture, 3), (self.edit, 3), (self.job, 1), (self.chat, 2), (self.video, 1)),
            *((self.document, 1), (self.hang_up, 2), (self.garbage, 3)),
        ]
        works, weights = zip(*kinds, strict=True)
        with httpx2.Client(base_url=self.server.url, headers=self.headers, timeout=STUCK_S, trust_env=False) as http:
            while time.monotonic() < end:
                work = self.chance.choices(works, weights)[0]
                try:
                    work(http)
                except httpx2.TransportError as error:
                    self.tally.fault(f"{work.__name__}: {type(error).__name__} {error}")

    def _send(self, http: httpx2.Client, kind: str, path: str, **how: Any) -> httpx2.Response:
        begun = time.monotonic()
        answer = http.post(path, **how)
        self.tally.add(kind, answer, time.monotonic() - begun)
        if answer.status_code == 429:
            time.sleep(min(5.0, float(answer.headers.get("retry-after", "1"))))
        return answer

    def picture(self, http: httpx2.Client) -> None:
        body = {
            "prompt": self.chance.choice(("a red circle", 'A poster that says "HELLO"')),
            "seed": self.chance.randrange(2),
            "steps": 1,
            "size": self.chance.choice(("64x64", "96x64", "64x128")),
            "response_format": self.chance.choice(("b64_json", "url")),
        }
        answer = self._send(http, "picture", "/v1/images/generations", json=body)
        if answer.status_code == 200 and "b64_json" in answer.json()["data"][0]:
            name = json.dumps({**body, "response_format": None})
            self.tally.drawn(name, answer.json()["data"][0]["b64_json"])

    def edit(self, http: httpx2.Client) -> None:
        files = [("image", (f"{k}", reference(self.chance))) for k in range(self.chance.choice((1, 1, 2)))]
        data = {"prompt": "make it blue", "steps": "1", "size": "64x64", "seed": "1"}
        self._send(http, "edit", "/v1/images/edits", data=data, files=files)

    def job(self, http: httpx2.Client) -> None:
        body = {"prompt": "a job", "seed": self.chance.randrange(9), "steps": 1, "size": "64x64"}
        answer = self._send(http, "job", "/v1/images/generations?background=true", json=body)
        if answer.status_code == 202:
            with self.tally.lock:
                self.tally.jobs.append((self.name, answer.json()["id"]))

    def chat(self, http: httpx2.Client) -> None:
        parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}]
        if self.chance.random() < 0.7:
            url = data_url("image/png", reference(self.chance))
            parts.insert(0, {"type": "image_url", "image_url": {"url": url}})
        self._talk(http, "chat", parts)

    def video(self, http: httpx2.Client) -> None:
        url = data_url("video/mp4", self.media["video"])
        parts = [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": "What happens?"}]
        self._talk(http, "video", parts)

    def document(self, http: httpx2.Client) -> None:
        url = data_url("application/pdf", self.media["document"])
        parts = [{"type": "file", "file": {"file_data": url}, "dpi": 72}, {"type": "text", "text": "What is said?"}]
        self._talk(http, "document", parts)

    def _talk(self, http: httpx2.Client, kind: str, parts: list[dict[str, Any]]) -> None:
        stream = self.chance.random() < 0.3
        body = {"messages": [{"role": "user", "content": parts}], "stream": stream, **FEW_WORDS}
        answer = self._send(http, kind, "/v1/chat/completions", json=body)
        if stream and answer.status_code == 200 and '"error"' in answer.text:
            self.tally.fault(f"{kind} in a stream: {answer.text[-300:]}")

    def hang_up(self, _: httpx2.Client) -> None:
        """A request whose client goes away."""
        path, body = self.chance.choice(
            (
                ("/v1/images/generations", {"prompt": "gone", "steps": 20, "size": "128x128"}),
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": "gone"}], "max_tokens": 200}),
            )
        )
        body = {**body, "stream": self.chance.random() < 0.5}
        after = self.chance.uniform(0.05, 1.5)
        try:
            httpx2.post(f"{self.server.url}{path}", json=body, headers=self.headers, timeout=after, trust_env=False)
        except httpx2.TimeoutException:
            with self.tally.lock:
                self.tally.counts["hang-up", "gone"] += 1

    def garbage(self, http: httpx2.Client) -> None:
        """What attackers and broken clients send."""
        pages = {"type": "file", "file": data_url("application/pdf", self.media["document"]), "pages": " " * 400 + "x"}
        chat = {"messages": [{"role": "user", "content": [pages]}], **FEW_WORDS}
        images, talk = "/v1/images/generations", "/v1/chat/completions"
        as_json = {"Content-Type": "application/json"}
        choices: tuple[tuple[str, dict[str, Any]], ...] = (
            (images, {"content": b"{", "headers": as_json}),
            (images, {"json": {"prompt": "a", "n": 99}}),
            (images, {"json": {"prompt": "a", "image": "x" * 99}}),
            (images, {"content": b'{"a": [' + b"[]," * 200_000 + b"1]}", "headers": as_json}),
            (images, {"json": {"prompt": "a"}, "headers": {"Host": "evil.example"}}),
            (images, {"json": {"prompt": "a"}, "headers": {"Authorization": "Bearer wrong"}}),
            ("/v1/images/edits", {"data": {"prompt": "a"}, "files": {"image": os.urandom(2000)}}),
            ("/v1/images/edits", {"content": b"\0" * 5000, "headers": {"Content-Type": "multipart/form-data"}}),
            (talk, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}),
            (talk, {"json": chat}),
            (talk, {"json": {"messages": [{"role": "user", "content": [{"type": "video", "video": "data:,x"}]}]}}),
            ("/v1/images/variations", {"json": {}}),
        )
        path, how = self.chance.choice(choices)
        if how.get("headers", {}).get("Host"):
            how = {**how, "headers": {"Origin": "https://evil.example", "Authorization": ""}}
        self._send(http, "garbage", path, **how)
        if self.chance.random() < 0.2:  # headers that never end
            port = int(self.server.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
                time.sleep(0.2)


def watch_health(server: Server, tally: Tally, done: threading.Event) -> None:
    """How long /health takes, four times a second."""
    with httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        while not done.wait(0.25):
            begun = time.monotonic()
            if http.get("/health").status_code != 200:
                tally.fault("/health was not 200")
            tally.health.append(time.monotonic() - begun)


def load(server: Server, minutes: float, clients: int) -> tuple[Tally, list[tuple[float, float]]]:
    """The load itself; what clients saw, and the memory by seconds."""
    tally, begun = Tally(), time.monotonic()
    end, done = begun + 60 * minutes, threading.Event()
    media = {"video": video(), "document": document()}
    threads = [
        threading.Thread(target=Client(number, server, tally, media).run, args=(end,)) for number in range(clients)
    ]
    health = threading.Thread(target=watch_health, args=(server, tally, done))
    for thread in (*threads, health):
        thread.start()
    memory, full_at = [], begun + FULL_EVERY_S
    while time.monotonic() < end:
        memory.append((time.monotonic() - begun, server.memory()))
        server.fill_disk(full_at <= time.monotonic() < full_at + FULL_FOR_S)
        if time.monotonic() >= full_at + FULL_FOR_S:
            full_at = time.monotonic() + FULL_EVERY_S
        time.sleep(0.5)
    server.fill_disk(False)
    for thread in threads:
        thread.join(STUCK_S + 30)
        if thread.is_alive():
            tally.fault("a client still waits for its answer")
    done.set()
    health.join()
    return tally, memory


def unfinished(server: Server, tally: Tally) -> list[tuple[str, str]]:
    """Jobs that are not completed two minutes after the load."""
    left, end = list(tally.jobs), time.monotonic() + 120
    while left and time.monotonic() < end:
        left = [(owner, job) for owner, job in left if status(server, owner, job) != "completed"]
        time.sleep(0.5)
    return left


def status(server: Server, owner: str, job: str) -> str:
    """The state of a job."""
    headers = {"Authorization": f"Bearer {KEYS[owner]}"}
    answer = httpx2.get(f"{server.url}/v1/jobs/{job}", headers=headers, timeout=60, trust_env=False)
    return str(answer.json().get("status"))


def stop(server: Server, tally: Tally) -> float:
    """SIGTERM while requests are under way; seconds until the process has ended, and everybody has an answer."""
    headers = {"Authorization": f"Bearer {KEYS['ann']}"}
    answers: list[int] = []

    def ask() -> None:
        body = {"prompt": "the last", "steps": 200, "size": "512x512"}
        url = f"{server.url}/v1/images/generations"
        try:
            answers.append(httpx2.post(url, json=body, headers=headers, timeout=60, trust_env=False).status_code)
        except httpx2.TransportError as error:
            tally.fault(f"at the end: {type(error).__name__}")

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    time.sleep(1.0)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(DRAIN_S + 30)
    except subprocess.TimeoutExpired:
        server.process.kill()
    seconds = time.monotonic() - begun
    for thread in asking:
        thread.join(60)
    if set(answers) - {200, 503}:
        tally.fault(f"at the end: {answers}")
    return seconds


def growth(memory: list[tuple[float, float]]) -> tuple[float, float]:
    """MB right after the first minute, and at the end: medians of fifteen seconds."""
    last = memory[-1][0]
    first = [size for second, size in memory if 60 <= second < 75] or [size for _, size in memory]
    return statistics.median(first), statistics.median([size for second, size in memory if second >= last - 15])


def table(tally: Tally) -> list[str]:
    """Answers by kind, with their times."""
    lines = [f"{'kind':<10} {'answers':<44} {'p50 s':>7} {'p95 s':>7}"]
    for kind in sorted({kind for kind, _ in tally.counts}):
        answers = ", ".join(f"{status} x {n}" for (k, status), n in sorted(tally.counts.items(), key=str) if k == kind)
        seconds = sorted(tally.seconds.get(kind, [0.0]))
        p50, p95 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
        lines.append(f"{kind:<10} {answers:<44} {p50:>7.2f} {p95:>7.2f}")
    return lines


def run(minutes: float, clients: int) -> tuple[list[str], bool]:
    """See the module: what was measured, in lines; whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            tally, memory = load(server, minutes, clients)
            left, lost = unfinished(server, tally), server.unanswered()
            seconds = stop(server, tally)
        finally:
            server.process.kill()
            server.process.wait()
    different = [name for name, found in tally.pictures.items() if len(found) > 1]
    first, last = growth(memory)
    health = sorted(tally.health)
    checks = {
        f"faults {len(tally.faults)}": not tally.faults,
        f"accepted and never answered {lost}": not lost,
        f"jobs {len(tally.jobs)}, not completed {len(left)}": not left,
        f"different requests {len(tally.pictures)}, with different pictures {len(different)}": not different,
        f"/health p50 {health[len(health) // 2] * 1000:.0f} ms, longest {health[-1] * 1000:.0f} ms": health[-1]
        < HEALTH_S,
        f"memory {first:.0f} MB after a minute, {last:.0f} MB at the end ({last / first - 1:+.1%})": (
            last <= first * (1 + MEMORY) or minutes < 2
        ),
        f"ended {seconds:.1f} s after SIGTERM (drain {DRAIN_S:g} s)": seconds <= DRAIN_S + 5,
    }
    lines = [
        f"{minutes:g} min, {clients} clients, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        *table(tally),
    ]
    lines += [f"{'ok  ' if well else 'FAIL'} {said}" for said, well in checks.items()]
    lines += [f"fault: {said}" for said in tally.faults[:8]]
    return lines, all(checks.values())


def main(options: argparse.Namespace) -> tuple[list[str], bool]:
    """For `bench.serve_load --mixed`."""
    lines, well = run(options.minutes, options.clients)
    print("\n".join(lines), flush=True)
    return lines, well
