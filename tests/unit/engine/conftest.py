"""One pipeline of tiny random weights for all tests of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.glm_image.weights import load_pipeline_parts
from tests.parity.tiny import make_tiny_reference


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_reference(tmp_path_factory.mktemp("tiny-engine") / "model")


@pytest.fixture(scope="session")
def pipe(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline(load_pipeline_parts(tiny_folder, dtype=torch.float32))
