"""The stage of the nano agent at its smallest, and as a program for a test that kills it.

python -m tests.unit.recipes.agent_stage WORK MODEL STEP: SIGKILL comes while batch number STEP is asked for.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from inkwash.data.loader import Batch
from inkwash.data.panel_pages import PanelBatches
from inkwash.recipes import nano_agent
from inkwash.train.vlm import VLMTraining

STEPS = 5


def train(work: Path, model: Path, kill_at: int | None = None) -> None:
    """Five steps on panels and cards, on one thread; the state is kept after every one."""
    make, threads = PanelBatches.__call__, torch.get_num_threads()

    def made(self: PanelBatches, step: int) -> Batch:
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return make(self, step)

    often = partial(VLMTraining, save_every_s=0.0, workers=0, warmup=1)
    torch.set_num_threads(1)
    try:
        with patch.object(PanelBatches, "__call__", made), patch.object(nano_agent, "VLMTraining", often):
            nano_agent.nano_agent(
                work,
                model=str(model),
                pages=8,
                reading=0,
                steps=STEPS,
                language_from=2,
                act_from=2,
                batch=1,
                questions=0.4,
                knows="cards",
            )
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
