"""Nano-V on held-out scenes: the command `inkwash eval questions`, on one thread and with its time.

python -m bench.questions [options of inkwash eval questions]
"""

from __future__ import annotations

import sys
import time

import torch

from inkwash.cli.app import run

if __name__ == "__main__":
    torch.set_num_threads(1)
    began = time.perf_counter()
    code = run(["eval", "questions", *sys.argv[1:]])
    print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(code)
