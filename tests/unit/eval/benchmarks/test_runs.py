"""Whole runs over finished pictures: numbers, cache, page; a missing picture or a blind judge stops them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError, InkwashError, MediaError
from inkwash.eval.benchmarks import cvtg2k, longtext
from inkwash.eval.benchmarks.benchmark import BenchmarkRun
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.page import benchmark_page, published_table
from inkwash.eval.benchmarks.registry import BENCHMARKS
from inkwash.eval.benchmarks.self_check import has_glyphs, render_texts
from inkwash.eval.predictions import picture_hash
from tests.unit.eval.benchmarks import official
from tests.unit.eval.benchmarks.runs import run_of
from tests.unit.eval.test_report import Page


class Knowing:
    """Reads rendered texts, and of every other picture what its first pixel was given to mean."""

    name = "knowing[v1]"

    def __init__(self, rendered: Sequence[Sequence[str]]) -> None:
        self.known: dict[str, list[str]] = {}
        self.read = 0
        for texts in rendered:
            plain = [text for text in texts if has_glyphs(text)]
            if (picture := render_texts(plain)) is not None:
                self.known[picture_hash(picture)] = plain

    def means(self, image: Image.Image, lines: list[str]) -> None:
        self.known[picture_hash(image)] = lines

    def texts(self, image: Image.Image) -> list[str]:
        self.read += 1
        return self.known[picture_hash(image)]


def color(number: int) -> tuple[int, int, int]:
    return number % 256, number // 256, 90


@pytest.fixture
def cvtg(tmp_path: Path) -> tuple[BenchmarkRun[Any], Knowing]:
    """Sixteen pictures: the first of each file is perfect, the second lost one word of four."""
    prompts = cvtg2k.read_prompts(official.cvtg2k(tmp_path / "data"))
    judge = Knowing([prompt.wanted for prompt in prompts])
    for number, prompt in enumerate(prompts):
        official.picture(tmp_path / "drawn" / prompt.image_path.example, color(number))
        lines = ["GRAND OPENING", "50 percent"] if number % 2 == 0 else ["grand 50 percent", "<b>other"]
        judge.means(Image.new("RGB", (8, 8), color(number)), lines)
    return run_of("cvtg2k", data=tmp_path / "data", images=tmp_path / "drawn"), judge


def test_cvtg2k_from_folder_to_numbers(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    run, judge = cvtg
    result = run.score(Judges(open_reader=lambda: judge))
    scores = result.to_dict()
    assert (scores["word_accuracy"], scores["n"], scores["words"], scores["correct_words"]) == (0.875, 16, 64, 56)
    assert scores["measures"]["cvtg2k.word_accuracy[knowing[v1]]"] == 0.875
    assert list(scores["per_regions"]) == ["2", "3", "4", "5"] and scores["per_regions"]["4"]["n"] == 4
    assert scores["truth_share_read"] == 1.0 and scores["prompts"] == 16
    assert result.official is not None
    assert result.official["overall_results"]["correct_words"] == 56 and len(result.official["area_results"]) == 8
    assert json.loads(json.dumps(scores)) == scores
    worst = result.worst_first()
    assert worst[0].key == "CVTG/2/12" and worst[0].wanted[0] == ("Grand Opening", False)


def test_a_second_run_reads_nothing_and_a_larger_one_only_what_is_new(
    cvtg: tuple[BenchmarkRun[Any], Knowing], tmp_path: Path
) -> None:
    run, judge = cvtg
    cached = {"data": run.data, "images": run.images, "cache": tmp_path / "read.jsonl"}
    first = run_of("cvtg2k", **cached, limit=8).score(Judges(open_reader=lambda: judge))
    proofs = judge.read - 8
    assert first.counts["n"] == 8 and proofs >= 1
    again = run_of("cvtg2k", **cached, limit=8).score(Judges(open_reader=lambda: judge))
    assert judge.read == 8 + proofs and again.to_dict() == first.to_dict()
    run_of("cvtg2k", **cached).score(Judges(open_reader=lambda: judge))
    assert judge.read == 16 + proofs


def test_a_kill_in_the_middle_costs_one_picture(cvtg: tuple[BenchmarkRun[Any], Knowing], tmp_path: Path) -> None:
    run, judge = cvtg
    cached = run_of(run.task, data=run.data, images=run.images, cache=tmp_path / "read.jsonl")

    def killed(stage: str, done: int, total: int) -> None:
        if stage == "read" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached.score(Judges(open_reader=lambda: judge), progress=killed)
    before = judge.read
    cached.score(Judges(open_reader=lambda: judge))
    assert judge.read == before + 11


def test_many_workers_give_the_same_numbers(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    run, judge = cvtg
    result = run.score(Judges(open_reader=lambda: judge, workers=4))
    assert result.to_dict() == run.score(Judges(open_reader=lambda: judge)).to_dict()


def test_a_missing_picture_stops_the_run_before_the_judge_is_opened(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    run, _ = cvtg
    (run.images / "CVTG-Style" / "5" / "15.png").unlink()
    with pytest.raises(MediaError, match=r"lacks 1 of the 16 pictures: CVTG-Style/5/15\.png"):
        run.score(Judges(open_reader=lambda: pytest.fail("the judge was opened")))


def test_a_blind_judge_scores_nothing(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    run, judge = cvtg
    judge.known = {key: [] for key in judge.known}
    with pytest.raises(ConfigError, match="plainly rendered"):
        run.score(Judges(open_reader=lambda: judge))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_longtext_from_folder_to_numbers(tmp_path: Path, language: str) -> None:
    prompts = longtext.read_prompts(official.longtext(tmp_path / "data"), language)
    judge = Knowing([prompt.wanted for prompt in prompts])
    for number, prompt in enumerate(prompts):
        for sample, path in enumerate(prompt.image_paths(2)):
            official.picture(tmp_path / "drawn" / path.example, color(10 * number + sample))
            lines = list(prompt.wanted) if sample == 0 else []
            judge.means(Image.new("RGB", (8, 8), color(10 * number + sample)), lines)
    task = f"longtext-{language}"
    run = run_of(task, data=tmp_path / "data", images=tmp_path / "drawn", samples=2)
    scores = run.score(Judges(open_reader=lambda: judge)).to_dict()
    assert scores["text_score"] == 0.5 and scores["n"] == 8 and scores["units"] == 2 * scores["matched_units"]
    assert scores["per_category"]["sign"] == {"text_score": 0.5, "n": 4}
    result = run.score(Judges(open_reader=lambda: judge))
    assert result.worst_first()[0].share == 0.0 and result.worst_first()[-1].share == 1.0
    assert all(right for _, right in result.worst_first()[-1].wanted)
    with pytest.raises(MediaError, match=r"0000_3\.png"):
        run_of(task, data=run.data, images=run.images).score(Judges(open_reader=lambda: judge))


BAD: list[tuple[str, dict[str, object], str]] = [
    ("cvtg2k", {"limit": 0}, "limit is 0"),
    ("longtext-en", {"samples": 0}, "samples is 0"),
    ("tiif", {"split": "mini"}, "testmini, test"),
    ("dpg", {"mode": "mended"}, "the mode is 'mended'; it must be one of official, fixed"),
    ("gedit", {"language": "zh"}, "en, cn"),
    ("oneig-en", {"dimensions": ("beauty",)}, "the dimension is 'beauty'; it must be one of alignment, text"),
    ("oneig-en", {"dimensions": ()}, "the dimension is ''"),
]


@pytest.mark.parametrize(("task", "settings", "says"), BAD)
def test_settings_are_checked(task: str, settings: dict[str, object], says: str, tmp_path: Path) -> None:
    with pytest.raises(InkwashError, match=says):
        run_of(task, data=tmp_path, images=tmp_path, **settings)


def page_of(cvtg: tuple[BenchmarkRun[Any], Knowing], make: Callable[..., str] = benchmark_page, **settings: int) -> str:
    run, judge = cvtg
    return make(run.benchmark, run.score(Judges(open_reader=lambda: judge)), title="CVTG-2K", **settings)


def test_the_page_has_ours_and_the_published_rows_apart(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    html = page_of(cvtg)
    parsed = Page(html)
    assert not parsed.open and len(parsed.cards) == 16
    head = html.split("<article")[0]
    own, other = head.split("<h2>this run</h2>")[1].split("<h2>published by")
    assert "cvtg2k.word accuracy[knowing[v1]]" in own and "0.875" in own and "GLM-Image" not in own
    assert "cvtg2k.word accuracy[en_ppocrv4]" in other and "0.912" in other and "GLM-Image" in other
    assert "8 of 16 have a fault" in head and "prompts digest" in head
    assert '<span class="word no">Grand<mark> Opening</mark></span>' in html
    assert "also read: &lt;b&gt;other" in html and "<h3>word accuracy</h3>" in head and "--share: 87.5%" in head
    assert all(link.startswith("data:image/webp;base64,") for link in parsed.links)


def test_a_long_page_shows_the_worst_and_says_so(cvtg: tuple[BenchmarkRun[Any], Knowing]) -> None:
    html = page_of(cvtg, cards=3)
    assert html.count("<article") == 3 and html.count('class="card good"') == 0
    assert "8 of 16 have a fault, the worst 3 are shown" in html


def test_published_rows_are_those_of_the_models_readme() -> None:
    counts = {"cvtg2k": 9, "longtext-en": 9, "longtext-zh": 9, "oneig-en": 14, "oneig-zh": 11, "tiif": 16, "dpg": 14}
    for task, count in counts.items():
        rows = published_table(BENCHMARKS[task]).rows()
        assert len(rows) == count and all(value is not None for value in rows["GLM-Image"].values()), task
    assert published_table(BENCHMARKS["tiif"]).rows()["GLM-Image"] == {
        "tiif.short[unstated]": 81.01,
        "tiif.long[unstated]": 81.02,
    }
    assert published_table(BENCHMARKS["geneval"]).rows() == {}
