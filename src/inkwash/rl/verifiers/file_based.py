"""Rules of your own: `extract_answer` and `judge` from Python files, run in a process of their own with a time limit.

The functions have the form of the public reward system: `extract_answer(response, question=None)` and
`judge(extracted_answer, ground_truth, question=None)`. They are your code: name only files that you trust. The
process speaks JSON by the line, so nothing is unpickled; one that is late is ended and started anew.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from inkwash.core.errors import ConfigError
from inkwash.rl.verifiers import function_process
from inkwash.rl.verifiers.verdict import Verdict, Verifier

_START_LIMIT = 60.0  # seconds for the interpreter and the imports of the files


class _Process:
    """The process of one verifier; one question at a time."""

    def __init__(self, command: list[str]) -> None:
        self.command, self.lock = command, threading.Lock()
        self.running: subprocess.Popen[bytes] | None = None
        weakref.finalize(self, _Process._end_of, self.__dict__)

    def ask(self, question: dict[str, str], limit: float) -> dict[str, object] | None:
        """The reply; None where it is late or the process ends, which ends the process."""
        with self.lock:
            process = self._started()
            reply = _exchange(process, question, limit) if process is not None else None
            if reply is None:
                self.end()
            return reply

    def _started(self) -> subprocess.Popen[bytes] | None:
        if self.running is None or self.running.poll() is not None:
            self.running = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if _read_line(self.running, _START_LIMIT) is None:
                self.end()
        return self.running

    def end(self) -> None:
        """End the process, if it runs."""
        self._end_of(self.__dict__)

    @staticmethod
    def _end_of(state: dict[str, object]) -> None:
        process = state.get("running")
        if isinstance(process, subprocess.Popen):
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        state["running"] = None


def _exchange(process: subprocess.Popen[bytes], question: dict[str, str], limit: float) -> dict[str, object] | None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
    except OSError:
        return None
    line = _read_line(process, limit)
    reply = json.loads(line) if line else None
    return reply if isinstance(reply, dict) else None


def _read_line(process: subprocess.Popen[bytes], limit: float) -> bytes | None:
    """One line, or None after the limit (seconds) or at the end of the pipe."""
    assert process.stdout is not None
    end, line = time.monotonic() + limit, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not selector.select(left):
                return None
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                return None
            line += piece
    return line


@dataclass(frozen=True, kw_only=True)
class FileBased(Verifier):
    """The type `file_based`: both functions may be in one file."""

    reads_response: ClassVar[bool] = True

    extract_answer_file_path: str
    judge_func_path: str
    extract_answer_func_name: str = "extract_answer"
    judge_func_name: str = "judge"
    time_limit: float = 2.0  # seconds of one verification
    _process: _Process = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for path in (self.extract_answer_file_path, self.judge_func_path):
            if not Path(path).is_file():
                raise ConfigError(f"the verifier's file {path} is not there.")
        if not 0.0 < self.time_limit <= 600.0:
            raise ConfigError(f"time_limit is {self.time_limit}, but must lie above 0 and up to 600 seconds.")
        script = str(Path(function_process.__file__).resolve())
        names = (self.extract_answer_func_name, self.judge_func_path, self.judge_func_name)
        object.__setattr__(self, "_process", _Process([sys.executable, script, self.extract_answer_file_path, *names]))

    def decide(self, answer: str, wanted: str) -> Verdict:
        reply = self._process.ask({"response": answer, "wanted": wanted}, self.time_limit)
        if reply is None:
            return Verdict.wrong("late", f"no verdict within {self.time_limit:g} s, or its process ended")
        score = reply.get("score")
        if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
            return Verdict.wrong("failed", str(reply.get("error", "the score is no number")))
        if not 0.0 <= score <= 1.0:
            return Verdict.wrong("failed", f"the score {score} does not lie from 0 to 1")
        return Verdict(score=float(score), rule="function")

    def close(self) -> None:
        """End the process; the next question starts another one."""
        self._process.end()
