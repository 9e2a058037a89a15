"""The process in which a user's verifier runs: questions in, scores out, JSON by the line.

Run by `file_based.py` as a script, so that it imports nothing of the package. What the functions print is dropped.
"""

from __future__ import annotations

import json
import os
import runpy
import sys


def main(extract_path: str, extract_name: str, judge_path: str, judge_name: str) -> None:
    """Answer questions until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # as long as the process
    os.dup2(sys.stdout.fileno(), 1)
    extract = runpy.run_path(extract_path)[extract_name]
    judge = runpy.run_path(judge_path)[judge_name]
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            score = float(judge(extract(question["response"]), question["wanted"]))
            reply: dict[str, float | str] = {"score": score}
        except Exception as problem:
            reply = {"error": f"{type(problem).__name__}: {problem}"[:500]}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:5])
