"""Generate and edit in their own process: files, repeatability, stdin, JSON, a terminal's progress and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from inkwash.media.images import load_image, read_metadata
from tests.e2e.conftest import Command

SOON = 4.0  # half a second of grace, one second in all on an idle machine; a thousand steps take far longer
PROMPT = 'A poster that says "HELLO"'


def pixels(path: Path) -> np.ndarray:
    return np.asarray(load_image(path))


def test_a_picture_depends_on_its_own_seed_only(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    options = ["--model", tiny_model, "--size", "96x64", "--steps", "2"]
    three = command("generate", PROMPT, *options, "--seed", "5", "-n", "3", "-o", "many.png")
    assert three.returncode == 0, three.stderr
    alone = command("generate", PROMPT, *options, "--seed", "6", "-o", "alone.png")
    assert alone.returncode == 0, alone.stderr
    assert "seed 6" in alone.stdout and "96x64" in alone.stdout
    assert pixels(tmp_path / "alone.png").shape == (64, 96, 3)
    assert np.array_equal(pixels(tmp_path / "alone.png"), pixels(tmp_path / "many-2.png"))
    assert not np.array_equal(pixels(tmp_path / "many-1.png"), pixels(tmp_path / "many-2.png"))


def test_prompt_from_stdin_and_json_out(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    options = ["--model", tiny_model, "--size", "64x64", "--steps", "1", "-o", "a.webp", "--json"]
    done = command("generate", "-", *options, stdin="海报“你好”\n")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["pictures"][0]
    assert said["prompt"] == "海报“你好”" and read_metadata(tmp_path / "a.webp")["seed"] == said["seed"]


def test_edit_with_two_pictures_of_odd_sizes(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    made = command("generate", PROMPT, "--model", tiny_model, "--size", "128x64", "--steps", "1", "-o", "a.png")
    assert made.returncode == 0, made.stderr
    load_image(tmp_path / "a.png").resize((107, 53)).save(tmp_path / "b.jpg")
    options = ["--image", "a.png", "--image", "b.jpg", "--model", tiny_model, "--size", "64x64", "--steps", "1"]
    done = command("edit", 'Write "BLUE" on it', *options, "-o", "c.png")
    assert done.returncode == 0, done.stderr
    assert read_metadata(tmp_path / "c.png")["images"] == ["a.png", "b.jpg"]


def test_a_prompt_beyond_the_context_is_refused(command: Command, tiny_model: Path, tmp_path: Path) -> None:
    done = command("generate", "-", "--model", tiny_model, "--size", "64x64", "--steps", "1", stdin="word " * 20_000)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_ctrl_c_on_a_terminal(tiny_model: Path, tmp_path: Path) -> None:
    """Both stages show on a terminal; an interrupt then ends the command soon and leaves nothing."""
    leader, follower = pty.openpty()
    options = ["--model", str(tiny_model), "--size", "256x256", "--steps", "1000"]
    line = [sys.executable, "-m", "inkwash", "generate", PROMPT, *options]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    while b"Drawing (steps)" not in shown:
        chunk = os.read(leader, 4096)
        assert chunk, shown
        shown += chunk
    assert b"Planning (tokens)" in shown
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    code = process.wait(timeout=20)
    assert time.monotonic() - started < SOON
    assert code == 130 and not list(tmp_path.iterdir())
    os.close(leader)
