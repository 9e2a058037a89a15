"""A model shared by the processes that torchrun started, as a program: tests.unit.engine.see.shared OUT FOLDER...

Writes logits of a prompt with pictures and a video, answers, and how many numbers of the decoder a process holds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from inkwash.engine.see.pipeline import GlmVisionPipeline
from tests.unit.engine.see.test_see_pipeline import MIXED, turn


def facts(folder: Path) -> dict[str, Any]:
    """What is compared with one process."""
    pipe = GlmVisionPipeline.from_pretrained(folder)
    model, prompt = pipe.parts.model, pipe.prepare(MIXED)
    with torch.no_grad():
        features = model.see(prompt.patches, prompt.grids) if prompt.patches is not None else None
        hidden = model(prompt.ids[None], prompt.positions[:, None], features=features, modality=prompt.modality[None])
        logits = model.lm_head(hidden)
    greedy = pipe(MIXED, max_new_tokens=30, temperature=0, stop_loops=False)
    second = pipe([*MIXED, greedy.message, turn("And?")], max_new_tokens=10, temperature=0, stop_loops=False)
    sampled = pipe(MIXED, max_new_tokens=20, temperature=1.5, stop_loops=False)  # each process draws another seed
    layers = model.model.language_model.layers
    return {
        "logits": logits,
        "tokens": [greedy.token_ids, second.token_ids],
        "cached": second.usage.cached_tokens,
        "sampled": sampled.token_ids,
        "size": sum(parameter.numel() for parameter in layers.parameters()),
    }


if __name__ == "__main__":
    out, *folders = map(Path, sys.argv[1:])
    torch.save([facts(folder) for folder in folders], out / f"{os.environ['RANK']}.pt")
