"""The end of a server: answers that are cut off say so, in JSON or as an event, and the process ends in time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from inkwash.serve.settings import ServeSettings
from tests.server.conftest import backend_of, running
from tests.server.fakes import FakeBackend

BODY = {"prompt": "a red circle", "size": "64x64", "steps": 1}
SCRIPT = """
import sys, time
from pathlib import Path
from inkwash.serve.listen import bind
from inkwash.serve.server import serve
from inkwash.serve.settings import ServeSettings
from tests.server.fakes import FakeBackend

{backend}

bound = bind("127.0.0.1", 0)
Path(sys.argv[2]).write_text(f"127.0.0.1:{{bound.getsockname()[1]}}")
serve(ServeSettings(state=Path(sys.argv[1]), port=0, drain_s=1.0), Backend, bound=bound, log_requests=False)
"""
STUCK = """
class Backend(FakeBackend):
    def _draw(self, work):
        if work.request.prompt == "stuck":
            time.sleep(600)
        return super()._draw(work)

    def close(self, **how):
        time.sleep(600)
"""
HARD_TO_TAKE_APART = """
class Backend(FakeBackend):
    def __del__(self):
        time.sleep(600)

kept = Backend()
"""


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_drain_cuts_off_is_told_so(settings: Callable[..., ServeSettings], stream: bool) -> None:
    answers: list[httpx2.Response] = []
    with running(settings(drain_s=30.0), FakeBackend, drain_s=1) as live:
        backend_of(live).gate = threading.Event()
        body = {**BODY, "stream": stream}
        asking = threading.Thread(target=lambda: answers.append(live.http.post("/v1/images/generations", json=body)))
        asking.start()
        live.wait(lambda: backend_of(live).stats().running == 1)
        live.service.drain()
    asking.join(10)
    (answer,) = answers
    if stream:
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1]["type"] == "error" and events[-1]["error"]["code"] == "draining"
        assert answer.text.rstrip().splitlines()[-2] == "event: error"
    else:
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "draining"
        assert 28 <= float(answer.headers["retry-after"]) <= 60  # what is left of the drain, and a start


@contextlib.contextmanager
def process(folder: Path, backend: str, log: str = "log") -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of its own that is ready, and its address."""
    told, root = folder / "address", Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT.format(backend=backend), str(folder / "state"), str(told)]
    with open(folder / log, "w") as file:
        server = subprocess.Popen(command, stderr=file, env=environment, cwd=root)
    try:
        end = time.monotonic() + 120
        while not told.exists() or not says(told.read_text(), status="ready"):
            assert server.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        yield server, told.read_text()
    finally:
        server.kill()
        server.wait(10)


def says(address: str, **state: object) -> bool:
    """Whether /health says so."""
    with contextlib.suppress(httpx2.HTTPError):
        return state.items() <= httpx2.get(f"http://{address}/health", trust_env=False).json().items()
    return False


def ends_in_time(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert server.wait(30) == 0
    assert time.monotonic() - begun < 1.0 + 5.0


@pytest.mark.parametrize("log", ["log", "/dev/full"])
def test_a_process_ends_in_time_whatever_it_does(tmp_path: Path, log: str) -> None:
    """Its engine is stuck, and what it says may find no room, as in a log file on a full disk."""
    if log == "/dev/full" and not os.path.exists(log):
        pytest.skip("a system without /dev/full")
    with process(tmp_path, STUCK, log) as (server, address):
        answers: list[httpx2.Response] = []

        def ask() -> None:
            url = f"http://{address}/v1/images/generations"
            answers.append(httpx2.post(url, json={**BODY, "prompt": "stuck"}, timeout=60, trust_env=False))

        asking = threading.Thread(target=ask)
        asking.start()
        while not says(address, running=1):
            time.sleep(0.05)
        ends_in_time(server)
        asking.join(5)
        assert answers[0].status_code == 503 and answers[0].json()["error"]["code"] == "draining"


def test_an_orderly_end_does_not_wait_for_the_interpreter(tmp_path: Path) -> None:
    """What is left is memory: an alarm in the middle of it would make the end of a busy machine's server a failure."""
    with process(tmp_path, HARD_TO_TAKE_APART) as (server, _):
        ends_in_time(server)
