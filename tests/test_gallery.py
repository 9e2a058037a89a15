"""The gallery page is what its list says, and its pictures are those of the commands that are printed there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from inkwash.engine.readback import quoted_texts
from inkwash.media.images import read_metadata
from tests.documents import commands
from tests.examples import load

ROOT = Path(__file__).parents[1]


gallery = load("gallery")
LISTED = gallery.Gallery.read()


def test_the_page_is_that_of_the_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(LISTED)
    monkeypatch.setattr(gallery, "LIST", tmp_path / "gallery.json")
    LISTED.write()
    assert (tmp_path / "gallery.json").read_text() == (ROOT / "examples" / "gallery.json").read_text()
    block = re.search(r"```sh\n(.*?)```", gallery.page(LISTED), flags=re.DOTALL)
    assert block is not None
    for line, entry in zip(block[1].splitlines(), LISTED.pictures, strict=True):
        assert shlex.split(line) == ["inkwash", *entry.words()]


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_commands_of_a_newcomer_are_those_of_pictures_that_were_looked_at(page: str) -> None:
    """Words of an unseen seed may well be misspelt; with new weights `--choose` brings other seeds."""
    listed = [entry.words() for entry in LISTED.pictures]
    drawn = [words for words in commands(ROOT / page) if words[0] in ("generate", "edit")]
    assert drawn and all(words in listed for words in drawn), drawn


@pytest.mark.parametrize("entry", LISTED.pictures, ids=lambda entry: entry.name)
def test_each_picture_says_that_it_was_drawn_so(entry: object) -> None:
    said = read_metadata(gallery.IMAGES / f"{entry.name}.png")  # type: ignore[attr-defined]
    wanted = (entry.prompt, entry.seed, LISTED.model)  # type: ignore[attr-defined]
    assert (said["prompt"], said["seed"], said["model"]) == wanted
    assert said["size"] == f"{LISTED.side}x{LISTED.side}"


def test_an_edit_comes_after_its_picture() -> None:
    seen: set[str] = set()
    for entry in LISTED.pictures:
        assert entry.image is None or entry.image in seen
        seen.add(entry.name)
    assert len(seen) == len(LISTED.pictures)


def test_seeds_are_chosen_by_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, bool]] = []

    def draw(entry: object, _: object, *, verify: bool = False) -> bool:
        asked.append((entry.name, entry.seed, verify))  # type: ignore[attr-defined]
        return bool(entry.seed == 2)  # type: ignore[attr-defined]

    monkeypatch.setattr(gallery, "draw", draw)
    sign = gallery.Entry(name="sign", title="OPEN", prompt='A sign that says "OPEN"', seed=9)
    assert gallery.choose(sign, LISTED).seed == 2
    assert asked == [("sign", seed, True) for seed in (0, 1, 2)]
    plain = gallery.Entry(name="plain", title="White", prompt="Replace the background with white", seed=1, image="sign")
    assert gallery.choose(plain, LISTED) == plain and asked[-1] == ("plain", 1, False)
    assert not quoted_texts(plain.prompt)
