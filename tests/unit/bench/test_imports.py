"""Every script of bench/ finds what it imports, also after a name of the package has moved."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench"


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCH.glob("*.py")))
def test_the_script_can_be_imported(name: str) -> None:
    assert importlib.import_module(f"bench.{name}").__doc__, "a script says what it measures"
