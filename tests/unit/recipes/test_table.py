"""Recipes are found by name, and --set reaches their parameters with the right types or says why not."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inkwash import recipes
from inkwash.core.errors import Cancelled, ConfigError
from inkwash.recipes import table


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate is {self.rate}, but must be above 0.")


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int = 10
    inner: Inner = field(default_factory=Inner)
    sizes: tuple[int, ...] = (1, 2)


def recipe(work: Path, steps: int = 5, fast: bool = False, name: str = "a", config: Outer = Outer()) -> None:
    """A recipe with one parameter of each kind."""


def test_every_name_is_a_function_whose_settings_have_values() -> None:
    for name, summary in recipes.summaries().items():
        module, _, function = table.RECIPES[name].partition(":")
        found = getattr(importlib.import_module(module), function)
        assert set(table.arguments(found, [])) == set(inspect.signature(found).parameters), name
        assert summary == " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split()) != ""


def test_an_interrupted_recipe_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(where: str, overrides: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "_run", interrupted)
    with pytest.raises(Cancelled, match="the same command goes on"):
        recipes.run("finetune")


def test_settings_are_read_by_type() -> None:
    overrides = ["steps=7", "fast=True", "name=x=y", "work=~/w", "config.steps=3", "config.inner.rate=1e-3"]
    found = table.arguments(recipe, overrides)
    assert found == {
        "work": Path("~/w"),
        "steps": 7,
        "fast": True,
        "name": "x=y",
        "config": Outer(steps=3, inner=Inner(rate=0.001)),
    }
    assert table.arguments(recipe, [])["config"] == Outer(), "defaults are never changed"


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("stepz=1", "did you mean 'steps'"),
        ("config.inner.rat=1", "did you mean 'rate'"),
        ("steps=many", "whole number"),
        ("fast=maybe", "true or false"),
        ("config.inner.rate=x", "a number"),
        ("config.inner.rate=-1", "must be above 0"),
        ("steps.more=1", "no settings of its own"),
        ("config=1", "no single value"),
        ("config.sizes=1", "no single value"),
    ],
)
def test_wrong_settings_are_named(override: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        table.arguments(recipe, [override])


def test_an_unknown_recipe() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nano-vae'"):
        recipes.run("nano-vea")


def test_run_calls_the_function_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fake(work: Path, steps: int = 5) -> None:
        calls.append((work, steps))

    monkeypatch.setattr("inkwash.recipes.nano.nano_vae", fake)
    recipes.run("nano-vae", ["steps=9"])
    assert calls == [(Path("work/nano"), 9)]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a recipe returns."""

    work: Path
    inner: Inner
    doubled: int

    def run(self) -> None:
        RAN.append(self)


RAN: list[Stage] = []


def stage(work: Path, steps: int = 5) -> Stage:
    return Stage(work=work, inner=Inner(), doubled=2 * steps)


def test_a_configuration_follows_from_the_arguments_and_can_be_changed_in_its_fields() -> None:
    found = table.configured(stage, ["inner.rate=0.5", "steps=7"])
    assert found == Stage(work=Path("work/nano"), inner=Inner(rate=0.5), doubled=14)
    assert table.configured(stage, ["doubled=3"]).doubled == 3


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("innr.rate=1", "did you mean 'inner'"),
        ("inner.rte=1", "did you mean 'rate'"),
        ("stps=1", "did you mean 'steps'"),
        ("inner.rate=-1", "must be above 0"),
    ],
)
def test_wrong_settings_of_a_configuration_are_named(override: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        table.configured(stage, [override])


def test_every_stage_of_nano_is_a_frozen_configuration() -> None:
    from inkwash.recipes import nano

    changed = table.configured(nano.nano_ar, ["steps=30", "train.lr=0.1", "data.edits=0.5"])
    assert (changed.train.steps, changed.train.lr, changed.data.edits, changed.data.preview_from) == (30, 0.1, 0.5, 16)
    for make in (nano.nano_vae, nano.nano_vae_refined, nano.nano_tokenizer, nano.nano_decoder, nano.nano_ar):
        assert hash(make(Path("w"), steps=10)) == hash(make(Path("w"), steps=10))
