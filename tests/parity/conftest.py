"""One tiny pipeline folder for all parity tests of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.tiny import make_tiny_reference


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GLM-Image folder with random weights as `transformers` and `diffusers` write it; treat it as read-only."""
    return make_tiny_reference(tmp_path_factory.mktemp("tiny") / "reference")
