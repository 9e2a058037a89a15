"""One of two processes that wait for each other, as a program for tests: python -m tests.unit.train.pieces FOLDER.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are those of torchrun. Writes what it has seen to FOLDER/RANK.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from inkwash.core.errors import DataError, InkwashError
from inkwash.train.parallel import average_gradients, finish, first_does, start


def main(folder: Path) -> None:
    ranks, _ = start(torch.device("cpu"))
    seen: dict[str, object] = {}

    def work() -> str:
        (folder / "once").mkdir()  # fails when it is done twice
        return "done"

    seen["result"] = first_does(ranks, work)

    def fail(error: Exception) -> None:
        raise error

    for name, error in (("sentence", DataError("There is no caption.")), ("bug", ValueError("odd"))):
        try:
            first_does(ranks, lambda error=error: fail(error))  # type: ignore[misc]
        except InkwashError as caught:
            seen[name] = caught.message
        except ValueError as caught:
            seen[name] = repr(caught)

    both, one, neither = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.tensor([1.0, 2.0]) * (1 + ranks.rank)
    if ranks.first:
        one.grad = torch.tensor([4.0, 6.0])
    average_gradients([both, one, neither], ranks)
    seen["gradients"] = [None if p.grad is None else p.grad.tolist() for p in (both, one, neither)]
    (folder / f"{ranks.rank}.json").write_text(json.dumps(seen))
    finish(ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
