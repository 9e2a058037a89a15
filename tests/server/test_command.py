"""`inkwash serve` as a process: what it prints, the lines of the model card, signals, and errors in one sentence."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.server.test_generations import picture

LINES = {  # as the model card prints them, but for the port and, where nano would take minutes, the size
    "generations": """curl http://localhost:{port}/v1/images/generations \\
  -H "Content-Type: application/json" \\
  -d '{{
    "model": "zai-org/GLM-Image",
    "prompt": "Doraemon is flying in the sky.",
    "n": 1,
    "response_format": "b64_json",
    "size": "{size}"
  }}' |  {python} -c "import sys, json, base64; open('output_t2i.png', 'wb').write(\
base64.b64decode(json.load(sys.stdin)['data'][0]['b64_json']))"
""",
    "edits": """curl -s -X POST "http://localhost:{port}/v1/images/edits" \\
-F "model=zai-org/GLM-Image" \\
-F "image=@cond.jpg" \\
-F "prompt=Replace the background of the snow forest with an underground station featuring an automatic escalator." \\
-F "response_format=b64_json"  | {python} -c "import sys, json, base64; open('output_i2i.png', 'wb').write(\
base64.b64decode(json.load(sys.stdin)['data'][0]['b64_json']))"
""",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """A server of its own; yields it with its address and log, ready."""
    log = folder / "log"
    command = [sys.executable, "-m", "inkwash", "serve", "--port", "0", "--state", str(folder / "state"), *arguments]
    with open(log, "w") as file:
        server = subprocess.Popen(command, stderr=file, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 300
        while "Ready" not in log.read_text():
            assert server.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield server, log.read_text().partition("http://")[2].split()[0], log
    finally:
        server.kill()
        server.wait(30)


def ask(address: str, **fields: object) -> httpx2.Response:
    url = f"http://{address}/v1/images/generations"
    return httpx2.post(url, json={"prompt": "a red circle", "size": "64x64", **fields}, timeout=120, trust_env=False)


def test_a_process_from_start_to_stop(tmp_path: Path) -> None:
    """One process for all of it: the ready line, the model card's lines, a job, SIGTERM in the middle of a picture."""
    with process(tmp_path) as (server, address, log):
        port = address.rpartition(":")[2]
        assert httpx2.get(f"http://{address}/health", trust_env=False).json()["status"] == "ready"
        if shutil.which("curl"):
            Image.new("RGB", (64, 64), "navy").save(tmp_path / "cond.jpg")
            environment = {**os.environ, "no_proxy": "localhost"}
            for name, line in LINES.items():
                script = line.format(port=port, size="64x64", python=sys.executable)
                done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True)
                assert done.returncode == 0, (name, done.stderr)
            with Image.open(tmp_path / "output_t2i.png") as drawn, Image.open(tmp_path / "output_i2i.png") as edited:
                assert drawn.size == (64, 64) and edited.format == "PNG"
        busy = subprocess.run(
            [sys.executable, "-m", "inkwash", "serve", "--port", port], capture_output=True, text=True, timeout=60
        )
        assert busy.returncode == 2 and busy.stderr.count("\n") == 1 and "another program" in busy.stderr
        job = httpx2.post(
            f"http://{address}/v1/images/generations?background=true",
            json={"prompt": "a", "size": "64x64", "steps": 150, "seed": 1},
            trust_env=False,
        ).json()
        answers: list[httpx2.Response] = []
        asking = threading.Thread(target=lambda: answers.append(ask(address, steps=20, seed=5)))
        asking.start()
        time.sleep(0.7)
        server.send_signal(signal.SIGTERM)
        asking.join(120)
        assert server.wait(120) == 0
        assert answers[0].status_code == 200
        said = log.read_text()
        assert said.startswith("Loading nano ...\nReady after") and "Stopping: finishing what was accepted" in said
        assert "Traceback" not in said and "Error" not in said and "Doraemon" not in said
    with process(tmp_path, "--quiet") as (server, address, log):
        end = time.monotonic() + 300
        url = f"http://{address}/v1/jobs/{job['id']}"
        while (kept := httpx2.get(url, trust_env=False).json())["status"] != "completed":
            assert time.monotonic() < end, kept
            time.sleep(0.1)
        assert picture(kept["result"]["data"][0]).size == (64, 64)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert log.read_text().count("\n") == 3, "loading, ready, stopping; no request lines"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-model"], "Unknown model"),
        (["--port", "70000"], "port is 70000"),
        (["--host", "nowhere.invalid"], "cannot be used"),
        (["--key-file", "none"], "key file"),
        (["--max-image-mp", "nan"], "--max-image-mp"),
        (["--deadline", "inf"], "deadline_s"),
        (["--enhance"], "--enhance-url"),
        (["--enhance-url", "host"], "no address"),
        (["--replicas", "2"], "need --ray"),
        (["--ray", "--planners", "1"], "belong together"),
        (["--allow-url-host", "http://a/b"], "no host name"),
    ],
)
def test_bad_settings_are_one_sentence_without_torch(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from inkwash.cli.app import run

    assert run(["serve", *arguments]) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1


def test_a_refusal_loads_no_torch() -> None:
    code = (
        "import sys; from inkwash.cli.app import run; assert run(['serve', '--port', '70000']) == 2; "
        "assert run(['serve', '--help']) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
