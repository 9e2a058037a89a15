"""Levels are objects with facts; their names are compared nowhere else."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

import inkwash
from inkwash.core.errors import ConfigError
from inkwash.scenes.grammar import sample_scene
from inkwash.scenes.levels import BASIC, CARD, FULL, LEVELS, POSTER, Level, find_level

PACKAGE = Path(inkwash.__file__).parent


def test_names_in_stored_settings_stay() -> None:
    assert (BASIC.name, POSTER.name, CARD.name) == ("first", "second", "card")
    assert [find_level(name) for name in LEVELS] == list(LEVELS.values())


def test_an_unknown_level_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match="unknown level 'third': choose one of first, free, full, second, card"):
        find_level("third")


@pytest.mark.parametrize("level", LEVELS.values(), ids=lambda level: level.name)
def test_scenes_have_what_their_level_says(level: Level) -> None:
    scenes = [
        sample_scene(random.Random(seed), width=level.side, height=level.side, regions=level.texts, level=level.name)
        for seed in range(12)
    ]
    if level is not CARD:
        styles = {scene.style for scene in scenes}
        assert (styles != {"flat"}) == level.styled
        assert all(level.texts[0] <= len(scene.texts) <= level.texts[1] for scene in scenes)
    aligned = all(side % 32 == 0 for scene in scenes for item in scene.objects for side in item.box)
    assert aligned == (level is not FULL)
    if "zh" not in level.languages:
        with pytest.raises(ConfigError, match="language 'zh' cannot be set"):
            sample_scene(random.Random(0), level=level.name, language="zh")


def test_no_file_compares_a_level_with_a_name() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "level" not in text or not any(f'"{name}"' in text for name in LEVELS):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                named = any(ast.unparse(side).rpartition(".")[2] == "level" for side in sides)
                texts = {part.value for side in sides for part in ast.walk(side) if isinstance(part, ast.Constant)}
                if named and texts & set(LEVELS):
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not found
