"""The local task for lmms-eval: its files, what the harness calls, and the score."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "integrations" / "lmms_eval"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"signs_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Loader(yaml.SafeLoader):
    """Reads the harness's `!function utils.name` as that text."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_the_task_is_what_the_harness_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = yaml.load((FOLDER / "inkwash_signs.yaml").read_text(encoding="utf-8"), Loader=Loader)
    utils, make = load("utils"), load("make_signs")
    named = [value.removeprefix("utils.") for value in task.values() if str(value).startswith("utils.")]
    assert len(named) == 4 and all(callable(getattr(utils, name)) for name in named)
    monkeypatch.chdir(tmp_path)
    listed = make.make_signs(Path("signs"), 5)
    assert str(listed) == task["dataset_kwargs"]["data_files"]["test"]
    lines = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 5 and all(line["question"] and line["answer"] for line in lines)
    assert make.make_signs(Path("again"), 5).read_bytes() == listed.read_bytes()
    [message] = utils.doc_to_messages(lines[0])
    assert [part["type"] for part in message["content"]] == ["image", "text"]
    assert message["content"][0]["url"].size == (256, 256) and message["content"][1]["text"] == lines[0]["question"]
    right, wrong = f" {lines[0]['answer'].upper()}.\n", f"{lines[0]['answer']} X"
    scores = [utils.process_results(lines[0], [text])["right"] for text in (right, wrong)]
    assert scores == [1.0, 0.0] and [metric["metric"] for metric in task["metric_list"]] == ["right"]
