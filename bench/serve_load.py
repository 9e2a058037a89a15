"""Load on `inkwash serve`, on this machine only: clients that hang up, send nonsense and live through restarts.

    python -m bench.serve_load                     # 3 minutes: 8 clients, 25 % cancelled, 10 % malformed, 2 restarts
    python -m bench.serve_load --minutes 15        # the full soak
    python -m bench.serve_load --minutes 0         # only the comparison of 8 requests at once with 8 in a row
    python -m bench.serve_load --mixed             # 15 minutes of everything at once: see bench/mixed_load.py

Every picture is compared, bit by bit, with the same request made alone at the end. Prints requests a second, p50 and
p95, what was rejected, cancelled and retried, and the server's memory; exits with 1 if anything was lost or differed.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import httpx2
from bench import mixed_load, sheet
from PIL import Image

PROMPTS = ("a red circle", 'A poster that says "HELLO"', "two blue squares")
MALFORMED: tuple[dict[str, Any], ...] = (
    {"content": b"{", "headers": {"Content-Type": "application/json"}},
    {"json": {"prompt": ""}},
    {"json": {"prompt": "a", "n": 99}},
    {"json": {"prompt": "a", "size": "9999x1"}},
    {"json": {"prompt": "a", "plan": "plan1.x.y"}},
    {"content": b"\0" * 5000, "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
)


def reference() -> bytes:
    """The picture that edits start from."""
    image = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


REFERENCE = reference()
MEMORY, LONG_MINUTES = 0.05, 10.0  # how much the last life of a soak may grow; shorter loads are not judged by it


@dataclass(frozen=True)
class Ask:
    """One request of the pool that clients draw from; equal ones must give equal pictures."""

    path: str
    prompt: str
    seed: int
    steps: int
    stream: bool = False

    def fields(self) -> dict[str, Any]:
        """Its body."""
        size = "64x64" if self.path == "generations" else "auto"
        return {"prompt": self.prompt, "seed": self.seed, "steps": self.steps, "size": size, "stream": self.stream}

    def arguments(self) -> dict[str, Any]:
        """What the HTTP client is called with."""
        if self.path == "generations":
            return {"json": self.fields()}
        return {"data": {name: str(value) for name, value in self.fields().items()}, "files": {"image": REFERENCE}}


class Server:
    """The process under test, on one port over its restarts."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model, self.port = folder, model, 0
        self.process: subprocess.Popen[bytes] | None = None
        self.lives: list[list[float]] = []
        self.logs: list[Path] = []

    def start(self) -> None:
        """Start and wait until it is ready."""
        log = self.folder / f"log{len(self.logs)}"
        self.logs.append(log)
        self.lives.append([])
        command = [sys.executable, "-m", "inkwash", "serve", self.model, "--port", str(self.port)]
        with open(log, "wb") as file:
            self.process = subprocess.Popen([*command, "--state", str(self.folder)], stderr=file)
        while "Ready" not in log.read_text():
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start: {log.read_text()}")
            time.sleep(0.1)
        self.port = int(log.read_text().partition("http://")[2].split()[0].rpartition(":")[2])

    def stop(self) -> None:
        """SIGTERM, and wait until everything accepted is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(300)

    def measure(self) -> None:
        """Note the memory of the process."""
        try:
            assert self.process is not None
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            self.lives[-1].append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        except (OSError, ValueError, IndexError):
            return

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/images"

    def lost(self) -> int:
        """Requests that the server accepted and never answered, by its own log."""
        lines = [line for log in self.logs for line in log.read_text().splitlines() if line.startswith("{")]
        return sum(json.loads(line)["status"] == 0 for line in lines)


@dataclass
class Tally:
    """What the clients saw; one lock for all."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    pictures: dict[Ask, set[str]] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, unexpected: str | None = None) -> None:
        with self.lock:
            self.counts[name] += 1
            if unexpected is not None:
                self.unexpected.append(unexpected[:200])

    def drawn(self, ask: Ask, answer: httpx2.Response, seconds: float) -> None:
        with self.lock:
            self.counts["answered"] += 1
            self.seconds.append(seconds)
            self.pictures.setdefault(replace(ask, stream=False), set()).add(pixels(ask, answer))


def pixels(ask: Ask, answer: httpx2.Response) -> str:
    """A digest of the picture in an answer."""
    if ask.stream:
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        content = events[-1]["b64_json"]
    else:
        content = answer.json()["data"][0]["b64_json"]
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def client(number: int, server: Server, tally: Tally, end: float, options: argparse.Namespace) -> None:
    """One client until the time is over."""
    chance = random.Random(options.seed * 1000 + number)
    with httpx2.Client(timeout=300, trust_env=False) as http:
        while time.monotonic() < end:
            kind = chance.random()
            try:
                if kind < options.malformed:
                    answer = http.post(
                        f"{server.url}/{chance.choice(['generations', 'edits'])}", **chance.choice(MALFORMED)
                    )
                    fine = 400 <= answer.status_code < 500 or answer.status_code == 503
                    tally.add("malformed refused" if fine else "unexpected", None if fine else answer.text)
                elif kind < options.malformed + options.cancelled:
                    hang_up(server, make_ask(chance, options), chance.uniform(0.05, 2.0), tally)
                elif kind < options.malformed + options.cancelled + 0.05:
                    body = {"prompt": "a job", "seed": chance.randrange(9), "steps": options.steps, "size": "64x64"}
                    kept = http.post(f"{server.url}/generations?background=true", json=body)
                    if kept.status_code == 202:
                        with tally.lock:
                            tally.jobs.append(kept.json()["id"])
                else:
                    draw(http, server, make_ask(chance, options), tally)
            except httpx2.TransportError:  # between two lives of the server; a client would try again
                tally.add("connections refused or reset by a restart")
                time.sleep(0.3)


def make_ask(chance: random.Random, options: argparse.Namespace) -> Ask:
    """A request of the pool: 2 paths, 3 prompts, 2 seeds, with and without a stream."""
    return Ask(
        chance.choice(["generations", "edits", "edits"]),
        chance.choice(PROMPTS),
        chance.randrange(2),
        options.steps,
        chance.random() < 0.25,
    )


def draw(http: httpx2.Client, server: Server, ask: Ask, tally: Tally) -> None:
    """One request that is waited for."""
    begun = time.monotonic()
    answer = http.post(f"{server.url}/{ask.path}", **ask.arguments())
    if answer.status_code == 200 and '"type": "error"' not in answer.text:
        tally.drawn(ask, answer, time.monotonic() - begun)
    elif answer.status_code in (429, 503):
        tally.add(f"rejected with {answer.status_code}")
        time.sleep(min(2.0, float(answer.headers.get("retry-after", "1"))))
    else:
        tally.add("unexpected", f"{answer.status_code} {answer.text}")


def hang_up(server: Server, ask: Ask, after_s: float, tally: Tally) -> None:
    """One request whose client goes away."""
    try:
        httpx2.post(f"{server.url}/{ask.path}", **ask.arguments(), timeout=after_s, trust_env=False)
        tally.add("answered before the hang-up")
    except httpx2.TimeoutException:
        tally.add("cancelled")


def compare(server: Server, count: int) -> str:
    """Seconds of `count` requests at once and of the same in a row; the best of two rounds each, taken in turns."""
    asks = [Ask("generations", 'A poster that says "HELLO"', seed, 8) for seed in range(count)]

    def one(ask: Ask) -> str:
        answer = httpx2.post(f"{server.url}/{ask.path}", **ask.arguments(), timeout=600, trust_env=False)
        return pixels(ask, answer)

    def timed(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
        begun = time.monotonic()
        found = work()
        return time.monotonic() - begun, found

    row, together = [], []
    for _ in range(2):
        row.append(timed(lambda: [one(ask) for ask in asks]))
        with ThreadPoolExecutor(count) as pool:
            together.append(timed(lambda: list(pool.map(one, asks))))
    assert len({tuple(found) for _, found in row + together}) == 1, "pictures at once differ from pictures in a row"
    in_row, at_once = min(row)[0], min(together)[0]
    return f"{count} requests in a row {in_row:.1f} s, at once {at_once:.1f} s: {at_once / in_row:.0%}, same pictures"


def soak(server: Server, options: argparse.Namespace) -> Tally:
    """The load itself, with its restarts in the first half so that the last life is a long one."""
    tally, begun = Tally(), time.monotonic()
    end = begun + options.minutes * 60
    clients = [
        threading.Thread(target=client, args=(number, server, tally, end, options)) for number in range(options.clients)
    ]
    for thread in clients:
        thread.start()
    restarts = [begun + options.minutes * 60 * 0.5 * (k + 1) / (options.restarts + 1) for k in range(options.restarts)]
    while time.monotonic() < end:
        if restarts and time.monotonic() > restarts[0]:
            restarts.pop(0)
            server.stop()
            server.start()
        server.measure()
        time.sleep(2.0)
    for thread in clients:
        thread.join()
    server.measure()
    return tally


def check_alone(server: Server, tally: Tally) -> list[Ask]:
    """Requests whose pictures under load are not the one that they give alone."""
    wrong = []
    for ask, found in tally.pictures.items():
        answer = httpx2.post(f"{server.url}/{ask.path}", **ask.arguments(), timeout=300, trust_env=False)
        if found != {pixels(ask, answer)}:
            wrong.append(ask)
    return wrong


def unfinished_jobs(server: Server, tally: Tally) -> list[str]:
    """Jobs that have not been completed a minute after the load."""
    left, end = list(tally.jobs), time.monotonic() + 120
    while left and time.monotonic() < end:
        base = server.url.removesuffix("/images")
        states = {job: httpx2.get(f"{base}/jobs/{job}", trust_env=False).json().get("status") for job in left}
        left = [job for job, status in states.items() if status != "completed"]
        time.sleep(0.5)
    return left


def memory(life: list[float]) -> tuple[float, float]:
    """Median memory after warming up and at the end of the last life, in MB."""
    quarter = max(1, len(life) // 4)
    return statistics.median(life[quarter : 2 * quarter] or life), statistics.median(life[-quarter:])


def report(server: Server, tally: Tally, options: argparse.Namespace) -> tuple[list[str], bool]:
    """What was measured, in lines; whether all is well."""
    wrong, left = check_alone(server, tally), unfinished_jobs(server, tally)
    seconds = sorted(tally.seconds) or [0.0]
    p50, p95 = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
    done = tally.counts["answered"] + tally.counts["malformed refused"] + tally.counts["cancelled"]
    warm, last = memory(server.lives[-1])
    lost, growth = server.lost(), last / warm - 1
    lines = [
        f"{options.minutes:g} min, {options.clients} clients: {done / options.minutes / 60:.2f} requests/s",
        f"pictures {tally.counts['answered']}, p50 {p50:.2f} s, p95 {p95:.2f} s",
        *[f"  {name}: {count}" for name, count in sorted(tally.counts.items())],
        f"jobs {len(tally.jobs)}, not completed {len(left)}",
        f"different requests {len(tally.pictures)}, pictures that differ from the same alone: {len(wrong)} {wrong[:3]}",
        f"memory of the last life: {warm:.0f} MB after warming up, {last:.0f} MB at the end ({growth:+.1%})",
        f"accepted and never answered: {lost}",
        *[f"unexpected: {said}" for said in tally.unexpected[:5]],
    ]
    flat = growth <= MEMORY or options.minutes < LONG_MINUTES  # a short life is still warming up
    return lines, not wrong and not left and not tally.counts["unexpected"] and not lost and flat


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=None, help="3, or 15 of the mixed load")
    parser.add_argument("--mixed", action="store_true", help="videos, PDFs, chats, jobs, a full disk as well")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--cancelled", type=float, default=0.25)
    parser.add_argument("--malformed", type=float, default=0.10)
    parser.add_argument("--compare", type=int, default=8, metavar="N", help="requests at once against a row; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--write", action="store_true", help="write a results file")
    options = parser.parse_args()
    if options.minutes is None:
        options.minutes = 15.0 if options.mixed else 3.0
    if options.mixed:
        lines, well = mixed_load.main(options)
        finish("serve-load-mixed", lines, well, write=options.write)
    well, lines = True, [f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), options.model)
        server.start()
        try:
            if options.compare:
                lines.append(compare(server, options.compare))
                print("\n".join(lines), flush=True)
            if options.minutes:
                told, well = report(server, soak(server, options), options)
                print("\n".join(told), flush=True)
                lines += told
        finally:
            server.stop()
    finish("serve-load", lines, well, write=options.write)


def finish(name: str, lines: list[str], well: bool, *, write: bool) -> NoReturn:
    """Write the results if asked to, and end with the right code."""
    if write:
        print(sheet.write(name, "\n".join(["```", *lines, "```"])))
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
