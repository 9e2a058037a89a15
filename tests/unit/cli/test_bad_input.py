"""Bad input: one line with the value, what is allowed and how to fix it, exit code 2, nothing written."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.cli.conftest import FakePipeline, Outcome

Run = Callable[..., Outcome]

BAD = {
    "no command": (["draw", "a"], "generate, edit"),
    "no prompt": (["generate"], "Neither a prompt nor --prompts"),
    "empty prompt": (["generate", " "], "empty"),
    "two prompts": (["generate", "a", "b"], "(b)"),
    "unknown option": (["generate", "a", "--stepz", "3"], "--steps"),
    "no size": (["generate", "a", "--size", "256"], "256x256"),
    "odd size": (["generate", "a", "--size", "100x256"], "nearest is 96"),
    "huge size": (["generate", "a", "--size", "4096x256"], "2048"),
    "tiny size": (["generate", "a", "--size", "16x64"], "32"),
    "long size": (["generate", "a", "--size", "2048x256"], "4:1"),
    "negative steps": (["generate", "a", "--steps", "-3"], "-3"),
    "no steps": (["generate", "a", "--steps", "0"], "1 to 1000"),
    "words for steps": (["generate", "a", "--steps", "many"], "'many'"),
    "nan guidance": (["generate", "a", "--guidance", "nan"], "nan"),
    "infinite guidance": (["generate", "a", "--guidance", "inf"], "inf"),
    "temperature": (["generate", "a", "--temperature", "-1"], "-1"),
    "top-p": (["generate", "a", "--top-p", "1.5"], "1.5"),
    "nan top-p": (["generate", "a", "--top-p", "nan"], "nan"),
    "seed": (["generate", "a", "--seed", "-1"], "-1"),
    "huge seed": (["generate", "a", "--seed", str(2**63)], str(2**63)),
    "no pictures": (["generate", "a", "-n", "0"], "0"),
    "too many pictures": (["generate", "a", "-n", "1000"], "1000"),
    "layout": (["generate", "a", "--layout", "old"], "'old'"),
    "suffix": (["generate", "a", "-o", "out.gif"], ".png"),
    "no suffix": (["generate", "a", "-o", "out"], ".png"),
    "a file for a folder": (["generate", "a", "-o", "notes.txt/out.png"], "cannot be written"),
    "nearly a command": (["generat", "a"], "did you mean 'generate'?"),
    "prompt and file": (["generate", "a", "--prompts", "notes.txt"], "give one of them"),
    "no prompts": (["generate", "--prompts", "none.txt"], "none.txt"),
    "a wrong line": (["generate", "--prompts", "lines.txt"], "Line 3 of lines.txt: seed is 'x'"),
    "an unknown key": (["generate", "--prompts", "keys.txt"], "did you mean 'prompt'?"),
    "unwritable": (["generate", "a", "-o", "/proc/out.png"], "cannot be written"),
    "unknown model": (["generate", "a", "--model", "nanno"], "nano"),
    "no model folder": (["generate", "a", "--model", "./none"], "none"),
    "not a model folder": (["generate", "a", "--model", "."], "model_index.json"),
    "device": (["generate", "a 'B'", "--device", "gpux"], "gpux"),
    "number type": (["generate", "a 'B'", "--dtype", "int3"], "int3"),
    "no picture": (["edit", "a"], "--image"),
    "missing picture": (["edit", "a", "--image", "none.png"], "none.png"),
    "not a picture": (["edit", "a", "--image", "notes.txt"], "notes.txt"),
    "animated picture": (["edit", "a", "--image", "moving.gif"], "animated"),
    "an endless device": (["edit", "a", "--image", "/dev/zero"], "is a device"),
    "an endless device to see": (["describe", "/dev/zero"], "is a device"),
    "missing mask": (["edit", "a", "--image", "good.png", "--mask", "none.png"], "none.png"),
    "mask of another size": (["edit", "a", "--image", "good.png", "--mask", "mask.png"], "16x16"),
    "a picture for a mask": (["edit", "a", "--image", "good.png", "--mask", "small.png"], "is no mask"),
    "setting without a value": (["train", "nano", "--set", "steps"], "KEY=VALUE"),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of each kind of file, as the current one."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save("good.png")
    Image.new("RGB", (16, 16), "red").save("small.png")
    Image.new("L", (16, 16), 255).save("mask.png")
    Path("notes.txt").write_text("no picture")
    Path("lines.txt").write_text('a cat\n\n{"prompt": "a", "seed": "x"}')
    Path("keys.txt").write_text('{"promt": "a"}')
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    return tmp_path


@pytest.mark.parametrize("case", BAD)
def test_one_line_and_exit_code_two(inkwash: Run, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, word = BAD[case]
    if case in ("device", "number type"):  # these are checked when the model is about to be loaded
        monkeypatch.setattr("inkwash.cli.draw.check_model", lambda name: None)
    before = sorted(tmp_path.iterdir())
    outcome = inkwash(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("inkwash: ") and outcome.err.count("\n") == 1, outcome.err
    assert word in outcome.err and not outcome.out
    assert sorted(tmp_path.iterdir()) == before


def test_stdin_that_is_empty_or_no_text(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, word in ((b" \n", "empty"), (b"\xff\xfe\xfa", "UTF-8"), (b"a" * (2**20 + 1), "1 MiB")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        outcome = inkwash("generate", "-")
        assert outcome.code == 2 and word in outcome.err


def test_a_bug_of_ours_is_one_line_and_exit_code_one(inkwash: Run, pipeline: type[FakePipeline]) -> None:
    pipeline.failure = ZeroDivisionError("two\nlines")
    outcome = inkwash("generate", "a 'B'")
    assert outcome.code == 1 and outcome.err.count("\n") == 1
    assert "ZeroDivisionError: two lines" in outcome.err and "INKWASH_DEBUG" in outcome.err


def test_debug_shows_the_traceback(inkwash: Run, pipeline: type[FakePipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.failure = ZeroDivisionError("why")
    monkeypatch.setenv("INKWASH_DEBUG", "1")
    assert "Traceback" in inkwash("generate", "a").err
