"""Ctrl-C ends a command soon, with exit code 130, whether the work listens or not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from inkwash.cli.progress import interruptible

SOON = 4.0  # half a second of grace, one second in all on an idle machine; the work would take a minute
SCRIPT = """
import sys, threading, time
from inkwash.cli import app
from inkwash.cli.progress import interruptible

stop = threading.Event()
def work():
    print("working", flush=True)
    {body}
    print("stopped by itself", flush=True)
    raise app.InkwashError("stopped")
try:
    interruptible(work, stop.set)
except app.InkwashError as error:
    sys.exit(error.exit_code)
"""


def test_results_and_failures_come_back() -> None:
    assert interruptible(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, lambda: None)


@pytest.mark.parametrize(
    ("body", "said"), [("stop.wait(60)", "stopped by itself"), ("time.sleep(60)", "")], ids=["listens", "deaf"]
)
def test_a_signal_ends_it_within_a_second(body: str, said: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(body=body)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "working\n"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - started < SOON
    assert said in out and "Traceback" not in err
