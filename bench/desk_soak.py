"""The desktop's assistant for an hour: a shot every five seconds, twenty recordings; what grows, what is left behind.

    xvfb-run -a python -m bench.desk_soak                                    # the hour
    xvfb-run -a python -m bench.desk_soak --minutes 5 --recordings 4         # a look

The command itself (`inkwash desk --browser`) runs in a session of its own; memory is the resident memory of that
session's processes, from the second recording on. It ends by Ctrl-C; whatever of its session is still there then is an
orphan. Fails above 50 MB of growth, and for any orphan.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

GROWTH_MB = 50.0
END_S = 30.0
_SESSION = 3  # field of /proc/PID/stat after the command's name, counted from 0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the session holds now."""

    minutes: float
    memory_mb: float
    processes: int
    threads: int
    files: int

    def __str__(self) -> str:
        return (
            f"{self.minutes:5.1f} min  {self.memory_mb:6.1f} MB  {self.processes} processes  {self.threads} threads  "
            f"{self.files} files"
        )


def session_of(pid: int) -> int | None:
    """The session of a process; None where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else int(fields[_SESSION - 1])


def members(session: int) -> list[int]:
    """The processes of a session."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if session_of(pid) == session]


def read(session: int, began: float) -> Reading:
    """Memory, threads and open files of a session."""
    memory = threads = files = 0
    pids = members(session)
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            continue
        memory += _number(status, "VmRSS")
        threads += _number(status, "Threads")
    minutes = (time.monotonic() - began) / 60
    return Reading(minutes=minutes, memory_mb=memory / 1024, processes=len(pids), threads=threads, files=files)


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.M)
    return int(found[1]) if found else 0


@dataclass(frozen=True, kw_only=True)
class Assistant:
    """A running assistant: its address, its token, its session."""

    url: str
    token: str
    session: int

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of its page."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"X-Inkwash-Token": self.token})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@contextmanager
def running() -> Iterator[Assistant]:
    """The command in a session and a folder of its own; it ends by Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a background job, whose children would ignore Ctrl-C, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "inkwash", "desk", "--browser", "--no-open", "--model", "none"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        with subprocess.Popen(
            [*command, "--folder", folder], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                if not line:
                    raise SystemExit("The assistant ended before it was ready.")
                found = re.search(r"Ready: (http\S+)", line)
            parts = urlsplit(found[1])
            [token] = parse_qs(parts.query)["token"]
            try:
                yield Assistant(url=f"http://{parts.netloc}", token=token, session=process.pid)
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(END_S)


def main() -> None:
    parser = argparse.ArgumentParser(description="The desktop's assistant for an hour.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two shots")
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a recording")
    given = parser.parse_args()
    if given.recordings < 3:
        parser.error("--recordings must be at least 3: growth counts from the second one on")
    with running() as assistant:
        first, last = soak(assistant, given)
    left = orphans(assistant.session)
    growth = last.memory_mb - first.memory_mb
    print(f"growth {growth:+.1f} MB (allowed {GROWTH_MB:g}), orphans {len(left)}")
    raise SystemExit(0 if growth <= GROWTH_MB and not left else 1)


def soak(assistant: Assistant, given: argparse.Namespace) -> tuple[Reading, Reading]:
    """Shots and recordings, evenly; what was held after the second recording, and at the end."""
    began, shots, first, told = time.monotonic(), 0, None, 0.0
    total, recorded = 60 * given.minutes, 0
    while (now := time.monotonic() - began) < total or first is None:
        assistant.call("/api/shot", {"monitor": 0})
        shots += 1
        if recorded < given.recordings and now >= recorded * total / given.recordings:
            record(assistant, given.seconds)
            recorded += 1
            if recorded == 2:
                first = read(assistant.session, began)
        if now - told >= 60 or told == 0:
            told = max(now, 1e-9)
            print(f"{read(assistant.session, began)}  {shots} shots  {recorded} recordings", flush=True)
        time.sleep(max(0.0, shots * given.every - (time.monotonic() - began)))
    last = read(assistant.session, began)
    print(f"{last}  {shots} shots  {recorded} recordings", flush=True)
    return first, last


def record(assistant: Assistant, seconds: float) -> None:
    """One recording of the whole screen."""
    assistant.call("/api/record/start", {"monitor": 0})
    time.sleep(seconds)
    kept = assistant.call("/api/record/stop", {})
    if kept["bytes"] <= 0:
        raise SystemExit("A recording is empty.")


def orphans(session: int) -> list[int]:
    """What is left of a session a moment after its end."""
    end = time.monotonic() + 5
    while (left := members(session)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


if __name__ == "__main__":
    main()
