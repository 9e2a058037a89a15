"""The page: misread pictures first, target and reading side by side, nothing from the network, nothing unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from inkwash.core.errors import MediaError
from inkwash.eval.report import edits_page, scenes_page, write_page
from inkwash.eval.tasks.edits import held_out_edits, score_edits
from inkwash.eval.tasks.scenes import held_out, score_images
from inkwash.scenes.render import render
from tests.unit.eval.judges import KnowingJudge

CASES = held_out(5, seed=8)
SCENES = [case.scene for case in CASES]
IMAGES = [render(scene) for scene in SCENES]


class Page(HTMLParser):
    """The cards of a page in their order, every link, and whether all tags are closed."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cards: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "article":
            self.cards.append(values["id"] or "")
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(prompts: list[str] | None = None) -> str:
    victim = SCENES[3].texts[0].text
    prompts = prompts or [case.prompt for case in CASES]
    cases = [replace(case, prompt=prompt) for case, prompt in zip(CASES, prompts, strict=True)]
    report = score_images(IMAGES, cases, KnowingJudge(SCENES, {victim: "<b>QQ"}))
    return scenes_page(report, IMAGES, title="Held-out scenes", settings={"model": "nano", "seed": 8}, truths=IMAGES)


def test_the_misread_one_is_first_with_both_texts() -> None:
    html = page()
    parsed = Page(html)
    assert parsed.cards[0] == "case-3" and sorted(parsed.cards) == [f"case-{i}" for i in range(5)]
    first = html.split("<article")[1]
    assert f'<span class="word no"><mark>{SCENES[3].texts[0].text}</mark></span>' in first
    assert "also read: &lt;b&gt;QQ" in first
    assert 'class="word no"' not in "".join(html.split("<article")[2:])
    assert not parsed.open, "unclosed tags"


def test_the_page_stands_alone() -> None:
    links = Page(page()).links
    assert len(links) == 10 and all(link.startswith("data:image/webp;base64,") for link in links)


def test_numbers_and_settings_are_on_top() -> None:
    head = page().split("<article")[0]
    for text in ("word accuracy", "NED", "by number of texts", "judge", "knowing", "nano"):
        assert text in head
    assert "per regions" not in head and "–" not in head, "what was not measured is left out"
    assert head.count("<h2>by number of texts</h2>") == 1
    assert re.search(r"1 of 5 have a fault", head)


def test_prompts_are_escaped() -> None:
    html = page(['<script>alert("x")</script>'] * 5)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_edits_show_before_and_after(tmp_path: Path) -> None:
    cases = held_out_edits(4, seed=1)
    sources = [render(case.edit.sources[0]) for case in cases]
    images = [render(case.edit.target) for case in cases[:3]] + sources[3:]
    judge = KnowingJudge([case.edit.target for case in cases] + [case.edit.sources[0] for case in cases])
    html = edits_page(score_edits(images, cases, judge), images, sources, title="Edits", settings={})
    parsed = Page(html)
    assert parsed.cards[0] == "case-3" and len(parsed.links) == 8
    write_page(html, tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == html
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_an_unwritable_page_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot write the page"):
        write_page("x", tmp_path / "file" / "page.html")
