"""A published benchmark on the shipped model, whole and offline: drawn, killed, resumed, scored, compared."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.conftest import Command
from tests.unit.eval.benchmarks import official

PATIENCE = 240.0  # seconds for the first picture on a busy machine


def test_a_benchmark_is_killed_resumed_and_scored(command: Command, tmp_path: Path) -> None:
    data = official.cvtg2k(tmp_path / "data")
    draw = ["eval", "cvtg2k", "--data", str(data), "--limit", "3", "--size", "96x64", "--steps", "2", "--out", "o"]
    child = subprocess.Popen([sys.executable, "-m", "inkwash", *draw], cwd=tmp_path, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    try:
        while not list((tmp_path / "o").rglob("*.png")):
            assert child.poll() is None and time.monotonic() < end, "no picture was drawn"
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o").rglob("*.png")}
    done = command(*draw, "--json", "s.json", "--html", "p.html")
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["n"], scores["model"], scores["truth_share_read"]) == (3, "nano", 1.0)
    assert scores["judge"].startswith("ppocrv6-small[") and (tmp_path / "p.html").read_text().count("<article") == 3
    assert len((tmp_path / "o" / "predictions.jsonl").read_text().splitlines()) >= 3
    (tmp_path / "o" / "CVTG" / "3" / "3.png").unlink()
    missing = command("eval", "cvtg2k", "--data", data, "--limit", "3", "--images", "o")
    assert missing.returncode == 2 and "CVTG/3/3.png" in missing.stderr and missing.stderr.count("\n") == 1
