"""The limits block of a checkpoint: read, checked, written back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inkwash.core.errors import WeightsError
from inkwash.core.types import Size
from inkwash.models.glm_image.folder import Abilities, DrawingDefaults, drawing_defaults, pipeline_index
from tests.unit.models.folders import hollow_checkpoint

BLOCK: dict[str, Any] = {
    "pictures": {"poster": ["海报"]},
    "things": {"star": ["五角星", "five-pointed star"], "cat": []},
    "colors": {"red": ["红色"]},
    "styles": {},
    "alphabet": "ABC",
    "lettering": {"cell": 32, "large_cell": 64, "large_words": ["big"], "lines": 5, "wraps": False},
    "sizes": {"shortest": 128, "longest": 768, "aspect": 3.0},
    "languages": ["en"],
    "most_things": 2,
    "photographs": False,
}


def test_what_is_read_is_written(tmp_path: Path) -> None:
    abilities = Abilities.from_dict(BLOCK)
    assert abilities.to_dict() == BLOCK
    own = DrawingDefaults(guidance_scale=2.0, canonical_quotes=True, limits=abilities)
    folder = hollow_checkpoint(tmp_path / "own")
    (folder / "model_index.json").write_text(json.dumps(pipeline_index(own)))
    assert drawing_defaults(folder) == own


def test_the_released_layout_gets_no_new_keys() -> None:
    assert "_drawing" not in pipeline_index(DrawingDefaults())
    assert pipeline_index(DrawingDefaults(guidance_scale=2.0))["_drawing"] == {
        "num_inference_steps": 50,
        "guidance_scale": 2.0,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"alphabet": ""},
        {"languages": ["xx"]},
        {"things": ["cat"]},
        {"things": {"cat": "kitten"}},
        {"lettering": {"cell": 0, "large_cell": 64, "large_words": [], "lines": 5, "wraps": False}},
        {"lettering": None},
        {"sizes": {"shortest": 512, "longest": 128, "aspect": 3.0}},
        {"colours": {}},
        {"most_things": -1},
    ],
)
def test_a_wrong_block_is_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = hollow_checkpoint(tmp_path / "own")
    index = {**pipeline_index(), "_drawing": {"limits": {**BLOCK, **change}}}
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="_drawing that no picture can be drawn with"):
        drawing_defaults(folder)


def test_sizes_and_lines() -> None:
    own = Abilities.from_dict(BLOCK)
    inside, outside = (Size(384, 384), Size(768, 256), Size(128, 128)), (Size(96, 128), Size(800, 512), Size(640, 192))
    assert all(map(own.sizes.holds, inside)) and not any(map(own.sizes.holds, outside))
    assert own.lettering.characters(384) == 12 and own.lettering.characters(384, large=True) == 6
    assert own.lettering.rows(384) == 5 and own.lettering.rows(128) == 4
