"""Complete runs as Python functions. `names()` lists them, `run(name, overrides)` calls one by its name."""

from __future__ import annotations

from inkwash.recipes.table import REINFORCEMENT, names, run

__all__ = ["REINFORCEMENT", "names", "run"]
