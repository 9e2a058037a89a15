"""Natural prompts: the list that ships, lists of others, words of every script, pictures in which nothing is drawn."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import natural
from inkwash.eval.benchmarks.drawing import pictures_of
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.page import benchmark_page
from inkwash.eval.benchmarks.self_check import has_glyphs, render_texts
from inkwash.eval.ink import EMPTY, ink_share
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.paired import PairedItem, value
from inkwash.eval.predictions import picture_hash
from tests.unit.eval.test_report import Page

PROMPTS = natural.read_prompts()
LIMIT = 30


class ReadsShipped:
    """Reads the rendered texts of the shipped prompts, and nothing in any other picture."""

    name = "knowing[v1]"

    def __init__(self, config: ReaderConfig | None = None) -> None:
        self.known: dict[str, list[str]] = {}
        for prompt in PROMPTS[:LIMIT]:
            if all(map(has_glyphs, prompt.texts)):
                self.known[picture_hash(rendered(prompt))] = list(prompt.texts)

    def texts(self, image: Image.Image) -> list[str]:
        return self.known.get(picture_hash(image), [])


@cache
def rendered(prompt: natural.NaturalPrompt) -> Image.Image:
    return render_texts(list(prompt.texts)) or Image.new("RGB", (64, 64), "white")


def test_the_shipped_list() -> None:
    assert [prompt.number for prompt in PROMPTS] == list(range(1, 61))
    assert sum(bool(prompt.texts) for prompt in PROMPTS) == 55
    assert len({prompt.prompt for prompt in PROMPTS}) == 60
    for prompt in PROMPTS:
        assert all(text.strip() and text in prompt.prompt for text in prompt.texts), prompt
        assert all(thing.name and (thing.count is None or thing.count > 0) for thing in prompt.things), prompt
    rows = [json.loads(line) for line in natural.SHIPPED.read_text(encoding="utf-8").splitlines()]
    assert len({row["genre"] for row in rows}) > 30 and {row["language"] for row in rows} == {"en", "zh"}
    everything = "".join(prompt.prompt for prompt in PROMPTS)
    assert all(mark in everything for mark in "\"'“”‘’„«»「」『』"), "every style of quotation marks"


def test_a_list_of_others(tmp_path: Path) -> None:
    """Comments and empty lines do not count, and every style of quotes gives expected texts."""
    file = tmp_path / "list.txt"
    file.write_text(
        '# mine\n\na sign "OPEN" and «Fermé»\n  写着『你好』的海报\na cat\nsays „Guten Tag“, not ""\n', "utf-8"
    )
    prompts = natural.read_prompts(file)
    assert [prompt.number for prompt in prompts] == [1, 2, 3, 4]
    assert [prompt.texts for prompt in prompts] == [("OPEN", "Fermé"), ("你好",), (), ("Guten Tag",)]
    assert [prompt.script for prompt in prompts] == ["latin", "cjk", "no text", "latin"]
    assert natural.read_prompts(file, limit=2) == prompts[:2]
    file.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="holds no prompt"):
        natural.read_prompts(file)


SCORED = [
    (["Happy Birthday Mia!"], ["HAPPY", "mia! birthday"], (3, 3)),
    (["Happy Birthday Mia!"], ["Happy Mia"], (1, 3)),
    (["恭喜发财"], ["恭喜", "发财"], (1, 1)),
    (["恭喜发财"], ["喜恭发财"], (0, 1)),
    (["EXIT 出口"], ["EXIT出口"], (2, 2)),
    (["拿铁 18元"], ["拿铁18", "元"], (3, 3)),
    (["営業中", "こんにちは"], ["営業中 こんにちわ"], (1, 2)),
    ([], ["anything"], (0, 0)),
]


@pytest.mark.parametrize(("wanted", "read", "counts"), SCORED)
def test_words_of_every_script_are_counted(wanted: list[str], read: list[str], counts: tuple[int, int]) -> None:
    assert natural.count_words(wanted, read) == counts


def test_characters_of_scripts_without_spaces() -> None:
    prompt = natural.NaturalPrompt(number=1, prompt="", texts=("買一送一 NOW", "こん"))
    picture = natural.score_picture(prompt, ["買一送 NOW", "こ"], ink=0.5)
    assert picture.characters == (1.0, 1.0, 1.0, 0.0, 1.0, 0.0)
    assert (picture.correct, picture.total) == (1, 3) and not picture.empty


@pytest.mark.parametrize("color", ["white", "black", (216, 30, 30)])
def test_a_plain_picture_is_empty_and_one_small_letter_is_not(color: Any) -> None:
    image = Image.new("RGB", (384, 384), color)
    assert ink_share(image) == 0.0
    ImageDraw.Draw(image).text((180, 180), "i", fill="gray", font_size=24)
    assert ink_share(image) > EMPTY


def test_a_gradient_and_a_fleck_are_empty() -> None:
    gradient = Image.linear_gradient("L").resize((384, 384)).convert("RGB")
    assert ink_share(gradient) < EMPTY
    gradient.putpixel((200, 0), (255, 0, 0))
    assert ink_share(gradient) < EMPTY


def test_the_seed_of_a_picture_is_the_runs_seed_and_its_line(tmp_path: Path) -> None:
    tasks = natural.BENCHMARK.run(images=tmp_path, limit=3).tasks()
    assert [task.file for task in tasks] == ["001.png", "002.png", "003.png"]
    assert [pictures_of(task, 0)[0].seed for task in tasks] == [1, 2, 3]
    assert [pictures_of(task, 100)[0].seed for task in tasks] == [101, 102, 103]


def test_from_pictures_to_numbers(tmp_path: Path) -> None:
    """Every second picture is perfect, the others are plain fills."""
    for prompt in PROMPTS[:LIMIT]:
        image = rendered(prompt) if prompt.number % 2 else Image.new("RGB", (64, 64), (9, 9, 9))
        image.save(tmp_path / f"{prompt.number:03d}.png")
    run = natural.BENCHMARK.run(images=tmp_path, limit=LIMIT)
    result = run.score(Judges(open_reader=ReadsShipped))
    scores = result.to_dict()
    perfect = [prompt for prompt in PROMPTS[:LIMIT:2] if all(map(has_glyphs, prompt.texts))]
    words = sum(natural.count_words(prompt.texts, prompt.texts)[1] for prompt in perfect)
    assert scores["correct_words"] == words > 20 and scores["truth_share_read"] == 1.0
    assert scores["word_accuracy"] == pytest.approx(words / scores["words"], abs=1e-6)
    blank = [prompt for prompt in PROMPTS[:LIMIT] if prompt.number % 2 == 0 or not prompt.texts]
    assert scores["empty_pictures"] == len(blank) and scores["empty_rate"] == pytest.approx(
        len(blank) / LIMIT, abs=1e-6
    )
    assert set(scores["per_script"]) == {"latin", "cjk", "no text"} and scores["data"] == "natural.jsonl"
    record = scores["pictures"][26]
    assert record["things"] == [{"name": "ice cube", "count": 3}] and record["texts"] == record["read"]
    assert (record["words"], record["correct_words"], record["empty"]) == (4, 4, False)
    items = [PairedItem.from_dict(row) for row in scores["per_prompt"]]
    for metric in ("word_accuracy", "ned", "cjk_characters", "whole_pictures", "empty_rate"):
        assert value(items, metric) == pytest.approx(scores[metric], abs=1e-6), metric
    html = benchmark_page(run.benchmark, result, title="natural")
    assert len(Page(html).cards) == LIMIT and "✗ something drawn" in html and "per prompt" not in html
