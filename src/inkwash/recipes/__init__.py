"""Complete runs as Python functions. `summaries()` lists them, `run(name, overrides)` calls one by its name."""

from __future__ import annotations

from inkwash.recipes.table import REINFORCEMENT, run, summaries

__all__ = ["REINFORCEMENT", "run", "summaries"]
