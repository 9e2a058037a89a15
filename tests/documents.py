"""The code blocks of the documents, for the tests that parse or run them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs/log.md"})
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SHELL = {"sh", "bash", "console", ""}
OPERATORS = {"|", "||", "&&", ";", ">", ">>", "<", "&"}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block; `runs` unless the line above it is the comment `not run: REASON`."""

    language: str
    text: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(language=language, text=text, runs=not note) for note, language, text in found]


def commands(page: Path) -> list[list[str]]:
    """The arguments of every `inkwash` command of a page's blocks."""
    lines = [
        line.removeprefix("$ ")
        for block in blocks(page)
        if block.language in SHELL
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    found = []
    for line in lines:
        if re.search(r"^(.*\| |.*-m )?inkwash ", line):
            words = shlex.split(line, comments=True)
            words = words[words.index("inkwash") + 1 :]
            end = next((i for i, word in enumerate(words) if word in OPERATORS), len(words))
            found.append(words[:end])
    return found
