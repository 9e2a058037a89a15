"""What stages have left in their folders: finished weights, or the average of a run that goes on; and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inkwash.core.errors import ConfigError


def finished(file: Path, recipe: str) -> dict[str, Any]:
    """What an earlier stage has written; a ConfigError says which one is missing."""
    if not file.exists():
        raise ConfigError(f"{file} is not there: run inkwash train {recipe} with the same work first.")
    state = torch.load(file, map_location="cpu", weights_only=True)
    assert isinstance(state, dict)
    return state


def load_trained(file: Path, recipe: str, modules: Mapping[str, nn.Module]) -> None:
    """Load a stage's finished weights from its file or, where it has not finished, the running average beside that.

    A stage of several modules wrote each under its name. What did not learn has no average, so exactly what learnt must
    require gradients here.
    """
    if file.exists():
        state = torch.load(file, map_location="cpu", weights_only=True)
        for name, module in modules.items():
            module.load_state_dict(state[name] if len(modules) > 1 else state)
        return
    state = finished(file.with_name("state.pt"), recipe)
    for name, module in modules.items():
        module.load_state_dict(state["modules"][name])
    learning = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    with torch.no_grad():
        for parameter, average in zip(learning, state["ema"]["shadow"], strict=True):
            parameter.copy_(average)


def print_result(out: Path, use: str, *, adapter: bool) -> None:
    """Say how a finished checkpoint or adapter is used: `use` is the command without the option that names it."""
    print(f"Finished: inkwash {use} {'--lora' if adapter else '--model'} {out}", flush=True)
