"""The pages a newcomer follows: every block is run, in order, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inkwash.eval.ocr import Reader
from inkwash.media.images import load_image
from tests.documents import ROOT, blocks

PAGES = ("start", "drawing", "editing", "seeing")
LEGIBLE = {"start": ("poster.png", "yellow.png", "from_python.png")}  # a reader's first pictures: HELLO is read in them
PATIENCE = 900.0  # seconds for a page on a busy machine


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `inkwash` is the package under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "inkwash"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inkwash "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(page: str, shell: dict[str, str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    found = [block for block in blocks(ROOT / "docs" / f"{page}.md") if block.runs]
    assert found
    python = ""
    for block in found:
        if block.language == "sh":
            run = ["bash", "-euo", "pipefail", "-c", block.text]
        else:  # a later Python block of a page goes on from the earlier ones
            python += block.text
            run = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", python]
        done = subprocess.run(run, cwd=work, env=shell, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    reader = Reader() if page in LEGIBLE else None
    for name in LEGIBLE.get(page, ()) if reader is not None else ():
        assert reader.reading(load_image(work / name)).lines == ("HELLO",), f"{name} of {page}.md needs another seed"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / "mkdocs.yml")]
    done = subprocess.run(
        [*build, "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "api" / "drawing.html").read_text("utf-8")
    assert "GlmImagePipeline.from_pretrained" in reference and "<li><code>layout</code>: " in reference
    commands = (tmp_path / "site" / "commands.html").read_text("utf-8")
    assert "inkwash eval cvtg2k" in commands and "--guidance" in commands and "INKWASH_CACHE" in commands
